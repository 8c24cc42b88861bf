//! What an answer of GitHub that is not a success means, in words with the next step. Pure.

use serde::Deserialize;

use super::{Github, Place};
use crate::error::ToolError;
use crate::web::{FetchError, FetchResponse, one_line};

/// Longest text of GitHub in an error, bytes.
const SAID_BYTES_MAX: usize = 300;

/// The body of an error.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// Everything that the body says, in one line.
pub(super) fn said(response: &FetchResponse) -> String {
    let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
    let details =
        problem.errors.iter().filter_map(|error| error.get("message").unwrap_or(error).as_str().map(str::to_owned));
    let all: Vec<String> = std::iter::once(problem.message).chain(details).filter(|text| !text.is_empty()).collect();
    one_line(&all.join(": "), SAID_BYTES_MAX)
}

impl Github {
    /// The error for an answer whose status is not one of success; `doing` as in "creating the pull request".
    pub(in crate::git) fn refused(&self, doing: &str, place: &Place, response: &FetchResponse) -> ToolError {
        ToolError::Refused(describe(doing, &place.to_string(), response))
    }

    /// The error when there is no answer, before anything was changed.
    pub(in crate::git) fn unreachable(&self, doing: &str, error: &FetchError) -> ToolError {
        ToolError::Refused(format!(
            "GitHub cannot be reached for {doing}: {error}; nothing was changed, so call again later"
        ))
    }
}

fn describe(doing: &str, place: &str, response: &FetchResponse) -> String {
    let status = response.status;
    let said = said(response);
    let because = if said.is_empty() { String::new() } else { format!(": {said}") };
    match status {
        300..=399 => format!("{place} has moved ({status}); find out its present owner and name, and call again with these"),
        401 => "GitHub does not accept the token (401): it is wrong, expired or revoked; ask the operator for a new GITHUB_TOKEN".to_owned(),
        403 | 429 if is_rate_limited(response, &said) => {
            format!("the rate limit of GitHub is used up ({status}); call again {}", again(response))
        }
        403 => format!(
            "the token may not do this in {place} while {doing} (403){because}; ask the operator for a token with write access to the \
             contents and the pull requests of {place}"
        ),
        404 => format!(
            "{place} is not found (404): there is no such repository, or the token may not see it; check owner and repo, or ask the operator \
             for access"
        ),
        422 => format!("GitHub does not accept this while {doing} (422){because}; correct the arguments and call again"),
        500..=599 => format!("GitHub failed while {doing} ({status}){because}; call again later, which is safe"),
        _ => format!("GitHub answered with the status {status} while {doing}{because}; ask the operator to check the address of the server"),
    }
}

fn is_rate_limited(response: &FetchResponse, said: &str) -> bool {
    response.status == 429
        || response.retry_after.is_some()
        || response.header("x-ratelimit-remaining") == Some("0")
        || said.to_ascii_lowercase().contains("rate limit")
}

/// When to call again. The time of the day is enough: a limit lasts at most an hour.
fn again(response: &FetchResponse) -> String {
    if let Some(after) = response.retry_after {
        return format!("after {} s", after.as_secs());
    }
    match response.header("x-ratelimit-reset").and_then(|text| text.parse::<u64>().ok()) {
        Some(at) => format!("after {:02}:{:02}:{:02} UTC", at / 3600 % 24, at / 60 % 60, at % 60),
        None => "in some minutes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, headers, body, and what the error says.
    type Row<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, &'a str);

    #[test]
    fn each_status_says_the_next_step() {
        let table: [Row<'_>; 14] = [
            (301, &[], "", "has moved"),
            (401, &[], r#"{"message": "Bad credentials"}"#, "new GITHUB_TOKEN"),
            (403, &[], r#"{"message": "Resource not accessible"}"#, "(403): Resource not accessible; ask the operator"),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000000")], "", "after 22:13:20 UTC"),
            (403, &[], r#"{"message": "You have exceeded a secondary rate limit"}"#, "in some minutes"),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")], "", "in some minutes"),
            (429, &[("retry-after", "60")], "", "after 60 s"),
            (404, &[], r#"{"message": "Not Found"}"#, "check owner and repo"),
            (
                422,
                &[],
                r#"{"message": "Validation Failed", "errors": [{"message": "a"}, "b", {"code": 1}]}"#,
                "Validation Failed: a: b;",
            ),
            (422, &[], "not json \u{1b}[2J", "(422); correct"),
            (422, &[], r#"{"message": "a\u001b[2Jb\nc"}"#, "(422): ab c;"),
            (502, &[], "<html>", "call again later"),
            (418, &[], "", "status 418"),
            (200, &[], r#"{"message": 5}"#, "status 200"),
        ];
        for (status, headers, body, expected) in table {
            let text = describe("pushing", "o/r", &FetchResponse::of(status, headers, body));
            assert!(text.contains(expected), "{status}: {text}");
            assert!(text.len() < 600 && !text.ends_with('.') && !text.chars().any(char::is_control), "{text}");
        }
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(100_000));
        assert!(describe("pushing", "o/r", &FetchResponse::of(422, &[], &long)).len() < 600);
    }
}
