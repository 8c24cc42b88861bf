//! Tools for models without native tool calls, and for models that sometimes write a call as text.
//!
//! A call in text is a JSON object `{"name": …, "arguments": {…}}` in a fenced block, between `<tool_call>` tags, or as the
//! whole answer. An object that does not name an offered tool is text, never a call.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use serde_json::Value;

use super::choice::ToolProtocol;
use crate::model::{Arguments, Message, Model, ModelError, Reply, Request, Silent, Sink, ToolCall, ToolDefinition};

/// Wraps a model and turns calls in its text into tool calls.
pub(in crate::model) struct TextProtocol {
    inner: Arc<dyn Model>,
    as_text: AtomicBool,
}

impl TextProtocol {
    pub(in crate::model) fn new(inner: Arc<dyn Model>, protocol: ToolProtocol) -> Self {
        Self { inner, as_text: AtomicBool::new(protocol == ToolProtocol::Text) }
    }
}

// So that a new method of the trait cannot be forgotten here.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Model for TextProtocol {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn context_tokens(&self) -> u64 {
        self.inner.context_tokens()
    }

    fn inner(&self) -> Option<&dyn Model> {
        Some(&*self.inner)
    }

    fn notice(&self) -> Option<&str> {
        self.inner.notice()
    }

    fn sees_images(&self) -> bool {
        self.inner.sees_images()
    }

    fn reports_cost(&self) -> bool {
        self.inner.reports_cost()
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let mut reply = if self.as_text.load(Ordering::Relaxed) {
            self.inner.stream(&in_text(request), sink).await?
        } else {
            match self.inner.stream(request, sink).await {
                Err(ModelError::BadRequest(message)) if refuses_tools(request, &message) => {
                    tracing::warn!(
                        model = self.inner.name(),
                        "the model has no native tool calls; using tools as text"
                    );
                    self.as_text.store(true, Ordering::Relaxed);
                    self.inner.stream(&in_text(request), sink).await?
                }
                other => other?,
            }
        };
        if reply.message.tool_calls.is_empty() && !request.words_only {
            let turn = request.messages.len();
            reply.message.tool_calls = calls_in(&reply.message.text, &request.tools, turn);
        }
        Ok(reply)
    }

    async fn complete(&self, request: &Request) -> Result<Reply, ModelError> {
        self.stream(request, &Silent).await
    }
}

fn refuses_tools(request: &Request, message: &str) -> bool {
    let message = message.to_lowercase();
    let refusal = ["support", "not allowed", "unavailable", "jinja"].iter().any(|words| message.contains(words));
    !request.tools.is_empty() && message.contains("tool") && refusal
}

/// The request for a model that reads and writes text only.
fn in_text(request: &Request) -> Request {
    let mut messages: Vec<Message> = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        messages.push(match message {
            Message::System { text } if !request.words_only => {
                Message::system(format!("{text}\n\n{}", manual(&request.tools)))
            }
            Message::System { .. } => message.clone(),
            Message::User { .. } => message.clone(),
            Message::Assistant(said) => {
                let mut text = said.text.clone();
                for call in &said.tool_calls {
                    let arguments = call.arguments.to_value();
                    // NOTE: a call that was read from the text is still in the text.
                    if !text.contains(&call.name) {
                        let block = serde_json::json!({"name": call.name, "arguments": arguments});
                        text.push_str(&format!("\n```json\n{block}\n```"));
                    }
                }
                Message::Assistant(crate::model::AssistantMessage { text, ..Default::default() })
            }
            Message::Tool(result) => Message::user(format!("Result of the tool {}:\n{}", result.name, result.text)),
        });
    }
    Request { messages, tools: Vec::new(), words_only: request.words_only, images: request.images.clone() }
}

/// The explanation of the tools for the model.
fn manual(tools: &[ToolDefinition]) -> String {
    let mut text = String::from(
        "You have tools. To call one, answer with nothing but a fenced block such as\n```json\n{\"name\": \
         \"the tool\", \"arguments\": {\"argument\": \"value\"}}\n```\nThe result comes with the next message. When \
         you are done, answer without such a block.\n\nThe tools:\n",
    );
    for tool in tools {
        text.push_str(&format!("- {}: {} Arguments (JSON schema): {}\n", tool.name, tool.description, tool.schema));
    }
    text
}

