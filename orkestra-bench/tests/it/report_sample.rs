//! Results for the tests of reports. They are read from JSON, as the reports of a finished benchmark are.

use orkestra_bench::result::BenchmarkResult;
use serde_json::{Value, json};

/// What a model may write to break out of a report: markup, ends of sections, control characters, escape codes, marks of direction.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>]]>\"'&amp;--><img src=x onerror=alert(1)>\u{0}\u{1b}[2J\u{1b}]0;title\u{7}\
     \u{9b}31m\u{202e}reversed\u{200f}\u{fffe}\r\n<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;</style></title></pre>";

/// A result of these tasks, with two trials planned for each.
pub(crate) fn result(text: &str, tasks: &Value) -> BenchmarkResult {
    read(&json!({
        "format": 1, "id": text, "agent": {"name": text, "model": text, "notice": text}, "started_at": text, "ended_at": null,
        "trials": 2, "limits": {"seconds": 60, "tokens": null}, "places": [text], "tasks": tasks,
    }))
}

/// A task with these trials.
pub(crate) fn task(text: &str, trials: &[Value]) -> Value {
    json!({"name": text, "difficulty": "hard", "fingerprint": text, "trials": trials})
}

/// A trial with these hidden tests.
pub(crate) fn trial(text: &str, tests: &Value) -> Value {
    json!({
        "trial": 1, "ending": {"ending": "failed", "reason": text},
        "documented": {"checks": [{"check": text, "passed": false}]},
        "strict": {"tests": tests, "problem": text},
        "attempts": null, "input_tokens": null, "output_tokens": 5, "model_calls": null, "cost_usd": null, "seconds": 3.5, "restarts": 1,
        "timeline": [{"at": 1.0, "agent": text, "text": text}],
        "changes": [{"path": text, "diff": format!("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{text}\n+{text}\n")}],
    })
}

/// Everything in it is hostile.
pub(crate) fn hostile() -> BenchmarkResult {
    let tests =
        json!([{"name": HOSTILE, "passed": false, "detail": HOSTILE}, {"name": HOSTILE, "passed": true, "detail": ""}]);
    result(HOSTILE, &json!([task(HOSTILE, &[trial(HOSTILE, &tests)]), task("empty", &[])]))
}

/// Parses a result.
pub(crate) fn read(value: &Value) -> BenchmarkResult {
    serde_json::from_value(value.clone()).expect("a result")
}
