//! `GET /runs/{run_id}/events?since=`: the events of a run as server-sent events, for clients without WebSockets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use orkestra::prelude::RunEvent;
use orkestra_agents::feed;
use serde::Deserialize;

use super::App;
use super::error::ApiError;
use super::extract::{Asked, OwnedRun};
use super::watch;

/// The header with which a reconnecting client says which event it saw last.
const LAST_EVENT_HEADER: &str = "last-event-id";

#[derive(Deserialize)]
pub(crate) struct EventsQuery {
    since: Option<u64>,
}

/// All events after `since` (default 0), including future ones; the stream ends with the run. To continue after an event, use
/// its id as `since`.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    owned: OwnedRun,
    Asked(asked): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = headers.get(LAST_EVENT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let since = last.or(asked.since).unwrap_or(0);
    if owned.record.status.is_final() && owned.run.view().await?.last.0 <= since {
        // This status tells a browser not to reconnect.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let stopping = app.stopping.clone().cancelled_owned();
    let events = watch::of_run(&owned.run, since).take_until(stopping);
    let shown = events.map(|event| event.map(|event| shown(&event)));
    Ok(Sse::new(shown).keep_alive(KeepAlive::default()).into_response())
}

fn shown(event: &RunEvent) -> Event {
    let event = feed::product_event(event);
    Event::default().id(event.seq.to_string()).event(event.event.name()).data(event.to_json().to_string())
}
