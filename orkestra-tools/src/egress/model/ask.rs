//! A request for the model: whether it is allowed, and what is sent in its place.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::pass::{Call, Passing};
use super::{ModelGateway, PREFIX};
use crate::egress::proxy::Shared;
use crate::egress::reply::{self, Body, printable};
use crate::limits::{EGRESS_MODEL_REQUEST_BYTES_MAX, EGRESS_SILENCE_MAX};

/// What a client may say in headers. Everything else is left out, its key included.
const PASSED_ON: [&str; 4] = ["accept", "anthropic-version", "anthropic-beta", "openai-beta"];
/// What the endpoint may say in headers.
const PASSED_BACK: [HeaderName; 4] =
    [CONTENT_TYPE, RETRY_AFTER, HeaderName::from_static("x-request-id"), HeaderName::from_static("request-id")];

/// What a path is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Models,
    Chat,
    Completions,
    Responses,
    Messages,
    Embeddings,
}

/// Why a request is not served.
struct No {
    status: StatusCode,
    code: &'static str,
    text: String,
    is_policy: bool,
}

impl Endpoint {
    /// The endpoint of this path below `/model/`, and its path below the base of the operator's endpoint.
    fn of(path: &str) -> Option<(Self, &'static str)> {
        Some(match path.strip_prefix("v1/")? {
            "models" => (Self::Models, "models"),
            "chat/completions" => (Self::Chat, "chat/completions"),
            "completions" => (Self::Completions, "completions"),
            "responses" => (Self::Responses, "responses"),
            "messages" => (Self::Messages, "messages"),
            "embeddings" => (Self::Embeddings, "embeddings"),
            _ => return None,
        })
    }

    fn method(self) -> Method {
        if self == Self::Models { Method::GET } else { Method::POST }
    }
}

impl No {
    fn policy(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), is_policy: true }
    }

    fn failure(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), is_policy: false }
    }

    /// In the form of OpenAI's errors, which clients show.
    fn response(&self) -> Response<Body> {
        let error = json!({ "error": { "message": self.text, "type": self.code, "param": null, "code": self.code } });
        let mut response = reply::whole(error.to_string().into_bytes(), Some("application/json"));
        *response.status_mut() = self.status;
        response
    }
}

