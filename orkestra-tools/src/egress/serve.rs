//! One request: whom it is for, and whether it is allowed.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{Method, Request, Response, StatusCode};

use super::client::LOCAL;
use super::fetch::{self, Wanted};
use super::hosts::{HTTPS, normal};
use super::model;
use super::proxy::Shared;
use super::reply::{Body, Refusal, printable};
use super::tunnel::{self, Tunnel, counted};

/// Answers a request. `open` receives the tunnel of a `CONNECT`, which begins when the answer was sent.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    open: impl FnOnce(Tunnel) + Send,
) -> Response<Body> {
    let answered = if request.method() == Method::CONNECT {
        connect(shared, request, open).await
    } else {
        direct(shared, request).await
    };
    answered.unwrap_or_else(|refusal| {
        if refusal.is_policy {
            shared.record.refuse(&refusal.host, &refusal.text);
        }
        tracing::debug!(host = %refusal.host, text = %refusal.text, "a request of a sandbox was not served");
        refusal.response()
    })
}

async fn connect(
    shared: &Shared,
    mut request: Request<Incoming>,
    open: impl FnOnce(Tunnel) + Send,
) -> Result<Response<Body>, Refusal> {
    let authority = request.uri().authority().cloned();
    let Some(authority) = authority else {
        return Err(Refusal::policy("(invalid name)", "CONNECT needs a host and a port, such as example.com:443"));
    };
    let port = authority.port_u16().unwrap_or(HTTPS);
    let stream = tunnel::connect(shared, authority.host(), port).await?;
    let host = normal(authority.host());
    shared.record.change(&host, |used| used.allowed += 1);
    open(Tunnel { host, port, stream, client: hyper::upgrade::on(&mut request) });
    Ok(super::reply::head(None, None))
}

/// A request that is not for a tunnel: for the proxy itself, or to be forwarded.
async fn direct(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    if let Some(authority) = request.uri().authority() {
        let host = normal(authority.host());
        let is_us = matches!(host.as_str(), "127.0.0.1" | "localhost")
            && LOCAL.ends_with(&format!(":{}", authority.port_u16().unwrap_or(80)));
        if !is_us {
            return Err(plain(shared, &host));
        }
    }
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    let (prefix, rest) = path.split_once('/').unwrap_or((path, ""));
    if let Some(gateway) = shared.options.model.as_ref().filter(|_| prefix == model::PREFIX) {
        return Ok(model::serve(shared, gateway, request).await);
    }
    let Some(index) = shared.prefixes.iter().position(|known| known == prefix) else {
        let known = shared.prefixes.iter().map(|prefix| format!("/{prefix}/")).collect::<Vec<_>>().join(", ");
        let text =
            format!("there is nothing at this path of the egress proxy; it serves the package registries {known}");
        return Err(Refusal::failure(StatusCode::NOT_FOUND, "(no host)", text));
    };
    let registry = &shared.options.registries[index];
    let (host, name) = (registry.host(), registry.ecosystem.name());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let method = printable(request.method().as_str());
        let text =
            format!("{method} is refused: {host} is served by a read-only mirror, for installing packages with {name}");
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, ..Refusal::policy(host, text) });
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let wanted = Wanted { path: rest, accept, is_head: request.method() == Method::HEAD };
    fetch::serve(shared, index, &wanted).await
}

/// A request that is to be forwarded without TLS.
fn plain(shared: &Shared, host: &str) -> Refusal {
    if let Some(text) = shared.mirrored(host) {
        return Refusal::policy(counted(host), text);
    }
    let shown = printable(host);
    let is_allowed = shared.options.allowed.iter().any(|allowed| allowed.matches(host, HTTPS));
    let text = if is_allowed {
        format!("{shown} is allowed through https only; use an address that begins with https:")
    } else {
        format!("{shown} is not on the list of allowed hosts; {}", shared.options.advice)
    };
    Refusal::policy(counted(host), text)
}
