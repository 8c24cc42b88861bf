//! Conditions: decide from the run's input and earlier outputs whether a node runs. Plain data.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::id::Name;
use super::json_text;
use super::limits::{CONDITION_DEPTH_MAX, CONDITION_VALUE_BYTES_MAX};
use super::number::Decimal;
use super::payload::Payload;

/// A condition on the run's input or on the outputs of the nodes right before. A node whose condition does not hold is
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
    /// Tests one place of a payload.
    Test {
        /// The node whose output is tested; `None` for the run's input.
        node: Option<Name>,
        /// The place: a JSON pointer (RFC 6901), empty for the whole value.
        pointer: String,
        /// The test.
        is: Test,
    },
    /// All of these hold.
    All(Vec<Condition>),
    /// At least one of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}

/// A test of one place in a payload. Where there is no value, only [`Test::Absent`] and [`Test::NotEquals`] hold.
/// Numbers are compared exactly, whatever their size, also inside lists and objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Test {
    /// The value equals this one. Numbers are compared by value: `1` equals `1.0`.
    Equals(Payload),
    /// The value differs from this one, or there is none.
    NotEquals(Payload),
    /// The value is a number and at least this bound. The bound counts as the decimal number it is written as: 0.1 is
    /// exactly a tenth.
    AtLeast(#[serde(deserialize_with = "bound")] f64),
    /// The value is a number and at most this bound, read as for `AtLeast`.
    AtMost(#[serde(deserialize_with = "bound")] f64),
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
                json_text::pointer_start_mistake(&pointer).map_or(Ok(()), Err)?;
                Self::Test { node, pointer, is }
            }
            Form { node: None, pointer: None, is: None, all: Some(all), any: None, not: None } => Self::All(all),
            Form { node: None, pointer: None, is: None, all: None, any: Some(any), not: None } => Self::Any(any),
            Form { node: None, pointer: None, is: None, all: None, any: None, not: Some(not) } => Self::Not(not),
            _ => {
                return Err(
                    "a condition needs exactly one of `is` (with `node` and `pointer`), `all`, `any` and `not`".into(),
                );
            }
        };
        condition.depth_mistake().map_or(Ok(condition), Err)
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
    /// Tests the output of `node`, which must come right before the node that has the condition.
    #[must_use]
    pub fn output(node: Name, pointer: &str, is: Test) -> Self {
        Self::Test { node: Some(node), pointer: pointer.to_owned(), is }
    }

    /// Tests the run's input.
    #[must_use]
    pub fn input(pointer: &str, is: Test) -> Self {
        Self::Test { node: None, pointer: pointer.to_owned(), is }
    }

    /// What is wrong with a condition built in Rust: without this check a journal could hold a condition that cannot be
    /// read back.
    pub(super) fn mistake(&self) -> Option<String> {
        // First: the other checks recurse as deep as the condition nests.
        self.depth_mistake().or_else(|| self.test_mistake())
    }

    fn depth_mistake(&self) -> Option<String> {
        let deep = self.is_deeper_than(CONDITION_DEPTH_MAX);
        deep.then(|| format!("the condition nests deeper than {CONDITION_DEPTH_MAX} levels"))
    }

    fn is_deeper_than(&self, most: usize) -> bool {
        let Some(inside) = most.checked_sub(1) else { return true };
        match self {
            Self::Test { .. } => false,
            Self::All(several) | Self::Any(several) => several.iter().any(|one| one.is_deeper_than(inside)),
            Self::Not(one) => one.is_deeper_than(inside),
        }
    }

    fn test_mistake(&self) -> Option<String> {
        match self {
            Self::Test { pointer, is, .. } => json_text::pointer_mistake(pointer).or_else(|| is.mistake()),
            Self::All(several) | Self::Any(several) => several.iter().find_map(Self::test_mistake),
            Self::Not(one) => one.test_mistake(),
        }
    }

    /// The nodes whose outputs the condition tests.
    #[must_use]
    pub fn nodes(&self) -> Vec<&Name> {
        match self {
            Self::Test { node, .. } => node.iter().collect(),
            Self::All(several) | Self::Any(several) => several.iter().flat_map(Self::nodes).collect(),
            Self::Not(one) => one.nodes(),
        }
    }

    /// Whether the condition holds. `value` returns the output of a node, or the run's input for `None`; it returns
    /// `None` when there is no such value.
    #[must_use]
    pub fn holds<'a>(&self, value: &impl Fn(Option<&Name>) -> Option<&'a Payload>) -> bool {
        match self {
            // A large value without a stored answer fails every test: ask `is_decidable` first.
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
    /// Whether the payloads suffice to decide the condition: a large value kept beside the journal may lack the
    /// answers.
    #[must_use]
    pub(crate) fn is_decidable<'a>(&self, value: &impl Fn(Option<&Name>) -> Option<&'a Payload>) -> bool {
        match self {
            Self::Test { node, pointer, is } => {
                value(node.as_ref()).is_none_or(|payload| payload.test(pointer, is).is_some())
            }
            Self::All(several) | Self::Any(several) => several.iter().all(|one| one.is_decidable(value)),
            Self::Not(one) => one.is_decidable(value),
        }
    }
}

