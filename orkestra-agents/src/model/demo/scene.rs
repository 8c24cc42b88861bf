//! What the demo model reads from a conversation: its role, the turn, and the results of its tools.

use serde_json::Value;

use super::subject::Subject;
use crate::{
    model::{Arguments, AssistantMessage, Message, ModelError, ToolCall},
    sections,
};

/// A conversation as the script reads it.
pub(super) struct Scene {
    pub(super) role: String,
    pub(super) objective: String,
    pub(super) subject: Subject,
    /// The agents of the run, from the prompt.
    pub(super) agents: Vec<String>,
    /// The failure of the previous attempt, if its validator refused the work.
    pub(super) debug_info: Option<Value>,
    /// The number of turns played so far; a repeated turn does not count.
    pub(super) turn: usize,
    /// The results of tools in all turns, in order: the tool's name and the text.
    results: Vec<(String, String)>,
    /// The interrupted calls of the last turn, whose outcome is unknown.
    interrupted: Vec<ToolCall>,
    /// The number of assistant messages so far, which makes call ids unique.
    said: usize,
}

impl Scene {
    /// Reads a conversation that begins with our prompts.
    ///
    /// # Errors
    /// [`ModelError::BadRequest`] for any other conversation: there is no script for it.
    pub(super) fn read(messages: &[Message]) -> Result<Self, ModelError> {
        let no_script = || {
            ModelError::BadRequest("the demo model plays only the agents of the pipeline; use another model".to_owned())
        };
        let system = messages.iter().find_map(|message| match message {
            Message::System { text } => Some(text),
            _ => None,
        });
        let user = messages.iter().find_map(|message| match message {
            Message::User { text } => Some(text),
            _ => None,
        });
        let role = system.and_then(|text| sections::role_in(text)).ok_or_else(no_script)?;
        let user = user.ok_or_else(no_script)?;
        let objective = sections::section(user, sections::OBJECTIVE).ok_or_else(no_script)?;
        let agents = sections::section(user, sections::AGENTS).unwrap_or_default();
        let debug_info =
            sections::section(user, sections::DEBUG_INFO).and_then(|text| serde_json::from_str(&text).ok());
        let mut scene = Self {
            role,
            subject: Subject::of_objective(&objective),
            objective,
            agents: agents.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
            debug_info,
            turn: 0,
            results: Vec::new(),
            interrupted: Vec::new(),
            said: 0,
        };
        scene.follow(messages);
        Ok(scene)
    }

    fn follow(&mut self, messages: &[Message]) {
        let mut calls: Vec<ToolCall> = Vec::new();
        for message in messages {
            match message {
                Message::Assistant(said) => {
                    if self.interrupted.is_empty() && self.said > 0 {
                        self.turn += 1;
                    }
                    self.said += 1;
                    self.interrupted.clear();
                    calls.clone_from(&said.tool_calls);
                }
                Message::Tool(result) => {
                    if result.text.starts_with(sections::INTERRUPTED) {
                        self.interrupted.extend(calls.iter().find(|call| call.id == result.call_id).cloned());
                    } else {
                        self.results.push((result.name.clone(), result.text.clone()));
                    }
                }
                Message::System { .. } | Message::User { .. } => {}
            }
        }
        if self.said > 0 && self.interrupted.is_empty() {
            self.turn += 1;
        }
    }

    /// The calls to repeat, if a crash interrupted the last turn.
    pub(super) fn interrupted_calls(&self) -> Option<AssistantMessage> {
        if self.interrupted.is_empty() {
            return None;
        }
        let calls = self.interrupted.iter().map(|call| (call.name.clone(), call.arguments.to_value())).collect();
        let text = "I was interrupted there. What I asked for can safely be done again.";
        Some(self.act(text, calls))
    }

    /// A turn that calls tools.
    pub(super) fn act(&self, text: &str, calls: Vec<(String, Value)>) -> AssistantMessage {
        let tool_calls = calls.into_iter().enumerate().map(|(position, (name, arguments))| ToolCall {
            id: format!("demo_{}_{position}", self.said),
            name,
            arguments: Arguments::Valid(arguments),
            signatures: None,
        });
        AssistantMessage { text: text.to_owned(), tool_calls: tool_calls.collect(), ..AssistantMessage::default() }
    }

    /// Whether a result of `tool` in this attempt contains `words`.
    pub(super) fn has_seen(&self, tool: &str, words: &str) -> bool {
        self.results.iter().any(|(name, text)| name == tool && text.contains(words))
    }

    /// The last result of `tool`.
    pub(super) fn last_answer(&self, tool: &str) -> &str {
        self.results.iter().rev().find(|(name, _)| name == tool).map_or("", |(_, text)| text)
    }

    /// Whether the last test run of this attempt passed, by the summary of Python's unittest.
    pub(super) fn tests_passed(&self) -> bool {
        let output = self.last_answer("run_command");
        output.contains("\nOK") && !output.contains("FAILED (")
    }
}

