//! Describes the documented events in words. Pure.

use orkestra_agents::event::{CustomEvent, FeedEvent, ProductEvent, Tokens};
use orkestra_agents::validate::DebugInfo;
use orkestra_tools::egress::HostUse;
use serde_json::{Map, Value, json};

use super::text::{clean, cut, one_line};

/// How many characters of a tool's argument or answer are shown.
const SHOWN_CHARACTERS: usize = 100;
/// How many characters of a summary, an error or an objective are shown on one line.
const SENTENCE_CHARACTERS: usize = 300;
/// How many lines of a failed command's output are shown: the last ones, where test runners print the failures.
const OUTPUT_LINES_MAX: usize = 60;

/// An event in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// The agent, or `run`.
    pub(super) who: String,
    /// What happened, on one line.
    pub(super) what: String,
    /// Further lines.
    pub(super) details: Vec<String>,
}

/// Describes an event; `None` for bookkeeping of the engine, which people need not see.
pub(super) fn tell(event: &FeedEvent) -> Option<Telling> {
    let details = match &event.event {
        ProductEvent::ValidationFailed { debug_info, .. } => self::debug_info(debug_info),
        _ => Vec::new(),
    };
    Some(Telling { who: event.event.agent().unwrap_or("run").to_owned(), what: what(event)?, details })
}

/// IMPORTANT: no `_` here, so that every new event gets its own words.
fn what(event: &FeedEvent) -> Option<String> {
    use ProductEvent as Told;
    Some(match &event.event {
        Told::RunStarted { node_count, objective } => started(&event.run_id, *node_count, objective.as_deref()),
        Told::RunCompleted { files } => format!("completed, {}", count(files.len(), "file")),
        Told::RunFailed { agent, error, .. } => format!("FAILED at {}: {}", one_line(agent), sentence(error)),
        Told::RunCancelled { reason } => format!("cancelled: {}", sentence(reason)),
        Told::RunTerminated { reason } => format!("TERMINATED: {}", sentence(reason)),
        Told::RunTimedOut { deadline } => format!("TIMED OUT: its deadline was {deadline}"),
        Told::RunPaused { reason } => format!("paused: {}", sentence(reason)),
        Told::RunResumed {} => "resumed".to_owned(),
        Told::RunReopened {} => "reopened".to_owned(),
        Told::RunStopping { reason } => format!("stopping: {}", sentence(reason)),
        Told::CompensationStarted { nodes } => format!("compensating: {}", sentence(&nodes.join(", "))),
        Told::CompensationRetried { .. } => "retrying the compensation".to_owned(),
        Told::BudgetReached { meter, spent, limit } => {
            format!("BUDGET REACHED: {spent} of {limit} {} spent", one_line(meter))
        }
        Told::BudgetChanged { meter, limit } => budget(&one_line(meter), *limit),
        Told::HumanInputRequired { question, request_id, .. } => asks(question.as_ref(), request_id),
        Told::HumanInputReceived { answer, .. } => received(answer.as_ref()),
        Told::WaitTimedOut { key, .. } => format!("wait timed out: {}", sentence(key)),
        Told::WaitWithdrawn { key, .. } => format!("wait withdrawn: {}", sentence(key)),
        Told::NodeStarted { attempt, .. } => format!("started, attempt {attempt}"),
        Told::NodeCompleted { summary, .. } => {
            format!("completed: {}", sentence(summary.as_deref().unwrap_or_default()))
        }
        Told::NodeFailed { attempt: Some(attempt), error, .. } => {
            format!("FAILED after attempt {attempt}: {}", sentence(error))
        }
        Told::NodeFailed { attempt: None, error, .. } => format!("FAILED: {}", sentence(error)),
        Told::NodeCancelled { .. } => "cancelled".to_owned(),
        Told::NodeSkipped { .. } => "skipped".to_owned(),
        Told::NodeReset { .. } => "reset, will run again".to_owned(),
        Told::GraphGrown { nodes, .. } => format!("added to the graph: {}", sentence(&nodes.join(", "))),
        Told::RetryScheduled { attempt, error, .. } => {
            format!("attempt {attempt} failed and will be retried: {}", sentence(error))
        }
        Told::TokenChunk { chunk, .. } => format!("> {}", one_line(chunk)),
        Told::RateLimited { delay_ms, reason, .. } => {
            format!("waiting {delay_ms} ms for the model: {}", sentence(reason))
        }
        Told::ModelRestarted { model, .. } => format!("restarting the answer with {}", one_line(model)),
        Told::FileWritten { path, bytes, .. } => format!("wrote {} ({bytes} bytes)", one_line(path)),
        Told::CommandOutput { line, stderr, .. } => format!("{} {}", if *stderr { "!" } else { "|" }, one_line(line)),
        Told::ToolCall { tool, arguments, .. } => format!("calls {} {}", one_line(tool), self::arguments(arguments)),
        Told::ToolResult { tool, ok, text, .. } => {
            let verb = if *ok { "answered" } else { "refused" };
            format!("{} {verb}: {}", one_line(tool), cut(&one_line(text), SHOWN_CHARACTERS))
        }
        Told::Usage { tokens, model, cost_usd, .. } => usage(*tokens, *cost_usd, model),
        Told::Notice { message, .. } => format!("NOTE: {}", one_line(message)),
        Told::SandboxStarted { sandbox, network, .. } => {
            format!("sandbox started: {}, network {}", one_line(sandbox), plain(&json!(network)))
        }
        Told::NetworkUsed { hosts, .. } => {
            let hosts: Vec<String> = hosts.iter().map(host).collect();
            format!("network used: {}", sentence(&hosts.join("; ")))
        }
        Told::ValidationFailed { debug_info, .. } => {
            format!("VALIDATION FAILED on attempt {}: {}", debug_info.attempt, debug_info.error_type.name())
        }
        Told::EngineEvent { .. } => return None,
        Told::Custom(event) => format!("{} {}", one_line(&event.name), rest(event)),
    })
}

