//! Between chromiumoxide, which speaks WebSocket, and Chromium's two pipes (`--remote-debugging-pipe`). A program that reaches a
//! debugging port controls the browser, and every program of the machine reaches a port, so Chromium has none.
//!
//! ```text
//! chromiumoxide -> ws://127.0.0.1:port/TOKEN, one connection, then the port is closed -> Bridge -> pipes -> Chromium
//! ```

use std::io;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{TokioAdapter, accept_hdr_async_with_config};
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::limits::{BROWSER_MESSAGE_BYTES_MAX, MACHINERY_TIMEOUT};
use crate::web::browser::proxy::token;

/// Connections that may be tried at once before the right one comes.
const ATTEMPTS_MAX: usize = 16;

type Socket = WebSocketStream<TokioAdapter<TcpStream>>;

/// A running bridge. Dropping it closes both sides, which ends Chromium.
#[derive(Debug)]
pub(super) struct Bridge {
    /// Where to connect to, once. It has the secret in it.
    pub(super) address: String,
    task: JoinHandle<()>,
    /// Closed when the task ends.
    over: watch::Receiver<()>,
}

impl Bridge {
    /// Between a connection that will come, and the pipes that Chromium reads and writes.
    pub(super) async fn start(
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl AsyncRead + Send + Unpin + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let path = format!("/{}", token()?);
        let address = format!("ws://{}{path}", listener.local_addr()?);
        let (running, over) = watch::channel(());
        let task = tokio::spawn(async move {
            let _running = running;
            let Ok(Some(socket)) = timeout(MACHINERY_TIMEOUT, accept(listener, path)).await else { return };
            let (mut to_client, mut from_client) = socket.split();
            let (mut input, mut output) = (input, BufReader::new(output));
            let down = async {
                let mut message = Vec::new();
                while read_message(&mut output, &mut message).await.is_ok_and(|has_more| has_more) {
                    let text = String::from_utf8_lossy(&message).into_owned();
                    if to_client.send(Message::text(text)).await.is_err() {
                        break;
                    }
                }
                let _ = to_client.close(None).await;
            };
            let up = async {
                while let Some(Ok(message)) = from_client.next().await {
                    let Message::Text(text) = message else { continue };
                    let mut bytes = text.as_bytes().to_vec();
                    bytes.push(0);
                    if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = down => {}
                () = up => {}
            }
        });
        Ok(Self { address, task, over })
    }

    /// Returns when one of the sides has ended. NOTE: chromiumoxide itself does not notice.
    pub(super) async fn ended(&self) {
        let mut over = self.over.clone();
        while over.changed().await.is_ok() {}
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first connection that knows the secret. Others are tried beside it, so that none can hold it up.
async fn accept(listener: TcpListener, path: String) -> Option<Socket> {
    let mut attempts = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if attempts.len() < ATTEMPTS_MAX => {
                let (stream, _) = accepted.ok()?;
                attempts.spawn(handshake(stream, path.clone()));
            }
            Some(done) = attempts.join_next() => {
                if let Ok(Some(socket)) = done {
                    return Some(socket);
                }
            }
        }
    }
}

async fn handshake(stream: TcpStream, path: String) -> Option<Socket> {
    // The type is given by the library.
    #[expect(clippy::result_large_err, reason = "the library's type of a refusal")]
    let check = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        // A page that a browser has open would send an origin.
        if request.uri().path() == path && !request.headers().contains_key("origin") {
            Ok(response)
        } else {
            Err(ErrorResponse::new(None))
        }
    };
    let limits = WebSocketConfig::default().max_message_size(Some(BROWSER_MESSAGE_BYTES_MAX));
    let limits = limits.max_frame_size(Some(BROWSER_MESSAGE_BYTES_MAX));
    let done = timeout(MACHINERY_TIMEOUT / 10, accept_hdr_async_with_config(stream, check, Some(limits))).await;
    done.ok()?.ok()
}

/// Reads up to the next NUL; false at the end. A message that is too long is an error.
async fn read_message<R: AsyncRead + Unpin>(from: &mut BufReader<R>, message: &mut Vec<u8>) -> io::Result<bool> {
    message.clear();
    let most = BROWSER_MESSAGE_BYTES_MAX as u64;
    if from.take(most).read_until(0, message).await? == 0 {
        return Ok(false);
    }
    if message.pop() != Some(0) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use async_tungstenite::tokio::connect_async;
    use async_tungstenite::tungstenite::Message;
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::Bridge;

    #[tokio::test]
    async fn only_one_connection_with_the_secret_is_accepted() {
        let (ours, mut browser) = tokio::io::duplex(1024);
        let (output, input) = tokio::io::split(ours);
        let bridge = Bridge::start(input, output).await.expect("started");
        let (host, _) = bridge.address.rsplit_once('/').expect("a path");
        assert!(connect_async(format!("{host}/")).await.is_err());
        assert!(connect_async(format!("{host}/{}", "0".repeat(32))).await.is_err());
        let (mut client, _) = connect_async(bridge.address.as_str()).await.expect("connected");
        assert!(connect_async(bridge.address.as_str()).await.is_err(), "the port is closed now");
        client.send(Message::text("{}")).await.expect("sent");
        let mut sent = [0; 3];
        browser.read_exact(&mut sent).await.expect("read");
        assert_eq!(&sent, b"{}\0");
        browser.write_all(b"[1]\0[2]\0half").await.expect("written");
        for expected in ["[1]", "[2]"] {
            assert_eq!(client.next().await.expect("open").expect("read").to_text().expect("text"), expected);
        }
        drop(browser);
        assert!(!matches!(client.next().await, Some(Ok(Message::Text(_)))), "half a message is none");
    }
}
