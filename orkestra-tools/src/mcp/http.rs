//! The far end of a connection as a streamable HTTP endpoint, through the guarded client: the address is checked, names are
//! resolved once, and redirects are not followed.
//!
//! Each message is a POST, whose answer is one message or a stream of events. The stream that a server may open for notifications
//! is not asked for: a list of tools that changes is seen at the next connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use tokio::task::JoinSet;

use super::wire::{FarEnd, Screen, Seen, Wire, pair, too_large};
use crate::limits::{MCP_MESSAGE_BYTES_MAX, MCP_NOISE_BYTES_MAX};
use crate::secrets::Secrets;
use crate::web::untrusted::one_line;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Requests at the same time; more wait.
const REQUESTS_MAX: usize = 16;
/// How long a message that wants no answer may take: others wait for it.
const NOTICE_TIME: Duration = Duration::from_secs(5);
/// How long the end of a session may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// Where and how requests are sent.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    /// The longest time of a request with its answer.
    pub(super) time: Duration,
    pub(super) secrets: Secrets,
}

/// Connects with an endpoint. Nothing is sent yet.
pub(super) fn connect(endpoint: Endpoint) -> Wire {
    let (wire, far) = pair();
    tokio::spawn(serve(endpoint, far));
    wire
}

/// The headers that the server gave for the rest of the session.
#[derive(Default)]
struct Session(Mutex<HeaderMap>);

impl Session {
    fn headers(&self) -> HeaderMap {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: HeaderName, value: HeaderValue) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }
}

async fn serve(endpoint: Endpoint, far: FarEnd) {
    let FarEnd { mut outgoing, screen, fate } = far;
    let (screen, session) = (Arc::new(screen), Arc::new(Session::default()));
    let mut requests: JoinSet<Result<(), String>> = JoinSet::new();
    let why = loop {
        tokio::select! {
            () = fate.stopped() => break "it was stopped".to_owned(),
            Some(done) = requests.join_next(), if !requests.is_empty() => match done {
                Ok(Ok(())) => {}
                Ok(Err(why)) => break why,
                Err(error) => break format!("a request failed: {error}"),
            },
            message = outgoing.recv(), if requests.len() < REQUESTS_MAX => {
                let Some(message) = message else { break "it was stopped".to_owned() };
                let exchange = exchange(endpoint.clone(), Arc::clone(&session), Arc::clone(&screen), message);
                // What is not a request is sent in order; requests may wait for their answers together.
                match exchange.is_request {
                    true => drop(requests.spawn(exchange.send())),
                    false => if let Err(why) = exchange.send().await { break why },
                }
            }
        }
    };
    requests.shutdown().await;
    if session.headers().contains_key(SESSION) {
        let goodbye =
            endpoint.client.delete(&endpoint.url).headers(endpoint.headers.clone()).headers(session.headers());
        let _ = tokio::time::timeout(GOODBYE_TIME, goodbye.send()).await;
    }
    fate.finish(endpoint.secrets.masked(why));
    // IMPORTANT: after the reason is known, because this closes the queue that rmcp reads.
    drop(screen);
}

struct Exchange {
    endpoint: Endpoint,
    session: Arc<Session>,
    screen: Arc<Screen>,
    message: Vec<u8>,
    is_request: bool,
}

fn exchange(endpoint: Endpoint, session: Arc<Session>, screen: Arc<Screen>, message: Vec<u8>) -> Exchange {
    #[derive(serde::Deserialize)]
    struct Kind {
        #[serde(default)]
        id: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        method: Option<serde::de::IgnoredAny>,
    }
    let kind = serde_json::from_slice::<Kind>(&message).ok();
    let is_request = kind.is_some_and(|kind| kind.id.is_some() && kind.method.is_some());
    Exchange { endpoint, session, screen, message, is_request }
}

impl Exchange {
    /// Sends the message and takes what comes back. An error is why the connection must end.
    async fn send(self) -> Result<(), String> {
        let time = if self.is_request { self.endpoint.time } else { NOTICE_TIME };
        match tokio::time::timeout(time, self.post()).await {
            Ok(done) => done,
            Err(_) => self.screen.fail(&self.message, "the server did not answer in time").await.map(drop),
        }
    }

