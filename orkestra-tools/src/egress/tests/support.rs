//! A registry on loopback whose answers the test chooses byte by byte, and a client that says what the test wants.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

use crate::egress::upstream::Names;
use crate::egress::{CachePlace, Ecosystem, EgressOptions, EgressProxy, Registry};

/// A registry of the test's own.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let answers: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, seen) = (Arc::clone(&answers), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.is_ok_and(|count| count == 0) {
                        break;
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = known.lock().expect("no test panics inside").get(&path).cloned();
                seen.lock().expect("no test panics inside").push(request);
                let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
                let _ = stream.write_all(&answer.unwrap_or(missing)).await;
            }
        });
        Self { address, answers, requests }
    }

    /// Sets the whole answer for a path.
    pub(super) fn raw(&self, path: &str, answer: impl Into<Vec<u8>>) {
        self.answers.lock().expect("no test panics inside").insert(path.to_owned(), answer.into());
    }

    /// Sets a complete answer, with these further header lines.
    pub(super) fn answer(&self, path: &str, headers: &str, body: &str) {
        let length = body.len();
        self.raw(
            path,
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"),
        );
    }

    /// The requests since the last call.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no test panics inside"))
    }

    pub(super) fn registry(&self, ecosystem: Ecosystem) -> Registry {
        Registry::new(ecosystem, &format!("http://u:secret@{}/base/", self.address)).expect("valid")
    }

    pub(super) async fn proxy(&self, ecosystem: Ecosystem, cache: Option<CachePlace>) -> EgressProxy {
        let mut options = EgressOptions::default().with_registries(vec![self.registry(ecosystem)]);
        options.cache = cache;
        EgressProxy::start_with(options, Names::Fixed(HashMap::new())).await.expect("started")
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status line and the headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) async fn connect(proxy: &EgressProxy) -> UnixStream {
    UnixStream::connect(proxy.socket()).await.expect("the proxy listens")
}

/// Sends these bytes and reads until the proxy closes. A body that was to have a length and has not is left as it came.
pub(super) async fn send(proxy: &EgressProxy, request: &[u8]) -> Answer {
    let mut stream = connect(proxy).await;
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes[end..].to_vec() }
}

pub(super) async fn ask(proxy: &EgressProxy, method: &str, target: &str) -> Answer {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:3128\r\nAuthorization: Bearer of-the-client\r\nCookie: a=b\r\n\
         X-Data: leaks\r\nConnection: close\r\n\r\n"
    );
    send(proxy, request.as_bytes()).await
}

pub(super) async fn get(proxy: &EgressProxy, path: &str) -> Answer {
    ask(proxy, "GET", path).await
}
