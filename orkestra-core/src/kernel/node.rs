//! The state of one node of a run, and of its steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, Name, NodeId, Payload, RunId, Seq, Timestamp, journaled};

use super::reason::SkipReason;
use super::status::NodeStatus;

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepState {
    /// It began and must not be done twice.
    Started,
    /// It waits until this time.
    Sleeping(Timestamp),
    /// It waits for this signal.
    Awaiting(Name),
    /// It waits for an answer to this question.
    Asking(#[serde(with = "journaled")] Payload),
    /// It waits for this run, of this workflow and with this input.
    Child(Box<ChildState>),
    /// It is done.
    Done(#[serde(with = "journaled")] Payload),
    /// It failed for good.
    Failed(Failure),
    /// It was a wait, and its task has let it go: when the task is called again it is never ready. A later attempt waits
    /// anew.
    LetGo,
}

/// Another run that a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildState {
    /// Its id.
    pub run: RunId,
    /// The workflow that it runs.
    pub workflow: Name,
    /// What it works on.
    #[serde(with = "journaled")]
    pub input: Payload,
}

impl StepState {
    /// How the step ended, if it has.
    #[must_use]
    pub const fn result(&self) -> Option<Result<&Payload, &Failure>> {
        match self {
            Self::Done(result) => Some(Ok(result)),
            Self::Failed(failure) => Some(Err(failure)),
            _ => None,
        }
    }

    /// Whether the step is a wait that is not over.
    #[must_use]
    pub const fn is_wait(&self) -> bool {
        matches!(self, Self::Sleeping(_) | Self::Awaiting(_) | Self::Asking(_) | Self::Child(_))
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started | Self::Done(_) | Self::Failed(_) => f.write_str("a step"),
            Self::Sleeping(_) => f.write_str("a timer"),
            Self::Awaiting(signal) => write!(f, "a wait for signal `{signal}`"),
            Self::Asking(_) => f.write_str("a question"),
            Self::LetGo => f.write_str("a wait that was let go"),
            Self::Child(child) => write!(f, "a wait for run `{}`", child.run),
        }
    }
}

/// A wait of a node that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenWait {
    /// The event that began it.
    pub since: Seq,
    /// The attempt that asked for it. A wait may outlive it.
    pub attempt: u32,
    /// When it ends without what it waits for.
    pub until: Option<Timestamp>,
}

/// What the nodes before a node mean for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may start.
    Ready,
    /// It cannot start yet.
    Wait,
    /// It will never start.
    Skip,
}

/// A node of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeState {
    /// Where it stands.
    pub status: NodeStatus,
    /// The attempt under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// The attempts before somebody reset the node: its retry policy does not count them.
    pub attempts_before: u32,
    /// How many nodes before it are done, or failed and are to be taken for done.
    pub before_done: usize,
    /// How many nodes before it ended otherwise.
    pub before_lost: usize,
    /// The nodes whose outputs an [`Any`](crate::model::Join::Any) or [`AtLeast`](crate::model::Join::AtLeast) node was
    /// started with, in declared order.
    pub chosen: Vec<NodeId>,
    /// The input that somebody gave it.
    #[serde(with = "journaled::maybe")]
    pub input: Option<Payload>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// When its attempt under way times out.
    pub deadline: Option<Timestamp>,
    /// When all of its attempts together time out.
    pub total_deadline: Option<Timestamp>,
    /// When its next attempt begins.
    pub retry_at: Option<Timestamp>,
    /// What its last failed attempt left.
    pub last_failure: Option<Failure>,
    /// Why it was skipped, if it was.
    pub skipped: Option<SkipReason>,
    /// What it gave.
    #[serde(with = "journaled::maybe")]
    pub output: Option<Payload>,
    /// Its steps, over all attempts.
    pub steps: HashMap<String, StepState>,
    /// Its steps that must not be done twice.
    pub once: BTreeSet<String>,
    /// The signals that its steps have received, with the events that brought them: a step that is let go gives its signal
    /// back.
    pub received: BTreeMap<String, (Name, Seq)>,
    /// What it waits for: its steps that are waits, by key; a gate's own wait has none.
    #[serde(with = "pairs")]
    pub waits: BTreeMap<Option<String>, OpenWait>,
    /// Whether its task was dropped from memory until one of its waits is over.
    pub parked: bool,
    /// How often the attempt under way lost its process since it last finished a step, waits not counted.
    pub interruptions: u32,
    /// The last event that changed where the node stands: what it owes may begin once that event is durable.
    pub changed: Seq,
}

impl NodeState {
    pub(super) fn new(changed: Seq) -> Self {
        Self {
            status: NodeStatus::Pending,
            attempt: 0,
            attempts_before: 0,
            before_done: 0,
            before_lost: 0,
            chosen: Vec::new(),
            input: None,
            started_at: None,
            ended_at: None,
            deadline: None,
            total_deadline: None,
            retry_at: None,
            last_failure: None,
            skipped: None,
            output: None,
            steps: HashMap::new(),
            once: BTreeSet::new(),
            received: BTreeMap::new(),
            waits: BTreeMap::new(),
            parked: false,
            interruptions: 0,
            changed,
        }
    }

    /// Whether the attempt under way waits: it does nothing that could take its process down.
    pub(super) fn only_waits(&self) -> bool {
        self.waits.values().any(|wait| wait.attempt == self.attempt)
    }
}

/// A map whose keys are no texts, as a list.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::OpenWait;

    type Waits = BTreeMap<Option<String>, OpenWait>;

    pub(super) fn serialize<S: Serializer>(waits: &Waits, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(waits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Waits, D::Error> {
        Vec::<(Option<String>, OpenWait)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}
