//! The documented events in words. Pure.

use serde_json::{Map, Value};

use super::text::{clean, cut, one_line};

/// Characters of a tool's argument or answer that are worth a line.
const SHOWN_CHARACTERS: usize = 100;
/// Characters of a summary, an error or an objective on one line.
const SENTENCE_CHARACTERS: usize = 300;
/// Lines of a failed command's output: its end, where test runners put what matters.
const OUTPUT_LINES_MAX: usize = 60;

/// An event in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// The agent, or `run`.
    pub(super) who: String,
    /// What happened, on one line.
    pub(super) what: String,
    /// More lines, for those who need them.
    pub(super) details: Vec<String>,
}

/// The text field `name`; empty when there is none.
pub(super) fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

/// Puts an event into words.
pub(super) fn tell(event: &Value) -> Telling {
    let who = event["agent"].as_str().filter(|_| !is_of_run(event)).unwrap_or("run").to_owned();
    let details =
        if field(event, "event") == "validation_failed" { debug_info(&event["debug_info"]) } else { Vec::new() };
    Telling { who, what: what(event), details }
}

fn is_of_run(event: &Value) -> bool {
    field(event, "event").starts_with("run_")
}

fn what(event: &Value) -> String {
    let text = |name: &str| one_line(field(event, name));
    let sentence = |name: &str| cut(&text(name), SENTENCE_CHARACTERS);
    match field(event, "event") {
        "run_started" => {
            let nodes = count(event["node_count"].as_u64().unwrap_or_default(), "node");
            format!("{} started, {nodes}: {}", field(event, "run_id"), sentence("objective"))
        }
        "node_started" => format!("started, attempt {}", event["attempt"]),
        "token_chunk" => format!("> {}", text("chunk")),
        "file_written" => format!("wrote {} ({} bytes)", text("path"), event["bytes"]),
        "command_output" if event["stderr"] == true => format!("! {}", text("line")),
        "command_output" => format!("| {}", text("line")),
        "tool_call" => format!("calls {} {}", text("tool"), arguments(&event["arguments"])),
        "tool_result" => {
            let verb = if event["ok"] == true { "answered" } else { "refused" };
            format!("{} {verb}: {}", text("tool"), cut(&text("text"), SHOWN_CHARACTERS))
        }
        "validation_failed" => {
            let info = &event["debug_info"];
            format!("VALIDATION FAILED on attempt {}: {}", info["attempt"], one_line(field(info, "error_type")))
        }
        "retry_scheduled" => {
            format!("attempt {} failed and is followed by another: {}", event["attempt"], sentence("error"))
        }
        "rate_limited" => format!("waits {} ms for the model: {}", event["delay_ms"], sentence("reason")),
        "usage" => {
            let tokens = &event["tokens"];
            format!("used {} tokens in, {} out ({})", tokens["input"], tokens["output"], text("model"))
        }
        "notice" => format!("NOTE: {}", text("message")),
        "node_completed" => format!("completed: {}", sentence("summary")),
        "node_failed" => format!("FAILED after attempt {}: {}", event["attempt"], sentence("error")),
        "node_cancelled" => "cancelled".to_owned(),
        "human_input_required" => format!("waits for an answer: {}", sentence("request_id")),
        "run_completed" => {
            let files = event["files"].as_array().map_or(0, |files| files.len() as u64);
            format!("completed, {}", count(files, "file"))
        }
        "run_failed" => format!("FAILED at {}: {}", text("agent"), sentence("error")),
        "run_cancelled" => format!("cancelled: {}", sentence("reason")),
        other => format!("{} {}", one_line(other), rest(event)),
    }
}

/// `1 file`, `2 files`.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A tool's arguments, `name=value`.
pub(super) fn arguments(arguments: &Value) -> String {
    let Some(fields) = arguments.as_object() else { return cut(&one_line(&arguments.to_string()), SHOWN_CHARACTERS) };
    let shown = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={}", one_line(name), cut(&one_line(&value), SHOWN_CHARACTERS))
    };
    fields.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// What a failed validation found, on lines of its own.
pub(super) fn debug_info(info: &Value) -> Vec<String> {
    let mut lines = vec![format!("failed command: {}", one_line(field(info, "failed_command")))];
    let failed = info["failed_tests"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(failed.map(|test| format!("failed test: {}", one_line(test))));
    let output = clean(field(info, "full_output"));
    let output: Vec<&str> = output.trim_end().lines().collect();
    let hidden = output.len().saturating_sub(OUTPUT_LINES_MAX);
    lines.push(if hidden > 0 { format!("output ({hidden} lines before):") } else { "output:".to_owned() });
    lines.extend(output[hidden..].iter().map(|line| format!("| {line}")));
    lines
}

/// The fields of an event that has no words of its own.
fn rest(event: &Value) -> String {
    let own = ["event", "type", "run_id", "seq", "ts", "agent"];
    let fields: Map<String, Value> = event
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    cut(&one_line(&Value::Object(fields).to_string()), SENTENCE_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(event: &Value, who: &str, what: &str) {
        let telling = tell(event);
        assert_eq!((telling.who.as_str(), telling.what.as_str()), (who, what));
    }

    #[test]
    fn events_in_words() {
        check(
            &json!({"event": "run_started", "run_id": "r1", "node_count": 4, "objective": "Build\nit"}),
            "run",
            "r1 started, 4 nodes: Build\\nit",
        );
        check(&json!({"event": "token_chunk", "agent": "qa", "chunk": "one\ntwo"}), "qa", "> one\\ntwo");
        check(&json!({"event": "command_output", "agent": "qa", "line": "ok", "stderr": true}), "qa", "! ok");
        check(
            &json!({"event": "tool_call", "agent": "qa", "tool": "run_command", "arguments": {"command": "ls", "n": 1}}),
            "qa",
            "calls run_command command=ls n=1",
        );
        check(&json!({"event": "run_failed", "agent": "qa", "error": "no"}), "run", "FAILED at qa: no");
        check(&json!({"event": "new_one", "agent": "qa", "x": 1, "seq": 3}), "qa", "new_one {\"x\":1}");
    }

    #[test]
    fn a_failed_validation_shows_its_debug_info() {
        let long: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let info = json!({"error_type": "validation_failure", "failed_command": "pytest tests/", "full_output": long,
            "failed_tests": ["tests.test_a.test_b"], "attempt": 1});
        let telling = tell(&json!({"event": "validation_failed", "agent": "backend", "debug_info": info}));
        assert_eq!(telling.what, "VALIDATION FAILED on attempt 1: validation_failure");
        assert_eq!(
            telling.details[..3],
            ["failed command: pytest tests/", "failed test: tests.test_a.test_b", "output (40 lines before):"]
        );
        assert_eq!(telling.details.last().map(String::as_str), Some("| line 99"));
        assert_eq!(telling.details.len(), 3 + OUTPUT_LINES_MAX);
    }
}
