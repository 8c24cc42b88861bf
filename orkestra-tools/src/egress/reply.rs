//! Answers of the proxy, worded for an agent: what was refused, why, and what to do instead.

use std::convert::Infallible;
use std::io;

use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// The longest reason that an answer has, bytes: it becomes one line of what a client prints.
const REASON_BYTES_MAX: usize = 300;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a request was not served.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Whom it was for, as counted in the record.
    pub(super) host: String,
    /// What to tell the agent.
    pub(super) text: String,
    /// Whether it is a matter of what is allowed, and not a failure of a registry.
    pub(super) is_policy: bool,
}

impl Refusal {
    /// Not allowed.
    pub(super) fn policy(host: impl Into<String>, text: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, host: host.into(), text: text.into(), is_policy: true }
    }

    /// Allowed, but it failed.
    pub(super) fn failure(status: StatusCode, host: impl Into<String>, text: impl Into<String>) -> Self {
        Self { status, host: host.into(), text: text.into(), is_policy: false }
    }

    /// The reason is in the status line too: pip and curl show that, and not the body, when a tunnel is refused.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = text(self.status, &format!("{}\n", self.text));
        if let Ok(reason) = ReasonPhrase::try_from(printable(&self.text).into_bytes()) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// One line of plain ASCII: names in it come from the sandbox.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(REASON_BYTES_MAX).collect()
}

pub(super) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = whole(text.as_bytes().to_vec(), Some("text/plain; charset=utf-8"));
    *response.status_mut() = status;
    response
}

pub(super) fn whole(content: Vec<u8>, kind: Option<&str>) -> Response<Body> {
    let length = content.len() as u64;
    let body = Full::new(Bytes::from(content)).map_err(|never: Infallible| match never {}).boxed_unsync();
    with_headers(Response::new(body), kind, Some(length))
}

pub(super) fn streamed(
    content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    kind: Option<&str>,
    length: Option<u64>,
) -> Response<Body> {
    let body = StreamBody::new(content.map(|piece| piece.map(Frame::data))).boxed_unsync();
    with_headers(Response::new(body), kind, length)
}

/// The headers of a content that is not sent.
pub(super) fn head(kind: Option<&str>, length: Option<u64>) -> Response<Body> {
    streamed(stream::empty(), kind, length)
}

fn with_headers(mut response: Response<Body>, kind: Option<&str>, length: Option<u64>) -> Response<Body> {
    if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