impl Test {
    /// Whether the test holds at `pointer` in the JSON `text`.
    pub(super) fn holds_at(&self, text: &str, pointer: &str) -> bool {
        self.holds(json_text::at(text, pointer))
    }

    /// `found` is the JSON text of the value, `None` when there is no value.
    pub(super) fn holds(&self, found: Option<&str>) -> bool {
        let order = |than: f64| Some(Decimal::parse(found?)?.cmp(&Decimal::of(than)?));
        match self {
            Self::Equals(wanted) => found.is_some_and(|found| json_text::equal(found, wanted.as_json())),
            Self::NotEquals(wanted) => !found.is_some_and(|found| json_text::equal(found, wanted.as_json())),
            Self::AtLeast(least) => order(*least).is_some_and(Ordering::is_ge),
            Self::AtMost(most) => order(*most).is_some_and(Ordering::is_le),
            Self::Present => found.is_some(),
            Self::Absent => found.is_none(),
            Self::Truthy => found.is_some_and(json_text::is_truthy),
        }
    }

    fn mistake(&self) -> Option<String> {
        match self {
            Self::Equals(wanted) | Self::NotEquals(wanted) => wanted.mistake(CONDITION_VALUE_BYTES_MAX),
            Self::AtLeast(bound) | Self::AtMost(bound) if !bound.is_finite() => {
                Some(format!("{bound} cannot be written as JSON: use a finite number"))
            }
            _ => None,
        }
    }
}

/// Reads a bound. Refuses numbers that a float cannot hold exactly: they would be compared as another number.
fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let written = Payload::deserialize(deserializer)?;
    let text = written.as_json();
    let wanted = Decimal::parse(text).ok_or_else(|| de::Error::custom(format!("`{text}` is not a number")))?;
    let float: f64 = text.parse().map_err(de::Error::custom)?;
    match Decimal::of(float) {
        Some(kept) if kept == wanted => Ok(float),
        Some(_) => Err(de::Error::custom(format!("`{text}` has more digits than a bound can hold (about 16)"))),
        None => Err(de::Error::custom("the number is out of range")),
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
    fn conditions_test_places_of_the_input() {
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
            (r#"{"is": {"equals": 9007199254740993}}"#, "9007199254740992", false),
            (r#"{"is": {"equals": [9007199254740993]}}"#, "[9007199254740992]", false),
            (r#"{"is": {"not_equals": {"a": 18446744073709551617}}}"#, r#"{"a": 18446744073709551616}"#, true),
            (r#"{"is": {"at_least": 9007199254740992}}"#, "9007199254740991.9", false),
            (r#"{"is": {"at_most": 9007199254740992}}"#, "9007199254740993", false),
            (r#"{"is": {"at_least": 0.1}}"#, "0.1", true),
            (r#"{"is": {"at_least": 0.1}}"#, "0.0999999999999999999", false),
            (r#"{"is": {"at_most": 1e308}}"#, "1e999999999", false),
            (r#"{"is": "truthy"}"#, "1e-999999999", true),
            (r#"{"is": "truthy"}"#, "-0e5", false),
            (r#"{"is": "truthy"}"#, "[ ]", false),
        ] {
            assert_eq!(holds(condition, input), expected, "{condition} of {input}");
        }
    }

    #[test]
    fn invalid_conditions_are_explained() {
        for (text, words) in [
            (r#"{"all": [], "any": []}"#, "a condition needs exactly one of `is`"),
            (r#"{"pointer": "a", "is": "present"}"#, "invalid JSON pointer"),
            (r#"{"is": "maybe"}"#, "unknown variant `maybe`"),
            (r#"{"is": {"at_least": 9007199254740993}}"#, "more digits than a bound can hold"),
            (r#"{"is": {"at_least": 1e999}}"#, "out of range"),
            (r#"{"is": {"at_most": "7"}}"#, "is not a number"),
        ] {
            let error = serde_json::from_str::<Condition>(text).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
