//! The gateway to a model, with an endpoint of the test's own behind it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Answer, connect, send};
use crate::egress::upstream::Names;
use crate::egress::{EgressOptions, EgressProxy, ModelGateway, ModelUsage};

const KEY: &str = "sk-operators-own-0123456789";

/// An endpoint that answers every request with the next of its answers, and keeps what it was asked.
struct Endpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return String::from_utf8_lossy(&request).into_owned();
            }
        }
        if stream.read_buf(&mut request).await.is_ok_and(|count| count == 0) {
            return String::from_utf8_lossy(&request).into_owned();
        }
    }
}

impl Endpoint {
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let request = read_request(&mut stream).await;
                seen.lock().expect("no test panics inside").push(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no test panics inside"))
    }

    fn gateway(&self) -> ModelGateway {
        ModelGateway::new(&format!("http://{}/base/v1/", self.address), Some(KEY)).expect("valid")
    }
}

fn whole(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nX-Internal: 1\r\n\r\n{body}"
    )
}

fn answered(input: u64, output: u64) -> String {
    let body = json!({ "choices": [], "usage": { "prompt_tokens": input, "completion_tokens": output } });
    whole("200 OK", "application/json", &body.to_string())
}

async fn proxy(gateway: &ModelGateway) -> EgressProxy {
    let options = EgressOptions::default().with_registries(Vec::new()).with_model(gateway.clone());
    EgressProxy::start_with(options, Names::Fixed(HashMap::new())).await.expect("started")
}

