//! The genai adapter against a server that misbehaves as real ones do.

use std::{sync::Mutex, time::Duration};

use orkestra_agents::model::{
    Arguments, FinishReason, Image, Message, Model, ModelChoice, ModelError, ModelSource, Patience, Request, Sink,
    StreamEvent, ToolDefinition,
};
use serde_json::json;

use crate::support::http::{Server, status, stream};

const DONE: &str = "[DONE]";

#[derive(Default)]
struct Heard(Mutex<Vec<StreamEvent>>);

impl Sink for Heard {
    fn event(&self, event: StreamEvent) {
        self.0.lock().expect("no test panics here").push(event);
    }
}

impl Heard {
    fn text(&self) -> String {
        let events = self.0.lock().expect("no test panics here");
        let texts = events.iter().filter_map(|event| match event {
            StreamEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

async fn model(server: &Server, tries: u32) -> std::sync::Arc<dyn Model> {
    let patience = Patience { tries, delay_initial: Duration::from_millis(1), ..Patience::default() };
    let choice = ModelChoice::named("some-model").with_base_url(&server.base_url).with_patience(patience);
    let source = ModelSource::with_environment(choice, |_| None);
    let spec = serde_json::from_value(json!({"name": "some-model", "base_url": server.base_url}));
    source.open(&spec.expect("a model")).expect("it opens without being asked")
}

fn request() -> Request {
    Request {
        messages: vec![Message::system("Work."), Message::user("Go.")],
        tools: vec![ToolDefinition {
            name: "write_file".to_owned(),
            description: "Writes a file.".to_owned(),
            schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        ..Request::default()
    }
}

#[tokio::test]
async fn pictures_are_sent_to_a_model_that_sees_and_to_no_other() {
    let answer = || stream(&[r#"{"choices":[{"index":0,"delta":{"content":"I see."},"finish_reason":"stop"}]}"#, DONE]);
    for (sees, expected) in [(Some(true), true), (Some(false), false), (None, false)] {
        let server = Server::start(vec![answer()]).await;
        let choice = ModelChoice::named("some-model").with_base_url(&server.base_url);
        let choice = sees.into_iter().fold(choice, ModelChoice::with_images);
        let spec = serde_json::from_value(json!({"name": "some-model", "base_url": server.base_url})).expect("a model");
        let model = ModelSource::with_environment(choice, |_| None).open(&spec).expect("it opens");
        assert_eq!(model.sees_images(), expected);
        let image = Image::new("image/png", b"\x89PNG".to_vec());
        let request = Request { images: vec![image], ..request() };
        model.stream(&request, &Heard::default()).await.expect("it answers");
        let body = server.bodies().remove(0);
        let messages = body["messages"].as_array().expect("messages");
        assert_eq!(messages.len(), if expected { 3 } else { 2 }, "{body}");
        let has_picture = body.to_string().contains("data:image/png;base64,iVBORw==");
        assert_eq!(has_picture, expected, "{body}");
    }
}

#[tokio::test]
async fn a_stream_of_llama_cpp_is_read() {
    let server = Server::start(vec![stream(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"I wr"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"ite."},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"write_file","arguments":"{\"pa"}}]},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"th\":\"a\"}"}}]},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38}}"#,
        DONE,
    ])])
    .await;
    let heard = Heard::default();
    let reply = model(&server, 1).await.stream(&request(), &heard).await.expect("it answers");
    assert_eq!(heard.text(), "I write.");
    assert_eq!(reply.message.text, "I write.");
    assert_eq!(reply.message.tool_calls.len(), 1);
    assert_eq!(reply.message.tool_calls[0].arguments, Arguments::Valid(json!({"path": "a"})));
    assert_eq!((reply.usage.input, reply.usage.output), (Some(31), Some(7)));
    assert_eq!(reply.stop, FinishReason::Finished);
    let body = &server.bodies()[0];
    assert_eq!(body["model"], "some-model");
    assert_eq!(body["tools"][0]["function"]["name"], "write_file");
    assert_eq!(body["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn a_truncated_call_is_malformed_and_sent_back_without_arguments() {
    let cut_off = stream(&[
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"write_file","arguments":"{\"path\":\"a\",\"content\":\"pri"}}]},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
        DONE,
    ]);
    let server = Server::start(vec![cut_off, stream(&[DONE])]).await;
    let model = model(&server, 1).await;
    let reply = model.complete(&request()).await.expect("it answers");
    assert_eq!(reply.stop, FinishReason::Length);
    assert!(matches!(reply.message.tool_calls[0].arguments, Arguments::Malformed { .. }));
    let mut again = request();
    again.messages.push(Message::Assistant(reply.message));
    model.complete(&again).await.expect("it answers");
    assert_eq!(server.bodies()[1]["messages"][2]["tool_calls"][0]["function"]["arguments"], "{}");
}

#[tokio::test]
async fn a_broken_stream_is_not_an_answer() {
    let broken = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"Half an ans"},"finish_reason":null}]}"#]);
    let server = Server::start(vec![broken]).await;
    let error = model(&server, 1).await.complete(&request()).await.expect_err("it is not whole");
    assert!(matches!(error, ModelError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_rate_limit_waits_for_the_requested_delay() {
    let limited = status("429 Too Many Requests", "retry-after: 0\r\n", r#"{"error":{"message":"slow down"}}"#);
    let whole = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"Done."},"finish_reason":"stop"}]}"#, DONE]);
    let server = Server::start(vec![limited, whole]).await;
    let heard = Heard::default();
    let reply = model(&server, 2).await.stream(&request(), &heard).await.expect("the second try answers");
    assert_eq!(reply.message.text, "Done.");
    let events = heard.0.lock().expect("no test panics here");
    let StreamEvent::Waiting { delay, reason } = &events[0] else { panic!("{events:?}") };
    assert_eq!(*delay, Duration::ZERO);
    let expected = ModelError::RateLimited {
        retry_after: Some(Duration::ZERO),
        message: "429 Too Many Requests: slow down".to_owned(),
    };
    assert_eq!(*reason, expected);
}

#[tokio::test]
async fn errors_are_sorted_by_what_to_do() {
    for (answer, kind) in [
        (status("500 Internal Server Error", "", "{}"), "model_unavailable"),
        (status("401 Unauthorized", "", r#"{"error":{"message":"wrong key"}}"#), "model_authentication"),
        (status("402 Payment Required", "", "{}"), "model_credit"),
        (status("400 Bad Request", "", r#"{"error":{"type":"exceed_context_size_error"}}"#), "model_context_too_long"),
        (status("404 Not Found", "", "no such model"), "model_bad_request"),
        (stream(&["this is not JSON"]), "model_malformed"),
        (stream(&[r#"{"error":{"message":"the server is shutting down"}}"#]), "model_unavailable"),
        ("garbage\r\n\r\n".to_owned(), "model_unavailable"),
    ] {
        let server = Server::start(vec![answer.clone()]).await;
        let error = model(&server, 1).await.complete(&request()).await.expect_err("it fails");
        assert_eq!(error.kind(), kind, "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn a_missing_server_is_unavailable_and_its_address_is_not_shown() {
    let server = Server::start(vec![]).await;
    let error = model(&server, 1).await.complete(&request()).await.expect_err("nobody listens");
    assert!(matches!(&error, ModelError::Unavailable(text) if !text.contains("/v1")), "{error:?}");
}