/// The calls in `text`, in order.
fn calls_in(text: &str, tools: &[ToolDefinition], turn: usize) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    let mut rest = text;
    while let Some((block, after)) = next_block(rest) {
        let (found, end) = match parse(block.text) {
            Ok((value, end)) => (read_calls(&value, tools), end),
            Err(problem) => (read_broken(block.text, &problem, tools).into_iter().collect(), block.text.len()),
        };
        for (name, arguments) in found {
            let id = format!("text_{turn}_{}", calls.len());
            calls.push(ToolCall { id, name, arguments, signatures: None });
        }
        // NOTE: a fence inside a file's content ends a block too early; the end of the parsed value is right.
        rest = after.get(end..).unwrap_or_default();
    }
    calls
}

struct Block<'a> {
    text: &'a str,
}

/// The next block that may be a call, and the text from there on.
fn next_block(text: &str) -> Option<(Block<'_>, &str)> {
    let starts = ["```json", "```tool_call", "```tool", "<tool_call>", "```"];
    let found = starts.iter().filter_map(|start| text.find(start).map(|at| (at, start.len())));
    let (at, length) = match found.min_by_key(|(at, length)| (*at, usize::MAX - length)) {
        Some(found) => found,
        None if text.trim_start().starts_with(['{', '[']) => (0, 0),
        None => return None,
    };
    let body = &text[at + length..];
    let end = ["```", "</tool_call>"].iter().filter_map(|mark| body.find(mark)).min().unwrap_or(body.len());
    let opens = body.trim_start().starts_with(['{', '[']);
    let block = if opens { body } else { &body[..0] };
    // IMPORTANT: each call must consume at least one byte, or the loop never ends.
    let after = if opens { body } else { body.get(end.max(1)..).unwrap_or_default() };
    Some((Block { text: block }, after))
}

/// The first JSON value of `text` and its end. Raw line breaks inside strings, a frequent mistake of small models, are
/// accepted.
fn parse(text: &str) -> Result<(Value, usize), String> {
    let first = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = values.next().unwrap_or(Ok(Value::Null));
        value.map(|value| (value, values.byte_offset()))
    };
    let error = match first(text) {
        Ok(found) => return Ok(found),
        Err(error) => error.to_string(),
    };
    let (value, _) = first(&escape_line_breaks(text)).map_err(|_| error)?;
    Ok((value, end_of_block(text)))
}

fn end_of_block(text: &str) -> usize {
    ["```", "</tool_call>"].iter().filter_map(|mark| text.rfind(mark)).max().unwrap_or(text.len())
}

