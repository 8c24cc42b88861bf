//! The proxy through which one Chromium sees the world: it connects only to what a [`Guard`] returns.
//!
//! CONNECT is a tunnel. Every other request is sent to its server on a connection of its own, so that no second request can follow it
//! to the wrong host.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use crate::limits::{BROWSER_CONNECTIONS_MAX, FETCH_CONNECT_TIMEOUT};
use crate::web::error::FetchError;
use crate::web::guard::Guard;

/// Largest head of a request, bytes; what web servers accept.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// A proxy on a loopback port. Dropping it closes the port and every connection.
pub(super) struct Proxy {
    pub(super) port: u16,
    refusals: Refusals,
    accepting: JoinHandle<()>,
}

/// The latest refusals: host, port, reason. A page and the browser itself ask for many things at once.
type Refusals = Arc<Mutex<VecDeque<(String, u16, FetchError)>>>;

/// Refusals that are kept until the next action.
const REFUSALS_MAX: usize = 256;

impl Proxy {
    pub(super) async fn start(guard: Guard) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let refusals = Refusals::default();
        let accepting = tokio::spawn(accept(listener, guard, refusals.clone()));
        Ok(Self { port, refusals, accepting })
    }

    /// Forgets the refusals so far.
    pub(super) fn forget(&self) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Why this address was refused, if it was.
    pub(super) fn refusal_of(&self, url: &Url) -> Option<FetchError> {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.iter().find(|refusal| (refusal.0.as_str(), refusal.1) == (host, port)).map(|refusal| refusal.2.clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are tasks of a set in this one.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, guard: Guard, refusals: Refusals) {
    let slots = Arc::new(Semaphore::new(BROWSER_CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        let (guard, refusals) = (guard.clone(), refusals.clone());
        connections.spawn(async move {
            // A broken connection is seen by the browser.
            let _ = serve(stream, &guard, &refusals).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, guard: &Guard, refusals: &Refusals) -> io::Result<()> {
    let mut bytes = Vec::new();
    let head_end = timeout(FETCH_CONNECT_TIMEOUT, read_head(&mut client, &mut bytes)).await??;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let Some(request) = Request::parse(&head) else {
        return answer(&mut client, "400 Bad Request", "the proxy cannot read this request").await;
    };
    match connect(guard, &request).await {
        Ok(mut server) if request.is_tunnel => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            server.write_all(&bytes[head_end..]).await?;
            copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        Ok(server) => relay(client, server, &request, &bytes[head_end..]).await,
        Err(error) => {
            let text = error.to_string();
            {
                let mut refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
                refusals.truncate(REFUSALS_MAX - 1);
                refusals.push_front((request.host, request.port, error));
            }
            answer(&mut client, "403 Forbidden", &text).await
        }
    }
}

/// One request to one server: its head, exactly its body, and then only the response.
async fn relay(mut client: TcpStream, mut server: TcpStream, request: &Request, rest: &[u8]) -> io::Result<()> {
    server.write_all(request.origin_form.as_bytes()).await?;
    let here = rest.len().min(usize::try_from(request.body_bytes).unwrap_or(usize::MAX));
    server.write_all(&rest[..here]).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut body = (&mut from_client).take(request.body_bytes - here as u64);
    tokio::try_join!(copy(&mut body, &mut to_server), copy(&mut from_server, &mut to_client))?;
    client.shutdown().await
}

async fn connect(guard: &Guard, request: &Request) -> Result<TcpStream, FetchError> {
    let addresses: Vec<SocketAddr> = guard.resolve(&request.host, request.port).await?;
    let unreachable = |reason: String| FetchError::Unreachable { host: request.host.clone(), reason };
    let connected = timeout(FETCH_CONNECT_TIMEOUT, TcpStream::connect(addresses.as_slice())).await;
    connected
        .map_err(|_| unreachable("connecting timed out".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))
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
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let (method, rest) = lines.next()?.split_once(' ')?;
        let (target, version) = rest.rsplit_once(' ')?;
        if method == "CONNECT" {
            let (host, port) = target.rsplit_once(':')?;
            let host = host.to_owned();
            return Some(Self {
                is_tunnel: true,
                host,
                port: port.parse().ok()?,
                origin_form: String::new(),
                body_bytes: 0,
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
        Some(Self { is_tunnel: false, host, port, origin_form, body_bytes })
    }
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
