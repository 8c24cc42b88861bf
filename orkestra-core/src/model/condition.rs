//! When a node is worth running: a question about what came before it, as data.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::Name;
use super::limits::CONDITION_DEPTH_MAX;
use super::payload::Payload;

/// A question about the run's input or the outputs of nodes right before. A node whose condition does not hold is
/// skipped.
///
/// ```
/// use orkestra_core::model::{Condition, Name, Test};
///
/// let risky: Condition = serde_json::from_str(
///     r#"{"node": "review", "pointer": "/risk", "is": {"at_least": 7}}"#,
/// ).unwrap();
/// let same = Condition::output(Name::new("review").unwrap(), "/risk", Test::AtLeast(7.0));
/// assert_eq!(risky, same);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
#[non_exhaustive]
pub enum Condition {
    /// Looks at a place of a payload.
    Test {
        /// Whose output; the run's input when there is none.
        node: Option<Name>,
        /// Where to look: a JSON pointer (RFC 6901), empty for the whole.
        pointer: String,
        /// What must hold there.
        is: Test,
    },
    /// All of them hold.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

/// What must hold at a place of a payload. Nothing but [`Test::Absent`] and [`Test::NotEquals`] holds where nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Test {
    /// The value is this one; numbers by their value, `1` equals `1.0`.
    Equals(Payload),
    /// The value is another one, or there is none.
    NotEquals(Payload),
    /// The value is a number and at least this.
    AtLeast(f64),
    /// The value is a number and at most this.
    AtMost(f64),
    /// There is a value, `null` included.
    Present,
    /// There is no value.
    Absent,
    /// There is a value and it is not `null`, `false`, `0`, `""`, `[]` or `{}`.
    Truthy,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is: Option<Test>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<Vec<Condition>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    any: Option<Vec<Condition>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not: Option<Box<Condition>>,
}

impl TryFrom<Form> for Condition {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let condition = match form {
            Form { node, pointer, is: Some(is), all: None, any: None, not: None } => {
                let pointer = pointer.unwrap_or_default();
                if !pointer.is_empty() && !pointer.starts_with('/') {
                    return Err(format!("`{pointer}` is no JSON pointer: it begins with `/` or is empty"));
                }
                Self::Test { node, pointer, is }
            }
            Form { node: None, pointer: None, is: None, all: Some(all), any: None, not: None } => Self::All(all),
            Form { node: None, pointer: None, is: None, all: None, any: Some(any), not: None } => Self::Any(any),
            Form { node: None, pointer: None, is: None, all: None, any: None, not: Some(not) } => Self::Not(not),
            _ => return Err("a condition has `is` (with `node` and `pointer`), or `all`, or `any`, or `not`".into()),
        };
        if condition.depth() > CONDITION_DEPTH_MAX {
            return Err(format!("a condition nests at most {CONDITION_DEPTH_MAX} deep"));
        }
        Ok(condition)
    }
}

impl From<Condition> for Form {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Test { node, pointer, is } => {
                let pointer = Some(pointer).filter(|pointer| !pointer.is_empty());
                Self { node, pointer, is: Some(is), ..Self::default() }
            }
            Condition::All(all) => Self { all: Some(all), ..Self::default() },
            Condition::Any(any) => Self { any: Some(any), ..Self::default() },
            Condition::Not(not) => Self { not: Some(not), ..Self::default() },
        }
    }
}

impl Condition {
    /// Looks at the output of `node`, which must stand right before the node that has the condition.
    #[must_use]
    pub fn output(node: Name, pointer: &str, is: Test) -> Self {
        Self::Test { node: Some(node), pointer: pointer.to_owned(), is }
    }

    /// Looks at the run's input.
    #[must_use]
    pub fn input(pointer: &str, is: Test) -> Self {
        Self::Test { node: None, pointer: pointer.to_owned(), is }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Test { .. } => 1,
            Self::All(several) | Self::Any(several) => 1 + several.iter().map(Self::depth).max().unwrap_or(0),
            Self::Not(one) => 1 + one.depth(),
        }
    }

    /// The nodes whose outputs it looks at.
    #[must_use]
    pub fn nodes(&self) -> Vec<&Name> {
        match self {
            Self::Test { node, .. } => node.iter().collect(),
            Self::All(several) | Self::Any(several) => several.iter().flat_map(Self::nodes).collect(),
            Self::Not(one) => one.nodes(),
        }
    }

    /// Whether it holds. `value` gives the output of a node, or the run's input; nothing when there is none.
    #[must_use]
    pub fn holds<'a>(&self, value: &impl Fn(Option<&Name>) -> Option<&'a Payload>) -> bool {
        match self {
            // Of a value that is kept beside the journal and was not looked at nothing holds: ask `is_told` first.
            Self::Test { node, pointer, is } => match value(node.as_ref()) {
                Some(payload) => payload.test(pointer, is).unwrap_or(false),
                None => is.holds(None),
            },
            Self::All(several) => several.iter().all(|one| one.holds(value)),
            Self::Any(several) => several.iter().any(|one| one.holds(value)),
            Self::Not(one) => !one.holds(value),
        }
    }
}

