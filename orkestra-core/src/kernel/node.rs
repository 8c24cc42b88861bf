//! The state of one node of a run, and of its steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, Name, NodeId, Payload, RunId, Seq, Timestamp, journaled};

use super::reason::SkipReason;
use super::status::NodeStatus;

/// The state of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepState {
    /// It started and must not run twice.
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
    /// It was a wait that its task dropped. It never becomes ready when the task is called again; a later attempt waits
    /// anew.
    LetGo,
}

/// A child run that a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildState {
    /// Its id.
    pub run: RunId,
    /// The workflow of the child run.
    pub workflow: Name,
    /// The input of the child run.
    #[serde(with = "journaled")]
    pub input: Payload,
}

impl StepState {
    /// The result of the step, if it has ended.
    #[must_use]
    pub const fn result(&self) -> Option<Result<&Payload, &Failure>> {
        match self {
            Self::Done(result) => Some(Ok(result)),
            Self::Failed(failure) => Some(Err(failure)),
            _ => None,
        }
    }

    /// Whether the step is a wait that has not ended.
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
            Self::LetGo => f.write_str("a dropped wait"),
            Self::Child(child) => write!(f, "a wait for run `{}`", child.run),
        }
    }
}

/// A wait of a node that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenWait {
    /// The event that started it.
    pub since: Seq,
    /// The attempt that requested it. The wait may outlive the attempt.
    pub attempt: u32,
    /// Its time limit.
    pub until: Option<Timestamp>,
}

/// What the nodes before a node mean for it, by its join rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may start.
    Ready,
    /// It cannot start yet.
    Wait,
    /// It will never start.
    Skip,
}

/// The state of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeState {
    /// Its status.
    pub status: NodeStatus,
    /// The running attempt, or the last one; 0 before the first.
    pub attempt: u32,
    /// The attempts before the last reset. The retry policy does not count them.
    pub attempts_before: u32,
    /// How many nodes before it are done, including failed ones that count as done.
    pub before_done: usize,
    /// How many nodes before it ended in another way.
    pub before_lost: usize,
    /// The nodes whose outputs an [`Any`](crate::model::Join::Any) or [`AtLeast`](crate::model::Join::AtLeast) node was
    /// started with, in declared order.
    pub chosen: Vec<NodeId>,
    /// The input that replaced its own.
    #[serde(with = "journaled::maybe")]
    pub input: Option<Payload>,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// When its running attempt times out.
    pub deadline: Option<Timestamp>,
    /// When all its attempts together time out.
    pub total_deadline: Option<Timestamp>,
    /// When its next attempt starts.
    pub retry_at: Option<Timestamp>,
    /// The failure of its last failed attempt.
    pub last_failure: Option<Failure>,
    /// Why it was skipped, if it was.
    pub skipped: Option<SkipReason>,
    /// Its output.
    #[serde(with = "journaled::maybe")]
    pub output: Option<Payload>,
    /// Its steps, from all attempts.
    pub steps: HashMap<String, StepState>,
    /// The keys of its steps that must not run twice.
    pub once: BTreeSet<String>,
    /// The signals that its steps have received, with the events that brought them: a dropped step returns its signal.
    pub received: BTreeMap<String, (Name, Seq)>,
    /// Its open waits, by step key; a gate's own wait has no key.
    #[serde(with = "pairs")]
    pub waits: BTreeMap<Option<String>, OpenWait>,
    /// Whether its task was dropped from memory until one of its waits ends.
    pub parked: bool,
    /// How often the running attempt has lost its process since it last finished a step. Losses while it only waited
    /// are not counted.
    pub interruptions: u32,
    /// The last event that changed what the node owes. Its work may start once that event is durable.
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

    /// Whether the running attempt waits: then it cannot have crashed its process.
    pub(super) fn only_waits(&self) -> bool {
        self.waits.values().any(|wait| wait.attempt == self.attempt)
    }
}

/// Serialises a map with keys that are not strings as a list.
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
