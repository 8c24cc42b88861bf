//! One request and one response of the [`super::GuardedClient`].

use std::time::Duration;

use encoding_rs::Encoding;
use serde_json::Value;

use crate::limits::{FETCH_BYTES_MAX, FETCH_TIMEOUT};

/// How much of a page is searched for the character set that it declares, bytes (the number of the HTML standard).
const CHARSET_BYTES: usize = 1024;

/// A request, with its limits.
#[derive(Clone)]
pub struct FetchRequest {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) follows_redirects: bool,
}

impl FetchRequest {
    /// A GET request. Redirects are followed.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            body: None,
            bytes_max: FETCH_BYTES_MAX,
            timeout: FETCH_TIMEOUT,
            follows_redirects: true,
        }
    }

    /// A POST request. Redirects are *not* followed: the response is returned as it is.
    pub fn post(url: impl Into<String>, content_type: &str, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..Self::get(url) }.with_header("content-type", content_type)
    }

    /// A POST request with a JSON body. Redirects are *not* followed: the response is returned as it is.
    pub fn post_json(url: impl Into<String>, body: &Value) -> Self {
        Self::post(url, "application/json", body.to_string().into_bytes())
    }

    /// Adds a header. No header is sent on to another origin by a redirect, nor shown in an error.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Returns a redirect as it is, instead of following it.
    #[must_use]
    pub fn without_redirects(mut self) -> Self {
        self.follows_redirects = false;
        self
    }

    /// Sets the size of the body that is read, bytes after decompression; [`FETCH_BYTES_MAX`] by default.
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Sets the time for everything, redirects and body included; [`FETCH_TIMEOUT`] by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A response of any status.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchResponse {
    /// The address that answered, after redirects.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// The content type, as it was sent.
    pub content_type: Option<String>,
    /// The `retry-after` header in its form of seconds.
    pub retry_after: Option<Duration>,
    /// The body, cut at the limit of the request.
    pub body: Vec<u8>,
    /// Whether the body is complete.
    pub is_complete: bool,
    /// Names in lower case, and values that are text.
    pub(crate) headers: Vec<(String, String)>,
}

impl FetchResponse {
    /// Whether the status is one of success (2xx).
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header with this name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// A response for a test.
    #[cfg(test)]
    pub(crate) fn of(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let retry_after =
            headers.iter().find(|(name, _)| name == "retry-after").and_then(|(_, value)| value.parse().ok());
        Self {
            url: String::new(),
            status,
            content_type: headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.clone()),
            retry_after: retry_after.map(Duration::from_secs),
            body: body.as_bytes().to_vec(),
            is_complete: true,
            headers,
        }
    }

    /// The media type, such as `text/html`, in lower case; empty if there is none.
    #[must_use]
    pub fn media_type(&self) -> String {
        let declared = self.content_type.as_deref().unwrap_or_default();
        declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The body as text, in the character set that a byte order mark, the content type or the page declares, else in UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        let declared = self.content_type.as_deref().and_then(|value| charset(value.as_bytes()));
        let declared = declared.or_else(|| charset(&self.body[..self.body.len().min(CHARSET_BYTES)]));
        let encoding = declared.unwrap_or(encoding_rs::UTF_8);
        encoding.decode(&self.body).0.into_owned()
    }
}

/// The value of the first `charset=`, as in a content type and in `<meta>`.
fn charset(text: &[u8]) -> Option<&'static Encoding> {
    const KEY: &str = "charset=";
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let value = &text[text.find(KEY)? + KEY.len()..];
    let is_end = |c: char| matches!(c, '"' | '\'' | ';' | '>' | '/') || c.is_whitespace();
    Encoding::for_label(value.trim_start_matches(['"', '\'']).split(is_end).next()?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::FetchResponse;

    #[test]
    fn text_is_decoded_as_it_is_declared() {
        let table: [(Option<&str>, &[u8], &str); 8] = [
            (None, "é".as_bytes(), "é"),
            (Some("text/html; charset=ISO-8859-1"), b"\xe9", "é"),
            (Some("text/html; charset=\"windows-1252\""), b"\x80", "€"),
            (Some("text/html"), b"<meta charset=shift_jis>\x82\xa0", "<meta charset=shift_jis>あ"),
            (
                None,
                b"<meta http-equiv=x content='text/html; charset=koi8-r'>\xc1",
                "<meta http-equiv=x content='text/html; charset=koi8-r'>а",
            ),
            (Some("text/html; charset=nonsense"), b"a\xff", "a\u{fffd}"),
            (Some("text/html; charset=latin1"), b"\xef\xbb\xbf\xc3\xa9", "é"),
            (Some("text/html; charset="), b"a", "a"),
        ];
        for (content_type, body, expected) in table {
            let response = FetchResponse {
                content_type: content_type.map(str::to_owned),
                body: body.to_vec(),
                ..FetchResponse::of(200, &[], "")
            };
            assert_eq!(response.text(), expected, "{content_type:?}");
        }
    }
}