async fn ask(proxy: &EgressProxy, method: &str, path: &str, body: &str) -> Answer {
    let request = format!(
        "{method} /model/{path} HTTP/1.1\r\nHost: 127.0.0.1:3128\r\nAuthorization: Bearer placeholder\r\nCookie: a=b\r\n\
         X-Data: leaks\r\nAnthropic-Version: 2023-06-01\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(proxy, request.as_bytes()).await
}

/// What came back, without the lengths of chunks.
fn content(answer: &Answer) -> String {
    answer.text().lines().filter(|line| u32::from_str_radix(line, 16).is_err()).collect::<Vec<_>>().join("\n")
}

/// The JSON that an endpoint was sent.
fn sent(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn the_key_goes_to_the_endpoint_and_never_into_the_sandbox() {
    let leaking = format!(r#"{{"error":{{"message":"no such model for {KEY}"}}}}"#);
    let base64 = "c2stb3BlcmF0b3JzLW93bi0wMTIzNDU2Nzg5";
    let endpoint = Endpoint::start(vec![
        whole("404 Not Found", "application/json", &leaking),
        whole("200 OK", "text/event-stream", &format!("data: {base64}\n\ndata: {KEY}\n\n")),
        whole("401 Unauthorized", "application/json", &leaking),
        format!("HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\nLocation: http://{KEY}.test/\r\nContent-Length: 0\r\n\r\n"),
        answered(1, 1),
    ])
    .await;
    let gateway = endpoint.gateway();
    let proxy = proxy(&gateway).await;
    let mut all = format!("{gateway:?}");
    for (path, status, expected) in [
        ("v1/chat/completions", 404, "no such model for [secret MODEL_KEY]"),
        ("v1/chat/completions", 200, "data: [secret MODEL_KEY]"),
        ("v1/chat/completions", 502, "it refused the operator's key"),
        ("v1/chat/completions", 502, "a redirect, which is not followed"),
        ("v1/messages", 200, "usage"),
    ] {
        let answer = ask(&proxy, "POST", path, r#"{"model":"m"}"#).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(content(&answer).contains(expected), "{}", answer.text());
        assert!(!answer.head.to_ascii_lowercase().contains("x-internal"), "{}", answer.head);
        all.push_str(&answer.head);
        all.push_str(&content(&answer));
    }
    assert!(!all.contains(KEY) && !all.contains(base64) && !all.contains("operators"), "{all}");
    let requests = endpoint.requests();
    for request in &requests {
        let head = request.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        assert!(head.starts_with("post /base/v1/") && head.contains("anthropic-version: 2023-06-01"), "{head}");
        assert!(!head.contains("placeholder") && !head.contains("cookie") && !head.contains("x-data"), "{head}");
    }
    assert!(requests[0].contains(&format!("authorization: Bearer {KEY}")), "{}", requests[0]);
    assert!(requests[4].contains(&format!("x-api-key: {KEY}")) && !requests[4].contains("Bearer"), "{}", requests[4]);
    assert_eq!(
        gateway.usage(),
        ModelUsage { calls: 5, input_tokens: 1, output_tokens: 1, calls_without_usage: 1, ..gateway.usage() }
    );
}

#[tokio::test]
async fn other_methods_paths_and_bodies_are_refused() {
    let endpoint = Endpoint::start(vec![whole("200 OK", "application/json", r#"{"data":[]}"#)]).await;
    let gateway = endpoint.gateway();
    let proxy = proxy(&gateway).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    for (method, path, body, status, expected) in [
        ("GET", "v1/chat/completions", "", 405, "serves POST v1/chat/completions only"),
        ("POST", "v1/models", "{}", 405, "serves GET v1/models only"),
        ("DELETE", "v1/models", "", 405, "serves GET v1/models only"),
        ("GET", "v1/files", "", 404, "no such path"),
        ("POST", "v1/chat/completions/../../files", "{}", 404, "no such path"),
        ("POST", "chat/completions", "{}", 404, "no such path"),
        ("GET", "", "", 404, "no such path"),
        ("POST", "v1/responses/r1/cancel", "{}", 404, "no such path"),
        ("POST", "v1/chat/completions", "[]", 400, "must be a JSON object"),
        ("POST", "v1/chat/completions", "", 400, "must be a JSON object"),
        ("POST", "v1/chat/completions", &large, 413, "larger than 16777216 bytes"),
    ] {
        let answer = ask(&proxy, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let error: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let message = error["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "{method} {path}: {message}");
    }
    assert_eq!(proxy.refused(), 9);
    assert!(endpoint.requests().is_empty());
    assert_eq!(gateway.usage(), ModelUsage::default());
    assert_eq!(ask(&proxy, "GET", "v1/models", "").await.status, 200);
    assert_eq!(gateway.usage().calls, 0, "a list of models is not a call");
    assert_eq!(proxy.hosts().len(), 1);
    let without =
        EgressProxy::start_with(EgressOptions::default(), Names::Fixed(HashMap::new())).await.expect("started");
    assert_eq!(ask(&without, "POST", "v1/chat/completions", "{}").await.status, 404);
}

#[tokio::test]
async fn answers_are_streamed_and_their_usage_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let gateway = ModelGateway::new(&base, None::<String>).expect("valid");
    let proxy = proxy(&gateway).await;
    let mut client = connect(&proxy).await;
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"other":1}}"#;
    let length = body.len();
    let head = "POST /model/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    client.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await.expect("sent");
    let (mut far, _) = listener.accept().await.expect("a request");
    let request = read_request(&mut far).await;
    assert!(!request.to_ascii_lowercase().contains("authorization"), "{request}");
    assert_eq!(sent(&request)["stream_options"], json!({ "include_usage": true, "other": 1 }));
    let begin =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {\"first\":1}\n\n";
    far.write_all(begin.as_bytes()).await.expect("sent");
    // The second event is sent only after the first has arrived.
    let mut back = Vec::new();
    while !String::from_utf8_lossy(&back).contains("first") {
        assert_ne!(client.read_buf(&mut back).await.expect("an answer"), 0);
    }
    assert_eq!(gateway.usage().input_tokens, 0);
    let end = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
    far.write_all(end.as_bytes()).await.expect("sent");
    drop(far);
    client.read_to_end(&mut back).await.expect("an answer");
    assert!(String::from_utf8_lossy(&back).contains("[DONE]"));
    let usage = gateway.usage();
    assert_eq!((usage.calls, usage.input_tokens, usage.output_tokens, usage.is_complete()), (1, 20, 5, true));
}

#[tokio::test]
async fn limits_hold_across_clones_and_a_refusal_says_so() {
    let endpoint = Endpoint::start(vec![answered(60, 30), answered(10, 1), answered(1, 1)]).await;
    let gateway = endpoint.gateway().with_tokens_max(100).with_output_tokens_max(50).with_model("fixed");
    let proxy_of_clone = proxy(&gateway).await;
    for (body, expected) in [
        (
            json!({ "model": "a", "max_tokens": 4000, "background": true }),
            json!({ "model": "fixed", "max_tokens": 50 }),
        ),
        (json!({ "max_completion_tokens": -1 }), json!({ "model": "fixed", "max_completion_tokens": 50 })),
    ] {
        assert_eq!(ask(&proxy_of_clone, "POST", "v1/chat/completions", &body.to_string()).await.status, 200);
        assert_eq!(sent(&endpoint.requests()[0]), expected);
    }
    let refused = ask(&proxy_of_clone, "POST", "v1/chat/completions", "{}").await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("\"code\":\"insufficient_quota\"") && refused.text().contains("101 tokens"));
    let usage = gateway.usage();
    assert_eq!((usage.calls, usage.input_tokens, usage.output_tokens, usage.refused), (2, 70, 31, 1));
    assert_eq!(proxy_of_clone.refusals_since(0), ["the budget of this trial is used up: 101 tokens"]);
    let few = endpoint.gateway().with_calls_max(1);
    let proxy_of_few = proxy(&few).await;
    let statuses = [
        ask(&proxy_of_few, "POST", "v1/responses", "{}").await.status,
        ask(&proxy_of_few, "POST", "v1/responses", "{}").await.status,
    ];
    assert_eq!(statuses, [200, 401]);
}

#[tokio::test]
async fn unknown_usage_stays_unknown_and_still_counts_for_the_limit() {
    let text = "y".repeat(400);
    let broken = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\ndata: {}\n\n";
    let endpoint = Endpoint::start(vec![whole("200 OK", "application/json", &text), broken.to_owned()]).await;
    let gateway = endpoint.gateway().with_tokens_max(100);
    let proxy = proxy(&gateway).await;
    assert_eq!(ask(&proxy, "POST", "v1/completions", "{}").await.status, 200);
    let usage = gateway.usage();
    assert_eq!((usage.input_tokens, usage.calls_without_usage, usage.is_complete()), (0, 1, false));
    assert_eq!(ask(&proxy, "POST", "v1/completions", "{}").await.status, 401, "400 bytes are taken for 100 tokens");
    let other = endpoint.gateway();
    let other_proxy = super::model::proxy(&other).await;
    ask(&other_proxy, "POST", "v1/completions", "{}").await;
    assert_eq!((other.usage().calls_cut_off, other.usage().is_complete()), (1, true));
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_told_without_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let gateway = ModelGateway::new(&format!("http://{address}/v1"), Some(KEY)).expect("valid");
    let proxy = proxy(&gateway).await;
    let asked = tokio::time::timeout(Duration::from_secs(20), ask(&proxy, "POST", "v1/chat/completions", "{}")).await;
    let answer = asked.expect("at once");
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("it does not answer") && !answer.text().contains(&address.to_string()));
    assert_eq!(gateway.usage(), ModelUsage { calls: 1, ..ModelUsage::default() });
}

#[tokio::test]
async fn an_endpoint_that_fails_is_noticed_until_it_serves_again() {
    let error = |status: &str| whole(status, "application/json", "{}");
    let answers = [
        (error("404 Not Found"), true),
        (answered(1, 1), false),
        (error("400 Bad Request"), false),
        (error("503 Service Unavailable"), true),
        (error("400 Bad Request"), false),
        (error("429 Too Many Requests"), true),
        (error("401 Unauthorized"), true),
        (answered(1, 1), false),
    ];
    let endpoint = Endpoint::start(answers.iter().map(|(answer, _)| answer.clone()).collect()).await;
    let gateway = endpoint.gateway();
    let proxy = proxy(&gateway).await;
    assert_eq!(gateway.failing_for(), None);
    for (answer, is_failing) in answers {
        ask(&proxy, "POST", "v1/chat/completions", "{}").await;
        assert_eq!(gateway.failing_for().is_some(), is_failing, "{answer}");
        assert_eq!(gateway.renewed().failing_for(), None);
    }
}

#[test]
fn addresses_and_keys_that_cannot_be_used_are_refused() {
    for (address, key, expected) in [
        ("127.0.0.1:80", None, "invalid"),
        ("ftp://a.test/", None, "must begin with http"),
        ("http://u:p@a.test/v1", None, "give the key separately"),
        ("http://a.test/v1?key=k", None, "give the key separately"),
        ("http://a.test/v1", Some("two\nlines"), "characters that a header cannot"),
    ] {
        let error = ModelGateway::new(address, key).expect_err(address).to_string();
        assert!(error.contains(expected) && !error.contains("u:p"), "{error}");
    }
}