fn started(run: &str, nodes: usize, objective: Option<&str>) -> String {
    format!("{run} started, {}: {}", count(nodes, "node"), sentence(objective.unwrap_or_default()))
}

fn budget(meter: &str, limit: Option<f64>) -> String {
    match limit {
        Some(limit) => format!("budget changed to {limit} {meter}"),
        None => format!("budget for {meter} removed"),
    }
}

fn asks(question: Option<&Value>, request_id: &str) -> String {
    match question {
        Some(question) => format!("asks (question {}): {}", one_line(request_id), asked(question)),
        None => format!("waiting for an answer: {}", sentence(request_id)),
    }
}

fn received(answer: Option<&Value>) -> String {
    answer.map_or_else(|| "answered".to_owned(), |answer| format!("answered: {}", sentence(&plain(answer))))
}

fn usage(tokens: Tokens, cost_usd: Option<f64>, model: &str) -> String {
    if let (None, None, Some(cost)) = (tokens.input, tokens.output, cost_usd) {
        return format!("used {cost} dollars ({})", one_line(model));
    }
    let shown = |tokens: Option<u64>| tokens.map_or_else(|| "null".to_owned(), |tokens| tokens.to_string());
    format!("used {} tokens in, {} out ({})", shown(tokens.input), shown(tokens.output), one_line(model))
}

/// The text of a question, the answers to choose from, and the whole arguments of the call that it is about; any other value as
/// JSON.
pub(crate) fn asked(question: &Value) -> String {
    let Some(text) = question.get("text").and_then(Value::as_str) else { return sentence(&plain(question)) };
    let choices = question.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = match choices.iter().filter_map(Value::as_str).collect::<Vec<_>>().as_slice() {
        [] => sentence(text),
        choices => sentence(&format!("{text} ({})", choices.join(", "))),
    };
    // NOTE: uncut, because a person consents to all of it; their length is limited where the question is asked.
    match question.get("arguments") {
        Some(arguments) => format!("{text} with {}", visible(&one_line(&arguments.to_string()))),
        None => text,
    }
}

