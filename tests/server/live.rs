//! Live events: over the WebSocket and as server-sent events.

use std::time::Duration;

use futures_util::SinkExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Server, names, next, rest};

/// For what must not come: it is asserted on, never waited for by a test that passes.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_socket_shows_every_run_of_its_organisation_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let (ours, theirs) = (server.register("ours").await, server.register("theirs").await);
    let mut socket = ours.socket("").await;
    socket.send(Message::text(json!({"api_key": ours.key}).to_string())).await.expect("it is sent");
    socket.send(Message::Ping("still there?".into())).await.expect("it is sent");
    let foreign = theirs.run(json!({})).await;
    theirs.events(&foreign, 0).await;
    let mut made = vec![ours.run(json!({})).await, ours.run(json!({})).await];

    let mut ended = Vec::new();
    while ended.len() < 2 {
        let event = tokio::time::timeout(LONG, next(&mut socket)).await.expect("more events").expect("an event");
        let run = event["run_id"].as_str().expect("an id").to_owned();
        assert!(made.contains(&run), "an event of {run}");
        if event["event"] == "run_completed" {
            ended.push(run);
        }
    }
    made.sort();
    ended.sort();
    assert_eq!(made, ended);

    server.app.stop().await;
    assert_eq!(rest(socket).await, (vec![], 1001), "the server says that it goes");
}

#[tokio::test]
async fn a_socket_goes_on_where_its_client_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let run = caller.run(json!({})).await;
    let all = caller.events(&run, 0).await;
    let middle = all.len() / 2;
    let since = all[middle - 1]["seq"].as_u64().expect("a position");
    assert_eq!(caller.events(&run, since).await, all[middle..]);
    assert_eq!(caller.events(&run, u64::MAX).await, Vec::<Value>::new());

    let mut socket = caller.socket("").await;
    let hello = json!({"api_key": caller.key, "run_id": run, "since": since});
    socket.send(Message::text(hello.to_string())).await.expect("it is sent");
    assert_eq!(rest(socket).await, (all[middle..].to_vec(), 1000));
}

#[tokio::test]
async fn an_unauthorised_client_is_closed_with_a_code() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let (ours, theirs) = (server.register("ours").await, server.register("theirs").await);
    let run = ours.run(json!({})).await;
    for (query, expected) in [
        ("?api_key=sk_0000".to_owned(), 4401),
        ("?api_key=".to_owned(), 4401),
        (format!("?api_key={}&run_id={run}", theirs.key), 4404),
        (format!("?api_key={}&run_id=%2F", theirs.key), 4404),
    ] {
        assert_eq!(rest(ours.socket(&query).await).await, (vec![], expected), "{query}");
    }
    for (hello, expected) in [("{}", 4401), ("hello", 4422), ("{\"api_key\": 5}", 4422)] {
        let mut socket = ours.socket("").await;
        socket.send(Message::text(hello)).await.expect("it is sent");
        assert_eq!(rest(socket).await, (vec![], expected), "{hello}");
    }
    let plain = ours.http.get(format!("http://{}/ws/runs", server.address));
    assert_eq!(ours.send(plain).await.1["code"], "websocket_needed");
}

#[tokio::test]
async fn server_sent_events_are_the_same_events() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let run = caller.run(json!({})).await;
    let path = format!("runs/{run}/events");
    let text = String::from_utf8(caller.bytes(&path).await).expect("text");
    let over_socket = caller.events(&run, 0).await;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert_eq!(events, over_socket);
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds, names(&events));
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();

    let again = caller.http.get(caller.url(&path)).header("Last-Event-ID", ids[ids.len() - 2]);
    let (_, body) = caller.send(again).await;
    assert_eq!(body.as_str().expect("text").matches("data: ").count(), 1);
    let done = caller.http.get(caller.url(&format!("{path}?since={}", ids[ids.len() - 1])));
    assert_eq!(caller.send(done).await.0, StatusCode::NO_CONTENT);
}