fn escape_line_breaks(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let (mut in_string, mut after_backslash) = (false, false);
    for character in text.chars() {
        match character {
            '\n' if in_string => escaped.push_str("\\n"),
            '\r' if in_string => escaped.push_str("\\r"),
            '\t' if in_string => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
        if character == '"' && !after_backslash {
            in_string = !in_string;
        }
        after_backslash = character == '\\' && !after_backslash;
    }
    escaped
}

fn read_calls(value: &Value, tools: &[ToolDefinition]) -> Vec<(String, Arguments)> {
    let one = |value: &Value| {
        let value = value.get("function").filter(|inner| inner.is_object()).unwrap_or(value);
        let name = value.get("name").or_else(|| value.get("tool"))?.as_str()?;
        let arguments = ["arguments", "parameters", "args"].iter().find_map(|key| value.get(*key))?;
        let known = tools.iter().any(|tool| tool.name == name);
        known.then(|| (name.to_owned(), Arguments::from_value(arguments.clone())))
    };
    match value {
        Value::Array(values) => values.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// A block that names an offered tool but is not JSON becomes a malformed call, so that the model learns of its mistake.
fn read_broken(text: &str, problem: &str, tools: &[ToolDefinition]) -> Option<(String, Arguments)> {
    let tool = tools.iter().find(|tool| text.contains(&format!("\"{}\"", tool.name)))?;
    let looks_like_call = text.contains("\"arguments\"") || text.contains("\"parameters\"");
    let arguments = Arguments::Malformed { text: text.to_owned(), problem: problem.to_owned() };
    looks_like_call.then(|| (tool.name.clone(), arguments))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ScriptedModel, say};

    fn tools() -> Vec<ToolDefinition> {
        ["write_file", "run_command"]
            .map(|name| ToolDefinition {
                name: name.to_owned(),
                description: "Does it.".to_owned(),
                schema: json!({"type": "object"}),
            })
            .to_vec()
    }

    fn check(text: &str) -> Vec<(String, Arguments)> {
        calls_in(text, &tools(), 3).into_iter().map(|call| (call.name, call.arguments)).collect()
    }

    fn valid(name: &str, arguments: Value) -> (String, Arguments) {
        (name.to_owned(), Arguments::Valid(arguments))
    }

    #[test]
    fn calls_are_found_wherever_models_write_them() {
        let expected = vec![valid("run_command", json!({"command": "ls"}))];
        let call = r#"{"name": "run_command", "arguments": {"command": "ls"}}"#;
        assert_eq!(check(&format!("I look.\n```json\n{call}\n```\nand wait")), expected);
        assert_eq!(check(&format!("```\n{call}\n```")), expected);
        assert_eq!(check(&format!("<tool_call>\n{call}\n</tool_call>")), expected);
        assert_eq!(check(call), expected);
        assert_eq!(check(&format!("[{call}]")), expected);
        let two = format!("```json\n{call}\n```\n```json\n{call}\n```");
        assert_eq!(check(&two), [expected.clone(), expected].concat());
    }

    #[test]
    fn other_text_is_not_a_call() {
        assert_eq!(check("```json\n{\"name\": \"Ada\", \"arguments\": {}}\n```"), vec![]);
        assert_eq!(check("```python\nprint({})\n```"), vec![]);
        assert_eq!(check("All done: {\"a\": 1}"), vec![]);
        assert_eq!(check("``` ``` ```"), vec![]);
    }

    #[test]
    fn raw_line_breaks_and_fences_inside_a_file_are_accepted() {
        let text =
            "```json\n{\"name\": \"write_file\", \"arguments\": {\"path\": \"a.py\", \"content\": \"one\ntwo\"}}\n```";
        assert_eq!(check(text), vec![valid("write_file", json!({"path": "a.py", "content": "one\ntwo"}))]);
        let file = json!({"name": "write_file", "arguments": {"path": "a.md", "content": "```sh\nls\n```\n"}});
        let expected = vec![valid("write_file", json!({"path": "a.md", "content": "```sh\nls\n```\n"}))];
        assert_eq!(check(&format!("```json\n{file}\n```")), expected);
    }

    #[test]
    fn a_truncated_call_is_malformed() {
        let found = check("```json\n{\"name\": \"write_file\", \"arguments\": {\"path\": \"a.py\", \"content\": \"pri");
        assert!(matches!(&found[..], [(name, Arguments::Malformed { .. })] if name == "write_file"), "{found:?}");
    }

    #[tokio::test]
    async fn a_model_without_tool_calls_gets_its_tools_as_text() {
        let inner = ScriptedModel::answering("small", |request| {
            if !request.tools.is_empty() {
                return Err(ModelError::BadRequest("small does not support tools".to_owned()));
            }
            Ok(say("```json\n{\"name\": \"run_command\", \"arguments\": {\"command\": \"ls\"}}\n```"))
        });
        let model = TextProtocol::new(inner.clone(), ToolProtocol::Native);
        let request = Request {
            messages: vec![Message::system("Work."), Message::user("Go.")],
            tools: tools(),
            ..Request::default()
        };
        let reply = model.stream(&request, &Silent).await.expect("it answers");
        assert_eq!(reply.message.tool_calls[0].name, "run_command");
        let asked = inner.asked();
        assert_eq!(asked.len(), 2);
        assert!(matches!(&asked[1].messages[0], Message::System { text } if text.contains("- write_file")));
    }
}
