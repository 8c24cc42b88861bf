//! A scripted HTTP server: it sends one answer per connection, byte for byte, and remembers the requests.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that sends the answers of its script in order.
pub(crate) struct Server {
    pub(crate) base_url: String,
    bodies: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&bodies);
        tokio::spawn(async move {
            for answer in answers {
                let Ok((mut socket, _)) = listener.accept().await else {
                    return;
                };
                let body = read_body(&mut socket).await;
                asked.lock().expect("no test panics here").push(body);
                socket.write_all(answer.as_bytes()).await.expect("the client listens");
                socket.shutdown().await.ok();
            }
        });
        Self { base_url, bodies }
    }

    /// The JSON bodies of the requests so far.
    pub(crate) fn bodies(&self) -> Vec<serde_json::Value> {
        self.bodies.lock().expect("no test panics here").clone()
    }
}

async fn read_body(socket: &mut TcpStream) -> serde_json::Value {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return serde_json::from_str(body).unwrap_or_default();
            }
        }
        let mut chunk = [0; 4096];
        let read = socket.read(&mut chunk).await.expect("the client sends");
        assert!(read > 0, "the client closed the connection during its request");
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// An answer with a status, further headers and a JSON body.
pub(crate) fn status(line: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A stream of events that ends when its connection closes.
pub(crate) fn stream(events: &[&str]) -> String {
    let mut answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned();
    for event in events {
        answer.push_str(&format!("data: {event}\n\n"));
    }
    answer
}