impl Condition {
    /// Whether the payloads tell whether it holds: one that is kept beside the journal may not.
    #[must_use]
    pub(crate) fn is_told<'a>(&self, value: &impl Fn(Option<&Name>) -> Option<&'a Payload>) -> bool {
        match self {
            Self::Test { node, pointer, is } => {
                value(node.as_ref()).is_none_or(|payload| payload.test(pointer, is).is_some())
            }
            Self::All(several) | Self::Any(several) => several.iter().all(|one| one.is_told(value)),
            Self::Not(one) => one.is_told(value),
        }
    }
}

impl Test {
    /// Whether it holds at this place of the value.
    pub(super) fn holds_at(&self, text: &str, pointer: &str) -> bool {
        let whole: Option<Value> = serde_json::from_str(text).ok();
        self.holds(whole.as_ref().and_then(|whole| whole.pointer(pointer)))
    }

    fn holds(&self, found: Option<&Value>) -> bool {
        let order = |than: f64| found.and_then(Value::as_f64).and_then(|number| number.partial_cmp(&than));
        match self {
            Self::Equals(wanted) => found.is_some_and(|found| equal(found, wanted)),
            Self::NotEquals(wanted) => !found.is_some_and(|found| equal(found, wanted)),
            Self::AtLeast(least) => order(*least).is_some_and(Ordering::is_ge),
            Self::AtMost(most) => order(*most).is_some_and(Ordering::is_le),
            Self::Present => found.is_some(),
            Self::Absent => found.is_none(),
            Self::Truthy => found.is_some_and(is_truthy),
        }
    }
}

fn equal(found: &Value, wanted: &Payload) -> bool {
    let Ok(wanted) = serde_json::from_str::<Value>(wanted.as_json()) else { return false };
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found.partial_cmp(&wanted) == Some(Ordering::Equal),
        _ => *found == wanted,
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() > 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, input: &str) -> bool {
        let condition: Condition = serde_json::from_str(condition).expect("a condition");
        let written = serde_json::to_string(&condition).expect("it serialises");
        assert_eq!(serde_json::from_str::<Condition>(&written).expect("it reads back"), condition);
        let input: Payload = serde_json::from_str(input).expect("JSON");
        condition.holds(&|node| node.is_none().then_some(&input))
    }

    #[test]
    fn tests_look_at_places() {
        for (condition, input, expected) in [
            (r#"{"is": {"equals": 1}}"#, "1.0", true),
            (r#"{"is": {"equals": null}}"#, "null", true),
            (r#"{"pointer": "/a/0", "is": {"equals": {"b": 1}}}"#, r#"{"a": [{"b": 1}]}"#, true),
            (r#"{"pointer": "/a", "is": {"not_equals": 1}}"#, "{}", true),
            (r#"{"pointer": "/a", "is": {"at_least": 2}}"#, r#"{"a": 2}"#, true),
            (r#"{"pointer": "/a", "is": {"at_most": 2}}"#, r#"{"a": "1"}"#, false),
            (r#"{"pointer": "/a", "is": "present"}"#, r#"{"a": null}"#, true),
            (r#"{"pointer": "/a", "is": "absent"}"#, r#"{"a": null}"#, false),
            (r#"{"pointer": "/a", "is": "truthy"}"#, r#"{"a": []}"#, false),
            (r#"{"all": [{"is": "truthy"}, {"not": {"is": {"equals": 2}}}]}"#, "3", true),
            (r#"{"any": [{"is": "absent"}, {"node": "n", "is": "present"}]}"#, "3", false),
        ] {
            assert_eq!(holds(condition, input), expected, "{condition} of {input}");
        }
    }

    #[test]
    fn what_is_no_condition_says_so() {
        for (text, words) in [
            (r#"{"all": [], "any": []}"#, "a condition has `is`"),
            (r#"{"pointer": "a", "is": "present"}"#, "is no JSON pointer"),
            (r#"{"is": "maybe"}"#, "unknown variant `maybe`"),
        ] {
            let error = serde_json::from_str::<Condition>(text).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