/// Serves a path below `/model/`.
pub(in crate::egress) async fn serve(
    shared: &Arc<Shared>,
    gateway: &ModelGateway,
    request: Request<Incoming>,
) -> Response<Body> {
    match answer(shared, gateway, request).await {
        Ok(response) => response,
        Err(no) => {
            if no.is_policy {
                shared.record.refuse(gateway.host(), &printable(&no.text));
            }
            tracing::debug!(text = %no.text, "a request of a sandbox for the model was not served");
            no.response()
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    gateway: &ModelGateway,
    request: Request<Incoming>,
) -> Result<Response<Body>, No> {
    let path = request.uri().path().trim_start_matches('/').strip_prefix(PREFIX).unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or_default();
    let Some((endpoint, below)) = Endpoint::of(path) else {
        let text = "the model gateway of this sandbox has no such path; it serves v1/chat/completions, v1/completions, \
                    v1/responses, v1/messages, v1/embeddings and v1/models";
        return Err(No::policy(StatusCode::NOT_FOUND, "not_found", text));
    };
    if *request.method() != endpoint.method() {
        let text = format!("the model gateway serves {} {path} only", endpoint.method());
        return Err(No::policy(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text));
    }
    let permit = Arc::clone(&gateway.state.free).acquire_owned().await;
    let permit = permit.map_err(|_| unavailable("the gateway is ending"))?;
    let headers = headers(gateway, endpoint, request.headers());
    let (body, call) = match endpoint {
        Endpoint::Models => (Vec::new(), None),
        _ => {
            let body = rewritten(gateway, endpoint, receive(request.into_body()).await?)?;
            let call = admit(gateway, body.len() as u64)?;
            (body, Some(call))
        }
    };
    shared.record.change(gateway.host(), |used| {
        used.allowed += 1;
        used.bytes_sent += body.len() as u64;
    });
    let url = format!("{}/{below}", gateway.base.as_str().trim_end_matches('/'));
    let mut outgoing = gateway.client.request(endpoint.method(), url).headers(headers);
    if call.is_some() {
        outgoing = outgoing.header(CONTENT_TYPE, "application/json").body(body);
    }
    let answer = match outgoing.send().await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(call) = call {
                gateway.note(None);
                call.fail();
            }
            tracing::warn!(error = %error.without_url(), host = gateway.host(), "the model endpoint does not answer");
            return Err(unavailable("it does not answer"));
        }
    };
    let (status, answered) = (answer.status(), answer.headers().clone());
    if call.is_some() {
        gateway.note(Some(status));
    }
    let call = match call {
        // An error has used nothing.
        Some(call) if !status.is_success() => {
            call.fail();
            None
        }
        call => call,
    };
    check(status)?;
    let passing = Passing::new(Arc::clone(shared), gateway.clone(), answer, call, permit);
    let mut response = reply::streamed(passing.stream(), None, None);
    *response.status_mut() = status;
    for name in PASSED_BACK {
        if let Some(value) = answered.get(&name).filter(|value| is_clean(gateway, value)) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

fn admit(gateway: &ModelGateway, bytes: u64) -> Result<Call, No> {
    // NOTE: 401, because both known agents give up at once on that. At 403, aider 0.86 calls nine times in 68 s and mini-swe-agent
    // 2.4 goes on for minutes; at 429 they and the library below them call three times as often.
    gateway.admit().map_err(|text| No::policy(StatusCode::UNAUTHORIZED, "insufficient_quota", text))?;
    Ok(Call::begin(gateway.clone(), bytes))
}

/// What must not reach the sandbox: that the operator's key is wrong says nothing about the program, and may show parts of the key.
fn check(status: StatusCode) -> Result<(), No> {
    match status.as_u16() {
        401 | 403 => Err(unavailable("it refused the operator's key; ask the operator")),
        code @ 300..=399 => Err(unavailable(&format!("it answered {code}, a redirect, which is not followed"))),
        _ => Ok(()),
    }
}

fn unavailable(reason: &str) -> No {
    No::failure(
        StatusCode::BAD_GATEWAY,
        "model_unavailable",
        format!("the model endpoint did not serve this: {reason}"),
    )
}

fn is_clean(gateway: &ModelGateway, value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| gateway.secrets.mask(text) == text)
}

fn headers(gateway: &ModelGateway, endpoint: Endpoint, client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON {
        if let Some(value) = client.get(name) {
            headers.insert(name, value.clone());
        }
    }
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    // The path of Anthropic's protocol has its header.
    let (name, text) = match (&gateway.key, endpoint) {
        (None, _) => return headers,
        (Some(key), Endpoint::Messages) => (HeaderName::from_static("x-api-key"), key.clone()),
        (Some(key), _) => (AUTHORIZATION, format!("Bearer {key}")),
    };
    // It was tried when the gateway was made.
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers
}

async fn receive(body: Incoming) -> Result<Map<String, Value>, No> {
    let invalid = |text: &str| No::failure(StatusCode::BAD_REQUEST, "invalid_request_error", text);
    let received = timeout(EGRESS_SILENCE_MAX, Limited::new(body, EGRESS_MODEL_REQUEST_BYTES_MAX).collect()).await;
    let received = match received {
        Err(_) => return Err(invalid("the request did not arrive in time")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("the request is larger than {EGRESS_MODEL_REQUEST_BYTES_MAX} bytes");
            return Err(No::policy(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text));
        }
        Ok(Err(_)) => return Err(invalid("the request broke off")),
        Ok(Ok(received)) => received.to_bytes(),
    };
    match serde_json::from_slice(&received) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(invalid("the request must be a JSON object")),
    }
}

/// The request with the operator's model and limits, and with a question for the usage.
fn rewritten(gateway: &ModelGateway, endpoint: Endpoint, mut fields: Map<String, Value>) -> Result<Vec<u8>, No> {
    if let Some(model) = &gateway.model {
        fields.insert("model".to_owned(), Value::from(model.as_str()));
    }
    // An answer in the background would be fetched, and counted, later.
    fields.remove("background");
    let is_chat = matches!(endpoint, Endpoint::Chat | Endpoint::Completions);
    if is_chat && fields.get("stream").and_then(Value::as_bool) == Some(true) {
        let options = fields.entry("stream_options").or_insert_with(|| json!({}));
        match options {
            Value::Object(options) => _ = options.insert("include_usage".to_owned(), Value::Bool(true)),
            other => *other = json!({ "include_usage": true }),
        }
    }
    if let Some(max) = gateway.output_tokens_max {
        cap(endpoint, &mut fields, max);
    }
    serde_json::to_vec(&fields).map_err(|error| unavailable(&error.to_string()))
}

fn cap(endpoint: Endpoint, fields: &mut Map<String, Value>, max: u64) {
    let (names, usual): (&[&str], &str) = match endpoint {
        Endpoint::Models | Endpoint::Embeddings => return,
        Endpoint::Chat | Endpoint::Completions => (&["max_tokens", "max_completion_tokens"], "max_tokens"),
        Endpoint::Responses => (&["max_output_tokens"], "max_output_tokens"),
        Endpoint::Messages => (&["max_tokens"], "max_tokens"),
    };
    let mut is_given = false;
    for name in names {
        if let Some(value) = fields.get_mut(*name).filter(|value| !value.is_null()) {
            // What is not a number in range is not left to the endpoint to understand.
            *value = Value::from(value.as_u64().map_or(max, |given| given.min(max)));
            is_given = true;
        }
    }
    if !is_given {
        fields.insert(usual.to_owned(), Value::from(max));
    }
}
