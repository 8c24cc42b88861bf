//! The messages of a conversation, as they are stored in the journal: a replay must rebuild exactly what was sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Who the model is and what it must keep to.
    System {
        /// The text.
        text: String,
    },
    /// What the user, or we in the user's name, say.
    User {
        /// The text.
        text: String,
    },
    /// What the model said.
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

    /// About how many characters this message costs, for the estimate of the window.
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

/// What a model said in one turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssistantMessage {
    /// The text, empty when it only called tools.
    pub text: String,
    /// Opaque data of the provider (reasoning, signatures) that it wants back, in order, before text and calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continuation: Vec<Value>,
    /// The tools it wants called, in order.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
}

/// One call of a tool that a model asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's name for this call; its result refers to it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
    /// Opaque continuation data that some providers want back with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<String>>,
}

/// The arguments of a tool call: an object, or what could not be read as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// A JSON object. Whether it fits the tool's schema is checked when the tool is called.
    Valid(Value),
    /// Not a JSON object, most often because the answer was cut off.
    Malformed {
        /// The text as it came.
        text: String,
        /// Why it is not an object.
        problem: String,
    },
}

impl Arguments {
    /// Reads arguments as providers send them: an object, or a string that holds one. Nothing at all means none.
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

    /// Reads the text of arguments.
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

    /// What is sent back to the provider as this call's arguments. Broken text is never sent as if it were valid:
    /// servers that parse it would refuse the whole conversation.
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

/// The result of one tool call, as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolMessage {
    /// The call that it answers.
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
    fn broken_arguments_are_never_valid() {
        let cut_off = Arguments::from_value(json!("{\"path\": \"hello.py\", \"content\": \"prin"));
        assert!(matches!(cut_off, Arguments::Malformed { .. }), "{cut_off:?}");
        assert_eq!(cut_off.to_value(), json!({}));
        assert!(matches!(Arguments::from_value(json!(["a"])), Arguments::Malformed { .. }));
        assert!(matches!(Arguments::from_text("\"text\""), Arguments::Malformed { .. }));
    }

    #[test]
    fn objects_in_any_wrapping_are_valid() {
        let expected = Arguments::Valid(json!({"path": "a"}));
        assert_eq!(Arguments::from_value(json!({"path": "a"})), expected);
        assert_eq!(Arguments::from_value(json!("{\"path\":\"a\"}")), expected);
        assert_eq!(Arguments::from_value(Value::Null), Arguments::Valid(json!({})));
        assert_eq!(Arguments::from_text("  "), Arguments::Valid(json!({})));
    }

    #[test]
    fn a_message_survives_its_journal() {
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