/// Characters that hide or reorder others as escapes.
fn visible(text: &str) -> String {
    let hides = |one: char| matches!(one, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    text.chars().fold(String::new(), |mut shown, one| {
        if hides(one) {
            shown.extend(one.escape_unicode());
        } else {
            shown.push(one);
        }
        shown
    })
}

/// How often a host was used.
fn host(used: &HostUse) -> String {
    let refused = if used.refused > 0 { format!(", REFUSED {}", used.refused) } else { String::new() };
    format!("{} {}{refused}", used.host, used.allowed)
}

/// A string as it is, any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `text` on one line, cut to [`SENTENCE_CHARACTERS`].
fn sentence(text: &str) -> String {
    cut(&one_line(text), SENTENCE_CHARACTERS)
}

/// `1 file`, `2 files`.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A tool's arguments as `name=value`.
pub(super) fn arguments(arguments: &Value) -> String {
    let Some(fields) = arguments.as_object() else { return cut(&one_line(&arguments.to_string()), SHOWN_CHARACTERS) };
    let shown = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={}", one_line(name), cut(&one_line(&value), SHOWN_CHARACTERS))
    };
    fields.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// The details of a failed validation, one per line.
pub(super) fn debug_info(info: &DebugInfo) -> Vec<String> {
    let mut lines = vec![format!("failed command: {}", one_line(&info.failed_command))];
    lines.extend(info.failed_tests.iter().map(|test| format!("failed test: {}", one_line(test))));
    let output = clean(&info.full_output);
    let output: Vec<&str> = output.trim_end().lines().collect();
    let hidden = output.len().saturating_sub(OUTPUT_LINES_MAX);
    lines.push(if hidden > 0 { format!("output ({hidden} lines before):") } else { "output:".to_owned() });
    lines.extend(output[hidden..].iter().map(|line| format!("| {line}")));
    lines
}

/// The fields of a custom event.
fn rest(event: &CustomEvent) -> String {
    let fields = event.fields.iter().filter(|(name, _)| *name != "agent");
    let fields: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    sentence(&Value::Object(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event with this JSON, to which run, position and time are added.
    fn event(mut json: Value) -> FeedEvent {
        for (name, value) in [("run_id", json!("r1")), ("seq", json!(3)), ("ts", json!("2026-01-31T08:00:00.125Z"))] {
            json[name] = value;
        }
        serde_json::from_value(json).expect("an event")
    }

    fn check(json: Value, who: &str, what: &str) {
        let telling = tell(&event(json)).expect("people see it");
        assert_eq!((telling.who.as_str(), telling.what.as_str()), (who, what));
    }

    #[test]
    fn events_are_described_in_words() {
        check(
            json!({"event": "run_started", "node_count": 4, "objective": "Build\nit"}),
            "run",
            "r1 started, 4 nodes: Build\\nit",
        );
        check(json!({"event": "token_chunk", "agent": "qa", "chunk": "one\ntwo"}), "qa", "> one\\ntwo");
        check(json!({"event": "command_output", "agent": "qa", "line": "ok", "stderr": true}), "qa", "! ok");
        check(
            json!({"event": "tool_call", "agent": "qa", "tool": "run_command", "arguments": {"command": "ls", "n": 1}}),
            "qa",
            "calls run_command command=ls n=1",
        );
        check(json!({"event": "run_failed", "agent": "qa", "error": "no", "kind": "x"}), "run", "FAILED at qa: no");
        check(json!({"event": "run_paused", "reason": "lunch"}), "run", "paused: lunch");
        check(
            json!({"event": "human_input_required", "agent": "qa", "request_id": "7", "question": "Which?", "key": "k"}),
            "qa",
            "asks (question 7): Which?",
        );
        check(json!({"event": "new_one", "agent": "qa", "x": 1}), "qa", "new_one {\"x\":1}");
        assert_eq!(
            tell(&event(json!({"event": "engine_event", "kind": "timer_set", "agent": "qa", "key": "k"}))),
            None
        );
    }

    #[test]
    fn a_failed_validation_shows_its_debug_info() {
        let long: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let info = json!({"error_type": "validation_failure", "failed_command": "pytest tests/", "full_output": long,
            "failed_tests": ["tests.test_a.test_b"], "attempt": 1});
        let telling = tell(&event(json!({"event": "validation_failed", "agent": "backend", "debug_info": info})))
            .expect("people see it");
        assert_eq!(telling.what, "VALIDATION FAILED on attempt 1: validation_failure");
        assert_eq!(
            telling.details[..3],
            ["failed command: pytest tests/", "failed test: tests.test_a.test_b", "output (40 lines before):"]
        );
        assert_eq!(telling.details.last().map(String::as_str), Some("| line 99"));
        assert_eq!(telling.details.len(), 3 + OUTPUT_LINES_MAX);
    }
}
