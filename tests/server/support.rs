//! A server in this process, and clients of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use orkestra::prelude::SledStore;
use orkestra::store::StoreErrorKind;
use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, SandboxChoice};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::{self, App};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server that listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    serving: JoinHandle<()>,
}

impl Server {
    /// A server on the directory `data`: accounts and runs of a server before it are there.
    pub(crate) async fn start(data: &Path) -> Self {
        let store = loop {
            match SledStore::open(data.join("store")) {
                Ok(store) => break Arc::new(store),
                // A server that was stopped gives the directory up when the last of its tasks has ended.
                Err(error) if error.kind() == StoreErrorKind::Busy => tokio::task::yield_now().await,
                Err(error) => panic!("the store does not open: {error}"),
            }
        };
        let model = ModelChoice::demo().with_demo_delay(Duration::ZERO);
        let orkestra = Orkestra::builder(data).model(model).sandbox(SandboxChoice::Local).start(store).await;
        let app = App::new(orkestra.expect("it starts")).await.expect("an app");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = app::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async { axum::serve(listener, service).await.expect("it serves") });
        Self { address, app, serving }
    }

    /// Stops like on SIGTERM.
    pub(crate) async fn stop(self) {
        self.app.stop().await;
        self.serving.abort();
        drop(self.serving.await);
    }

    pub(crate) fn client(&self) -> Caller {
        Caller { http: Client::new(), address: self.address, key: String::new() }
    }

    /// A client with an account of its own.
    pub(crate) async fn register(&self, email: &str) -> Caller {
        let mut caller = self.client();
        let account = json!({"email": email, "password": "secret", "organization_name": "My Org"});
        let (status, body) = caller.post("auth/register", &account).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        caller.key = body["api_key"].as_str().expect("a key").to_owned();
        caller
    }
}

/// A client of the API.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: Client,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Caller {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/{path}", self.address)
    }

    /// Sends a request with the caller's key, if it has one, and reads the JSON of the answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let request = if self.key.is_empty() { request } else { request.header("x-api-key", &self.key) };
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    /// The bytes of a response that is not JSON.
    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(self.url(path)).header("x-api-key", &self.key);
        let response = request.send().await.expect("an answer").error_for_status().expect("a success");
        response.bytes().await.expect("a whole body").to_vec()
    }

    /// Starts a run of the planner alone, which takes a moment, or of what `more` says.
    pub(crate) async fn run(&self, more: Value) -> String {
        let mut body = json!({"objective": "Build a shop", "tasks": ["planner"]});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let (status, body) = self.post("runs", &body).await;
        assert_eq!((status, &body["status"]), (StatusCode::CREATED, &json!("pending")), "{body}");
        body["run_id"].as_str().expect("an id").to_owned()
    }

    /// Connects to `/ws/runs` with this query string.
    pub(crate) async fn socket(&self, query: &str) -> Socket {
        connect_async(format!("ws://{}/ws/runs{query}", self.address)).await.expect("a connection").0
    }

    /// Every event of a run after `since`, to its end.
    pub(crate) async fn events(&self, run: &str, since: u64) -> Vec<Value> {
        let socket = self.socket(&format!("?api_key={}&run_id={run}&since={since}", self.key)).await;
        let (events, code) = rest(socket).await;
        assert_eq!(code, 1000, "a run's stream ends with it");
        events
    }
}

/// The next event that comes over `socket`; else the code with which it was closed.
pub(crate) async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await.expect("a word before the end").expect("a whole message") {
            Message::Text(text) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return Err(frame.map_or(1005, |frame| frame.code.into())),
            _ => {}
        }
    }
}

/// All that still comes, and the code with which the server closes.
pub(crate) async fn rest(mut socket: Socket) -> (Vec<Value>, u16) {
    let mut events = Vec::new();
    loop {
        match next(&mut socket).await {
            Ok(event) => events.push(event),
            Err(code) => return (events, code),
        }
    }
}

/// The names of events, in order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().expect("a name")).collect()
}
