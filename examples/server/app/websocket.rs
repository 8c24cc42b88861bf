//! `/ws/runs`: live events over a WebSocket, of the whole organisation or of one run.
//!
//! ```text
//! /ws/runs?api_key=KEY[&run_id=ID[&since=SEQ]]      or the same as the first message: {"api_key": "KEY", ...}
//! ```
//! Closes with 1000 when the requested run has ended, 1001 when the server stops, 1011 on a server error, 1013 when the client
//! should reconnect, 4401 for a missing or unknown key, 4404 when the run is not found, 4422 for an invalid message. A client that
//! lost its connection reconnects with the last `seq` it saw as `since`, and misses nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt;
use orkestra_agents::feed;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::App;
use super::error::ApiError;
use super::extract::{Asked, KEY_HEADER, OwnedRun};
use super::watch::{self, Live};

/// The largest message from a client, which only sends its key and a run id.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// How long a client may take to send its key.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// How often a ping is sent; a client that did not answer the previous one is disconnected.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a client may take to read one event.
const SEND_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to answer a close frame.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// The request of a client: the query string, or the first message.
#[derive(Deserialize)]
pub(crate) struct Hello {
    api_key: Option<String>,
    run_id: Option<String>,
    since: Option<u64>,
}

/// Why the server closes a connection: a close code of RFC 6455 or our own, and a reason.
struct Farewell(u16, &'static str);

/// How a connection ends.
enum End {
    Farewell(Farewell),
    /// The client has disconnected, or does not read what is sent.
    Gone,
}

/// Accepts the connection before it checks the key, because a browser cannot see the status of a refused upgrade.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Asked(mut hello): Asked<Hello>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| ApiError::no_websocket(rejection.status(), rejection.body_text()))?;
    let in_header = headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
    hello.api_key = hello.api_key.or_else(|| in_header.map(str::to_owned));
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |mut socket| {
        if let End::Farewell(farewell) = serve(&mut socket, &app, hello).await {
            say_goodbye(socket, farewell).await;
        }
    }))
}

async fn serve(socket: &mut WebSocket, app: &Arc<App>, mut hello: Hello) -> End {
    if hello.api_key.is_none() {
        hello = match timeout(HELLO_MAX, first_message(socket)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(end)) => return end,
            Err(_) => return End::Farewell(Farewell(4401, "no API key received")),
        };
    }
    let is_one_run = hello.run_id.is_some();
    match open(app, hello).await {
        Ok(live) => pump(socket, app, live, is_one_run).await,
        Err(farewell) => End::Farewell(farewell),
    }
}

async fn first_message(socket: &mut WebSocket) -> Result<Hello, End> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => {
                let unreadable = |_| End::Farewell(Farewell(4422, "the first message must be {\"api_key\": \"...\"}"));
                return serde_json::from_str(&text).map_err(unreadable);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(End::Farewell(Farewell(4422, "messages must be text"))),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
        }
    }
}

/// Checks the key and opens the requested events.
async fn open(app: &Arc<App>, hello: Hello) -> Result<Live, Farewell> {
    let failed = |_| Farewell(1011, "internal error");
    let organisation = app.accounts.organisation(&hello.api_key.unwrap_or_default()).await.map_err(failed)?;
    let organisation = organisation.ok_or(Farewell(4401, "unknown API key"))?;
    let Some(id) = hello.run_id else {
        return watch::of_organisation(Arc::clone(app), organisation).await.map_err(failed);
    };
    let owned = OwnedRun::find(app, &organisation, &id).await;
    let owned = owned.map_err(|_| Farewell(4404, "there is no such run"))?;
    Ok(watch::of_run(&owned.run, hello.since.unwrap_or(0)))
}

/// Sends events until there are no more, or one side closes the connection.
async fn pump(socket: &mut WebSocket, app: &App, mut live: Live, is_one_run: bool) -> End {
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = true;
    loop {
        let message = tokio::select! {
            // Stopping first, because it also ends the events. Then what the client sends, or busy events would hide its
            // answer to a ping. A client that never stops sending delays only its own events.
            biased;
            () = app.stopping.cancelled() => return End::Farewell(Farewell(1001, "the server is stopping")),
            heard = socket.recv() => match heard {
                None | Some(Err(_) | Ok(Message::Close(_))) => return End::Gone,
                Some(Ok(_)) => {
                    answered = true;
                    continue;
                }
            },
            _ = ping.tick() => {
                if !std::mem::replace(&mut answered, false) {
                    return End::Gone;
                }
                Message::Ping(axum::body::Bytes::new())
            }
            event = live.next() => match event {
                Some(Ok(event)) => Message::Text(feed::product_event(&event).to_json().to_string().into()),
                Some(Err(_)) if app.stopping.is_cancelled() => continue,
                Some(Err(_)) => return End::Farewell(Farewell(1011, "cannot read further events")),
                None if is_one_run => return End::Farewell(Farewell(1000, "the run has ended")),
                None => return End::Farewell(Farewell(1013, "connect again")),
            },
        };
        if !matches!(timeout(SEND_MAX, socket.send(message)).await, Ok(Ok(()))) {
            return End::Gone;
        }
    }
}

/// Sends a close frame and waits a moment for the client to answer it.
async fn say_goodbye(mut socket: WebSocket, Farewell(code, reason): Farewell) {
    let goodbye = async {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // If the client does not answer in time, the connection is dropped.
    drop(timeout(GOODBYE_MAX, goodbye).await);
}
