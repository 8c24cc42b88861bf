//! The messages of a conversation, as the journal stores them: a replay must rebuild exactly what was sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The role of the model and its rules.
    System {
        /// The text.
        text: String,
    },
    /// A message of the user, or of ours in the user's name.
    User {
        /// The text.
        text: String,
    },
    /// A message of the model.
    Assistant(AssistantMessage),
    /// The result of one tool call.
    Tool(ToolMessage),
}

impl Message {
    /// A system message.
    pub fn system(text: impl Into<String>) -> Self {
        Self::System { text: text.into() }
    }

    /// A user message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into() }
    }

    /// The approximate size in characters, to estimate how much of the window it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::System { text } | Self::User { text } => text.len(),
            Self::Assistant(message) => {
                let calls: usize = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.size()).sum();
                let continuation: usize = message.continuation.iter().map(|part| part.to_string().len()).sum();
                message.text.len() + continuation + calls
            }
            Self::Tool(message) => message.text.len() + message.name.len(),
        }
    }
}

/// The message of a model in one turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssistantMessage {
    /// The text; empty when it only called tools.
    pub text: String,
    /// Opaque data of the provider (reasoning, signatures) that must be sent back, in order, before text and calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continuation: Vec<Value>,
    /// The tool calls that it asks for, in order.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of this call; its result refers to it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
    /// Opaque data that some providers need back with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<String>>,
}

/// The arguments of a tool call: an object, or text that is not one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// A JSON object. The call checks it against the tool's schema.
    Valid(Value),
    /// Not a JSON object, mostly because the answer was cut off.
    Malformed {
        /// The text as received.
        text: String,
        /// Why it is not an object.
        problem: String,
    },
}

impl Arguments {
    /// Reads arguments as providers send them: an object, or a string that contains one. Null means no arguments.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Object(_) => Self::Valid(value),
            Value::Null => Self::Valid(Value::Object(serde_json::Map::new())),
            Value::String(text) => Self::from_text(&text),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                Self::Malformed { text: other.to_string(), problem: "the arguments must be a JSON object".to_owned() }
            }
        }
    }

    /// Reads arguments from a text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::Valid(Value::Object(serde_json::Map::new()));
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => Self::Valid(value),
            Ok(_) => {
                Self::Malformed { text: text.to_owned(), problem: "the arguments must be a JSON object".to_owned() }
            }
            Err(problem) => Self::Malformed { text: text.to_owned(), problem: problem.to_string() },
        }
    }

    /// The arguments to send back to the provider with this call. Broken text is replaced by an empty object: servers that
    /// parse it would refuse the whole conversation.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Valid(value) => value.clone(),
            Self::Malformed { .. } => Value::Object(serde_json::Map::new()),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Valid(value) => value.to_string().len(),
            Self::Malformed { .. } => 2,
        }
    }
}

/// The result of a tool call, for the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolMessage {
    /// The id of the call.
    pub call_id: String,
    /// The tool that was called.
    pub name: String,
    /// The result.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn broken_arguments_are_malformed() {
        let cut_off = Arguments::from_value(json!("{\"path\": \"hello.py\", \"content\": \"prin"));
        assert!(matches!(cut_off, Arguments::Malformed { .. }), "{cut_off:?}");
        assert_eq!(cut_off.to_value(), json!({}));
        assert!(matches!(Arguments::from_value(json!(["a"])), Arguments::Malformed { .. }));
        assert!(matches!(Arguments::from_text("\"text\""), Arguments::Malformed { .. }));
    }

    #[test]
    fn objects_and_strings_with_objects_are_valid() {
        let expected = Arguments::Valid(json!({"path": "a"}));
        assert_eq!(Arguments::from_value(json!({"path": "a"})), expected);
        assert_eq!(Arguments::from_value(json!("{\"path\":\"a\"}")), expected);
        assert_eq!(Arguments::from_value(Value::Null), Arguments::Valid(json!({})));
        assert_eq!(Arguments::from_text("  "), Arguments::Valid(json!({})));
    }

    #[test]
    fn a_message_reads_back_from_the_journal() {
        let message = Message::Assistant(AssistantMessage {
            text: "hello".to_owned(),
            continuation: Vec::new(),
            tool_calls: vec![ToolCall {
                id: "1".to_owned(),
                name: "read_file".to_owned(),
                arguments: Arguments::Malformed { text: "{".to_owned(), problem: "cut".to_owned() },
                signatures: None,
            }],
        });
        let text = serde_json::to_string(&message).expect("messages serialise");
        assert_eq!(serde_json::from_str::<Message>(&text).expect("and come back"), message);
    }
}
