//! The proxy through which one browser sees the world: it connects only as its [`Reach`] allows.
//!
//! CONNECT is a tunnel. Every other request is sent to its server on a connection of its own, so that no second request can follow it
//! to the wrong host.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use crate::limits::{BROWSER_CONNECTIONS_MAX, FETCH_CONNECT_TIMEOUT};
use crate::sandbox::Connection;
use crate::web::client::PROXY_USER;
use crate::web::error::FetchError;
use crate::web::reach::Reach;

/// Largest head of a request, bytes; what web servers accept.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// A proxy on a loopback port. Dropping it closes the port and every connection.
pub(super) struct Proxy {
    refusals: Refusals,
    accepting: JoinHandle<()>,
}

/// The latest refusals: host, port, reason. A page and the browser itself ask for many things at once.
type Refusals = Arc<Mutex<VecDeque<(String, u16, FetchError)>>>;

/// Refusals that are kept until the next action.
const REFUSALS_MAX: usize = 256;

impl Proxy {
    /// Serves this listener. With a token, only clients that send it: other programs of the machine can connect too.
    pub(super) fn serve(listener: TcpListener, reach: Reach, token: Option<&str>) -> Self {
        let refusals = Refusals::default();
        let credentials = token.map(|token| BASE64_STANDARD.encode(format!("{PROXY_USER}:{token}")));
        let shared = Arc::new(Shared { reach, credentials, refusals: refusals.clone() });
        Self { refusals, accepting: tokio::spawn(accept(listener, shared)) }
    }

    /// Forgets the refusals so far.
    pub(super) fn forget(&self) {
        self.refusals().clear();
    }

    /// Why this host was refused, if it was.
    pub(super) fn refusal_of_host(&self, host: &str) -> Option<FetchError> {
        self.refusals().iter().find(|refusal| refusal.0 == host).map(|refusal| refusal.2.clone())
    }

    fn refusals(&self) -> MutexGuard<'_, VecDeque<(String, u16, FetchError)>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this address was refused, if it was.
    pub(super) fn refusal_of(&self, url: &Url) -> Option<FetchError> {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let refusals = self.refusals();
        refusals.iter().find(|refusal| (refusal.0.as_str(), refusal.1) == (host, port)).map(|refusal| refusal.2.clone())
    }
}

/// A secret of 128 bits, hexadecimal.
pub(super) fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "a secret, which no run depends on")]
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are tasks of a set in this one.
        self.accepting.abort();
    }
}

