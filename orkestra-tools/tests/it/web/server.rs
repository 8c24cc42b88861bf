//! A small HTTP server whose answers are functions of the request, and resolvers of the test's own.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use orkestra_tools::web::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Answer = Arc<dyn Fn(&Request) -> Vec<u8> + Send + Sync>;

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    /// All lines of the head, in lower case.
    pub(super) head: String,
    pub(super) body: String,
}

/// A server on a loopback port; it ends with the test's runtime.
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, answer): (Arc<Mutex<Vec<Request>>>, Answer) = (Arc::default(), Arc::new(answer));
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), answer.clone()));
            }
        });
        Self { port, seen }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no test panics inside").clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.path).collect()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answer: Answer) {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let original = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let head = original.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + length && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    let mut first = original.split(' ').map(str::to_owned);
    let request = Request {
        method: first.next().unwrap_or_default(),
        path: first.next().unwrap_or_default(),
        head,
        body: String::from_utf8_lossy(&bytes[head_end..]).into_owned(),
    };
    let answered = answer(&request);
    seen.lock().expect("no test panics inside").push(request);
    // The client may close before it has read all.
    let _ = stream.write_all(&answered).await;
    let _ = stream.shutdown().await;
}

/// A response that ends the connection.
pub(super) fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

pub(super) fn html(body: &str) -> Vec<u8> {
    response(200, &[("content-type", "text/html; charset=utf-8")], body)
}

pub(super) fn redirect(to: &str) -> Vec<u8> {
    response(302, &[("location", to)], "")
}

/// Answers each question with the next list of addresses, the last one again and again, and counts the questions.
pub(super) struct Answers {
    lists: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    pub(super) fn new(lists: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|address| address.parse().expect("an address")).collect();
        Arc::new(Self { lists: Mutex::new(lists.iter().map(parse).collect()), asked: Mutex::default() })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics inside").clone()
    }
}

#[async_trait]
impl Resolver for Answers {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().expect("no test panics inside").push(host.to_owned());
        let mut lists = self.lists.lock().expect("no test panics inside");
        let next = if lists.len() > 1 { lists.pop_front() } else { lists.front().cloned() };
        next.ok_or_else(|| io::Error::other("no such name"))
    }
}
