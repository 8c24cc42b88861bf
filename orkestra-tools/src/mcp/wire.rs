//! One connection with a server below rmcp: messages in, messages out, and how it ended.
//!
//! ```text
//! rmcp <- incoming queue <- Screen <- lines of a pipe | bodies and events of HTTP
//! rmcp -> outgoing queue -> lines of a pipe | POST
//! ```
//! What a server sends is hostile. [`Screen`] lets only answers through: requests of the server are refused here, notifications
//! are dropped except that the list of tools changed, and whatever is too large ends the connection with a reason.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleClient;
use rmcp::model::ServerJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, watch};

use crate::limits::{MCP_MESSAGE_BYTES_MAX, MCP_NOISE_BYTES_MAX, MCP_QUEUE_MAX};
use crate::web::untrusted::one_line;

/// What the shortest message counts as: a flood of small ones costs time and not memory, bytes.
const MESSAGE_COST: usize = 256;
/// Longest id of a server's request that is answered, bytes.
const ID_BYTES_MAX: usize = 256;

/// The connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed")]
pub(super) struct Closed;

/// What the two sides of a connection know of each other beside the messages.
#[derive(Debug)]
pub(super) struct Fate {
    end: watch::Sender<Option<String>>,
    stop: Notify,
    is_stopped: AtomicBool,
    /// Set when the list of tools changed, taken by who reads it again.
    pub(super) changed: Notify,
    /// Bytes since the last request.
    noise: AtomicUsize,
    /// The last thing it sent that is not a message: mostly the reason why it is no server.
    garbage: Mutex<String>,
}

impl Fate {
    fn new() -> Arc<Self> {
        let (end, _) = watch::channel(None);
        let (stop, changed) = (Notify::new(), Notify::new());
        let (is_stopped, noise, garbage) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { end, stop, is_stopped, changed, noise, garbage })
    }

    /// Says how it ended; the first to say it is right.
    pub(super) fn finish(&self, how: String) {
        self.end.send_if_modified(|end| {
            let is_first = end.is_none();
            if is_first {
                *end = Some(how);
            }
            is_first
        });
    }

    /// How it ended.
    pub(super) async fn ended(&self) -> String {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or_default()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Asks the side of the server to end.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.stop.notify_one();
    }

    pub(super) async fn stopped(&self) {
        if !self.is_stopped.load(Ordering::SeqCst) {
            self.stop.notified().await;
        }
    }

    /// The last text of the server that is not a message, for a person.
    pub(super) fn garbage(&self) -> String {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The side of rmcp. Dropping it ends the connection.
pub(super) struct Wire {
    incoming: mpsc::Receiver<RxJsonRpcMessage<RoleClient>>,
    outgoing: mpsc::Sender<Vec<u8>>,
    fate: Arc<Fate>,
}

/// The side of the server.
pub(super) struct FarEnd {
    pub(super) outgoing: mpsc::Receiver<Vec<u8>>,
    pub(super) screen: Screen,
    pub(super) fate: Arc<Fate>,
}

/// The two sides of a new connection.
pub(super) fn pair() -> (Wire, FarEnd) {
    let fate = Fate::new();
    let (sender, incoming) = mpsc::channel(MCP_QUEUE_MAX);
    let (outgoing, receiver) = mpsc::channel(MCP_QUEUE_MAX);
    // NOTE: weak, so that the far end learns when rmcp has gone.
    let screen = Screen { incoming: sender, replies: outgoing.downgrade(), fate: Arc::clone(&fate) };
    let far = FarEnd { outgoing: receiver, screen, fate: Arc::clone(&fate) };
    (Wire { incoming, outgoing, fate }, far)
}

impl Wire {
    pub(super) fn fate(&self) -> Arc<Fate> {
        Arc::clone(&self.fate)
    }
}

impl Transport<RoleClient> for Wire {
    type Error = Closed;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.fate.noise.store(0, Ordering::Relaxed);
        let (bytes, outgoing) = (serde_json::to_vec(&item), self.outgoing.clone());
        async move { outgoing.send(bytes.map_err(|_| Closed)?).await.map_err(|_| Closed) }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.incoming.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.fate.stop();
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.fate.stop();
    }
}

/// What a message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer to a request of ours.
    Answer,
    /// Something else.
    Other,
}

/// Judges each message of a server.
pub(super) struct Screen {
    incoming: mpsc::Sender<RxJsonRpcMessage<RoleClient>>,
    replies: mpsc::WeakSender<Vec<u8>>,
    fate: Arc<Fate>,
}

/// The head of a message. Everything else is skipped without being kept.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
}

impl Screen {
    /// Takes one message. An error is why the connection must end.
    pub(super) async fn take(&self, bytes: &[u8]) -> Result<Seen, String> {
        if bytes.len() > MCP_MESSAGE_BYTES_MAX {
            return Err(too_large());
        }
        let noise = self.fate.noise.fetch_add(bytes.len().max(MESSAGE_COST), Ordering::Relaxed);
        if noise > MCP_NOISE_BYTES_MAX {
            return Err(format!("it sent more than {} MiB that nobody asked for", MCP_NOISE_BYTES_MAX >> 20));
        }
        let text = std::str::from_utf8(bytes).ok();
        let Some((text, head)) = text.and_then(|text| Some((text, serde_json::from_str::<Head>(text).ok()?))) else {
            let line: String = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
            let line = one_line(&line, 300);
            if !line.is_empty() {
                *self.fate.garbage.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
            return Ok(Seen::Other);
        };
        match (head.id, head.method) {
            (Some(id), Some(method)) => self.refuse(id.get(), &method),
            (None, Some(method)) if method == "notifications/tools/list_changed" => self.fate.changed.notify_one(),
            (None, _) => {}
            (Some(id), None) => {
                let message = serde_json::from_str::<ServerJsonRpcMessage>(text);
                let message = message.or_else(|error| serde_json::from_str(&unreadable(id.get(), &error.to_string())));
                let Ok(message) = message else { return Ok(Seen::Other) };
                // When nobody takes it, rmcp has gone, and this side is about to be stopped.
                let _ = self.incoming.send(message).await;
                return Ok(Seen::Answer);
            }
        }
        Ok(Seen::Other)
    }

    /// Answers a request of the server: only pings are answered with a result. Nothing waits for a server that does not read.
    fn refuse(&self, id: &str, method: &str) {
        if id.len() > ID_BYTES_MAX {
            return;
        }
        let reply = match method {
            "ping" => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
            _ => {
                let message = "this client does not answer requests: no sampling, no elicitation, no roots";
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"{message}"}}}}"#)
            }
        };
        if let Some(replies) = self.replies.upgrade() {
            let _ = replies.try_send(reply.into_bytes());
        }
    }

    /// An answer of our own to a request that will get no other.
    pub(super) async fn fail(&self, request: &[u8], why: &str) -> Result<Seen, String> {
        let head = serde_json::from_slice::<Head>(request).ok();
        match head.and_then(|head| head.id) {
            Some(id) => self.take(unreadable(id.get(), why).as_bytes()).await,
            None => Ok(Seen::Other),
        }
    }
}

pub(super) fn too_large() -> String {
    format!("it sent a message of more than {} MiB", MCP_MESSAGE_BYTES_MAX >> 20)
}

fn unreadable(id: &str, why: &str) -> String {
    let message = serde_json::Value::from(one_line(why, 500));
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":{message}}}}}"#)
}