/// A call of `write_file`.
pub(super) fn write(path: &str, content: String) -> (String, Value) {
    ("write_file".to_owned(), serde_json::json!({"path": path, "content": Value::String(content)}))
}

/// A call of `read_file`.
pub(super) fn read(path: &str) -> (String, Value) {
    ("read_file".to_owned(), serde_json::json!({"path": path}))
}

/// A call of a tool without arguments.
pub(super) fn bare(name: &str) -> (String, Value) {
    (name.to_owned(), serde_json::json!({}))
}

/// A call of `run_command` that keeps Python's caches out of the workspace.
pub(super) fn run(command: &str) -> (String, Value) {
    ("run_command".to_owned(), serde_json::json!({"command": format!("PYTHONDONTWRITEBYTECODE=1 {command}")}))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        agent::{
            Brief,
            prompt::{self, Opening},
        },
        model::{DemoModel, Model, Request, ToolMessage},
        workplace::SandboxKind,
    };

    fn begin(role: &str, debug_info: Option<&Value>) -> Vec<Message> {
        let agents = ["planner", "backend", "frontend", "qa"].map(str::to_owned);
        let brief = Brief::new("Build a REST API for a blog").with_agents(agents);
        let opening = Opening {
            brief: &brief,
            existing: &[],
            quoted: &BTreeMap::new(),
            summaries: Vec::new(),
            attempt: 1,
            debug_info,
            failure: None,
        };
        vec![prompt::system(role, "You work.", &[], None, &SandboxKind::Local.into()), prompt::first(&opening)]
    }

    /// Plays a whole attempt; `answer` gives the result of each call. Returns the calls.
    async fn play(
        role: &str,
        debug_info: Option<&Value>,
        answer: impl Fn(usize, &ToolCall) -> String,
    ) -> Vec<(String, Value)> {
        let model = DemoModel::new(std::time::Duration::ZERO);
        let mut messages = begin(role, debug_info);
        let mut calls = Vec::new();
        for _ in 0..20 {
            let request = Request { messages: messages.clone(), ..Request::default() };
            let reply = model.complete(&request).await.expect("the script answers");
            messages.push(Message::Assistant(reply.message.clone()));
            if reply.message.tool_calls.is_empty() {
                return calls;
            }
            for call in reply.message.tool_calls {
                let text = answer(calls.len(), &call);
                calls.push((call.name.clone(), call.arguments.to_value()));
                messages.push(Message::Tool(ToolMessage { call_id: call.id, name: call.name, text }));
            }
        }
        panic!("the script does not end: {calls:?}");
    }

    fn written(calls: &[(String, Value)]) -> Vec<&str> {
        calls.iter().filter(|(name, _)| name == "write_file").filter_map(|(_, call)| call["path"].as_str()).collect()
    }

    #[tokio::test]
    async fn every_role_plays_its_part_to_the_end() {
        let answer = |_: usize, call: &ToolCall| match call.name.as_str() {
            "list_files" => "backend/other.py".to_owned(),
            _ => "fine\nOK".to_owned(),
        };
        assert_eq!(written(&play("planner", None, answer).await), ["plan.md", "contract.json"]);
        assert_eq!(written(&play("backend", None, answer).await), ["backend/service.py", "tests/test_backend.py"]);
        let frontend = ["frontend/index.html", "frontend/app.js", "tests/test_frontend.py"];
        assert_eq!(written(&play("frontend", None, answer).await), frontend);
        assert_eq!(written(&play("qa", None, answer).await), ["tests/test_contract.py", "qa_report.md"]);
    }

    #[tokio::test]
    async fn the_second_attempt_fixes_the_mistake_of_the_first() {
        let info = serde_json::json!({"failed_tests": ["test_create"]});
        let first = play("backend", None, |_, _| String::new()).await;
        let second = play("backend", Some(&info), |_, _| "\nOK".to_owned()).await;
        let service = |calls: &[(String, Value)]| {
            let call =
                calls.iter().find(|(_, call)| call["path"] == "backend/service.py" && !call["content"].is_null());
            call.expect("it writes the service").1["content"].as_str().unwrap_or_default().to_owned()
        };
        assert!(service(&first).contains("HTTPStatus.OK, self.server.store.add"));
        assert!(service(&second).contains("HTTPStatus.CREATED, self.server.store.add"));
    }

    #[tokio::test]
    async fn only_an_interrupted_call_is_repeated() {
        let plain = play("planner", None, |_, _| String::new()).await;
        let interrupted = |number: usize, call: &ToolCall| {
            if number == 2 { prompt::interrupted(&call.name) } else { String::new() }
        };
        let again = play("planner", None, interrupted).await;
        let mut expected = plain.clone();
        expected.push(plain[2].clone());
        assert_eq!(again, expected);
    }
}
