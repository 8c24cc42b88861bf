//! How a node waits for the nodes before it, and what its failure means for those after it.

use serde::{Deserialize, Serialize};

/// When a node starts, depending on the nodes right before it. A node is done when it completed, or failed with
/// [`OnFailure::Continue`]. A node that can never start is skipped as soon as that is certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Join {
    /// When all are done. Its input is the list of their outputs in declared order; with a single node before it, that
    /// node's output.
    #[default]
    All,
    /// When the first is done. Its input is that node's output.
    Any,
    /// When this many are done. Its input is the list of their outputs, in declared order.
    AtLeast(usize),
    /// When all have ended, in whatever way. Its input is the list of their outputs in declared order, with `null` for
    /// each node that has none.
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
    /// The nodes that depend on it are skipped, the others run, and the run can complete.
    Skip,
    /// The nodes after it start as if it were done, with `null` as its output.
    Continue,
    /// The run is paused for someone to decide. Retrying the node runs it again; resuming the run without that skips
    /// the nodes that depend on it.
    Pause,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_as_words() {
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
