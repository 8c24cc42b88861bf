//! How a node waits for those before it, and what its failure means for those after it.

use serde::{Deserialize, Serialize};

/// When a node starts, given the nodes right before it. A node that completed counts as done, and so does one that
/// failed with [`OnFailure::Continue`]. A node that can never start is skipped, as soon as that is certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Join {
    /// When all of them are done. Its input is their outputs in declared order; the output itself when there is one node.
    #[default]
    All,
    /// When the first of them is done. Its input is the output of that one.
    Any,
    /// When this many of them are done. Its input is the list of those outputs, in declared order.
    AtLeast(usize),
    /// When all of them have ended, however. Its input is the list of their outputs in declared order, `null` for each
    /// that gave none.
    Settled,
}

/// What happens when the last attempt of a node has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFailure {
    /// The run fails.
    #[default]
    Fail,
    /// The nodes that need it are skipped, the others go on, and the run can complete.
    Skip,
    /// The nodes after it start as if it were done, with `null` for its output.
    Continue,
    /// The run pauses. Somebody looks: retrying the node goes on with it, resuming the run without that skips those that
    /// need it.
    Pause,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_as_words() {
        for (join, text) in [
            (Join::All, r#""all""#),
            (Join::Any, r#""any""#),
            (Join::AtLeast(2), r#"{"at_least":2}"#),
            (Join::Settled, r#""settled""#),
        ] {
            assert_eq!(serde_json::to_string(&join).expect("it serialises"), text);
            assert_eq!(serde_json::from_str::<Join>(text).expect("it reads back"), join);
        }
        assert_eq!(serde_json::to_string(&OnFailure::Continue).expect("it serialises"), r#""continue""#);
    }
}