    async fn post(&self) -> Result<(), String> {
        let request = self.endpoint.client.post(&self.endpoint.url).headers(self.endpoint.headers.clone());
        let request = request.headers(self.session.headers()).header(CONTENT_TYPE, "application/json");
        let request = request.header(ACCEPT, "application/json, text/event-stream").body(self.message.clone());
        let response = request.send().await.map_err(|error| format!("it cannot be reached: {}", innermost(&error)))?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && self.session.headers().contains_key(SESSION) {
            return Err("it has ended the session".to_owned());
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(format!(
                "it refuses our credentials (HTTP {}); check `transport.http.headers`",
                status.as_u16()
            ));
        }
        if status.is_redirection() {
            return Err(format!("it redirects (HTTP {}); configure its final address", status.as_u16()));
        }
        if let Some(id) = response.headers().get(SESSION) {
            let mut id = id.clone();
            id.set_sensitive(true);
            self.session.set(SESSION, id);
        }
        if !self.is_request {
            return Ok(());
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_stream = kind.to_ascii_lowercase().starts_with("text/event-stream");
        if !status.is_success() {
            let body = body(response, 2_000).await.unwrap_or_default();
            let why = format!("HTTP {}: {}", status.as_u16(), one_line(&String::from_utf8_lossy(&body), 300));
            return self.screen.fail(&self.message, &why).await.map(drop);
        }
        let seen = if is_stream { self.stream(response).await? } else { self.whole(response).await? };
        match seen {
            Seen::Answer => Ok(()),
            Seen::Other => {
                self.screen.fail(&self.message, "the server ended its answer without a result").await.map(drop)
            }
        }
    }

    async fn whole(&self, response: Response) -> Result<Seen, String> {
        let body = body(response, MCP_MESSAGE_BYTES_MAX + 1).await?;
        self.take(&body).await
    }

    /// Reads events up to the answer.
    async fn stream(&self, mut response: Response) -> Result<Seen, String> {
        let mut events = Events::default();
        let mut total = 0_usize;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            total += chunk.len();
            if total > MCP_NOISE_BYTES_MAX {
                return Err(too_large());
            }
            for event in events.push(&chunk)? {
                if self.take(&event).await? == Seen::Answer {
                    return Ok(Seen::Answer);
                }
            }
        }
        Ok(Seen::Other)
    }

    async fn take(&self, message: &[u8]) -> Result<Seen, String> {
        // The version that initialisation agreed on goes with every later request.
        if !self.session.headers().contains_key(VERSION)
            && let Ok(answer) =
                serde_json::from_slice::<serde_json::Value>(&message[..message.len().min(MCP_MESSAGE_BYTES_MAX)])
            && let Some(version) = answer.pointer("/result/protocolVersion").and_then(|version| version.as_str())
            && let Ok(version) = HeaderValue::from_str(version)
        {
            self.session.set(VERSION, version);
        }
        self.screen.take(message).await
    }
}

async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        let kept = chunk.len().min(bytes_max - body.len());
        body.extend_from_slice(&chunk[..kept]);
        if body.len() == bytes_max {
            break;
        }
    }
    Ok(body)
}

/// Splits a stream of events; keeps their data alone.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    after_return: bool,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut events = Vec::new();
        for byte in chunk {
            let is_second = self.after_return && *byte == b'\n';
            self.after_return = *byte == b'\r';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > MCP_MESSAGE_BYTES_MAX {
                return Err(too_large());
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then_some(data);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }
}

fn broken(error: &reqwest::Error) -> String {
    format!("its answer broke off: {}", innermost(error))
}

/// The last cause: reqwest's own text has the whole address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    let text = if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() };
    one_line(&text, 300)
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_split_wherever_their_bytes_are_cut() {
        let text = b": hello\r\nevent: message\r\nid: 1\r\ndata: {\"a\":\ndata: 1}\r\n\r\ndata:x\n\n\n\ndata\n\nretry: 5\n\ndata: y\r\r";
        let whole = Events::default().push(text).expect("it is small");
        assert_eq!(whole, [b"{\"a\":\n1}".to_vec(), b"x".to_vec(), b"y".to_vec()]);
        for cut in 0..text.len() {
            let mut events = Events::default();
            let mut found = events.push(&text[..cut]).expect("it is small");
            found.extend(events.push(&text[cut..]).expect("it is small"));
            assert_eq!(found, whole, "cut at {cut}");
        }
    }
}