/// What all connections use.
struct Shared {
    reach: Reach,
    /// What `Proxy-Authorization: Basic` must have.
    credentials: Option<String>,
    refusals: Refusals,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(BROWSER_CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A broken connection is seen by the browser.
            let _ = serve(stream, &shared).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    let head_end = timeout(FETCH_CONNECT_TIMEOUT, read_head(&mut client, &mut bytes)).await??;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let Some(request) = Request::parse(&head) else {
        return answer(&mut client, "400 Bad Request", "the proxy cannot read this request").await;
    };
    if shared.credentials.is_some() && request.credentials != shared.credentials {
        return answer(&mut client, "407 Proxy Authentication Required", "this proxy is for one browser").await;
    }
    match shared.reach.connect(&request.host, request.port).await {
        Ok(mut server) if request.is_tunnel => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            server.write_all(&bytes[head_end..]).await?;
            copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        Ok(server) => relay(client, server, &request, &bytes[head_end..]).await,
        Err(error) => {
            let text = error.to_string();
            {
                let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                refusals.truncate(REFUSALS_MAX - 1);
                refusals.push_front((request.host, request.port, error));
            }
            answer(&mut client, "403 Forbidden", &text).await
        }
    }
}

/// One request to one server: its head, exactly its body, and then only the response.
async fn relay(mut client: TcpStream, server: Box<dyn Connection>, request: &Request, rest: &[u8]) -> io::Result<()> {
    let (mut from_server, mut to_server) = split(server);
    to_server.write_all(request.origin_form.as_bytes()).await?;
    let here = rest.len().min(usize::try_from(request.body_bytes).unwrap_or(usize::MAX));
    to_server.write_all(&rest[..here]).await?;
    to_server.flush().await?;
    {
        let (mut from_client, mut to_client) = client.split();
        let mut body = (&mut from_client).take(request.body_bytes - here as u64);
        let send = copy(&mut body, &mut to_server);
        let receive = copy(&mut from_server, &mut to_client);
        tokio::try_join!(send, receive)?;
    }
    client.shutdown().await
}

async fn read_head(client: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(at + 4);
        }
        if bytes.len() > HEAD_BYTES_MAX || client.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

async fn answer(client: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n");
    client.write_all(format!("{head}content-length: {}\r\n\r\n{text}", text.len()).as_bytes()).await?;
    client.shutdown().await
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    is_tunnel: bool,
    host: String,
    port: u16,
    /// The head as the server gets it; empty for a tunnel.
    origin_form: String,
    body_bytes: u64,
    /// Of `Proxy-Authorization: Basic`.
    credentials: Option<String>,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let (method, rest) = lines.next()?.split_once(' ')?;
        let (target, version) = rest.rsplit_once(' ')?;
        let credentials = head.split("\r\n").skip(1).find_map(credentials).map(str::to_owned);
        if method == "CONNECT" {
            let (host, port) = target.rsplit_once(':')?;
            let host = host.to_owned();
            return Some(Self {
                is_tunnel: true,
                host,
                port: port.parse().ok()?,
                origin_form: String::new(),
                body_bytes: 0,
                credentials,
            });
        }
        let url = Url::parse(target).ok().filter(|url| url.scheme() == "http")?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut origin_form = format!("{method} {path} {version}\r\n");
        let mut body_bytes = 0;
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            match name.trim().to_ascii_lowercase().as_str() {
                "proxy-connection" | "proxy-authorization" | "connection" | "keep-alive" | "upgrade" => continue,
                // Its end would have to be searched for; browsers send a length.
                "transfer-encoding" => return None,
                "content-length" => body_bytes = value.trim().parse().ok()?,
                _ => {}
            }
            origin_form.push_str(&format!("{line}\r\n"));
        }
        origin_form.push_str("connection: close\r\n\r\n");
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        Some(Self { is_tunnel: false, host, port, origin_form, body_bytes, credentials })
    }
}

fn credentials(line: &str) -> Option<&str> {
    let (_, value) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"))?;
    value.trim().strip_prefix("Basic ").map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn requests_are_read_and_sent_on_without_what_is_for_the_proxy() {
        let request = Request::parse(
            "GET http://a.example:81/x?y HTTP/1.1\r\nHost: a.example:81\r\nProxy-Connection: keep-alive\r\n\r\n",
        );
        let request = request.expect("a request");
        assert_eq!((request.host.as_str(), request.port, request.is_tunnel), ("a.example", 81, false));
        assert_eq!(request.origin_form, "GET /x?y HTTP/1.1\r\nHost: a.example:81\r\nconnection: close\r\n\r\n");
        let tunnel = Request::parse("CONNECT [::1]:443 HTTP/1.1\r\n\r\n").expect("a tunnel");
        assert_eq!((tunnel.host.as_str(), tunnel.port, tunnel.is_tunnel), ("[::1]", 443, true));
        let bad = [
            "",
            "GET / HTTP/1.1\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "GET file:///etc/passwd HTTP/1.1\r\n\r\n",
            "CONNECT a.example HTTP/1.1\r\n\r\n",
            "CONNECT a.example:99999 HTTP/1.1\r\n\r\n",
            "POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST http://a.example/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nno colon\r\n\r\n",
        ];
        for head in bad {
            assert_eq!(Request::parse(head), None, "{head:?}");
        }
    }
}
