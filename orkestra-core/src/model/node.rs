//! One node of a workflow, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::id::Name;
use super::join::{Join, OnFailure};
use super::payload::{Payload, if_present};
use super::policy::Retry;
use super::slot::SlotSpec;

/// One node of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NodeForm", into = "NodeForm")]
pub struct NodeSpec {
    /// The node's name, unique in its workflow.
    pub name: Name,
    /// What the node does.
    pub kind: NodeKind,
    /// The nodes right before it, in the order in which it gets their outputs.
    pub after: Vec<Name>,
    /// How it waits for the nodes before it.
    pub join: Join,
    /// The node is skipped when this condition does not hold.
    pub when: Option<Condition>,
    /// How often the node is tried.
    pub retry: Retry,
    /// The time limit of one attempt, from start to end, in milliseconds; for a gate, how long it waits.
    pub timeout_ms: Option<u64>,
    /// The time limit of the node from its first start on, in milliseconds, including all attempts and the delays
    /// between them.
    pub total_timeout_ms: Option<u64>,
    /// How long the task may go without a sign of life (a heartbeat, a step or a report), in milliseconds.
    pub heartbeat_timeout_ms: Option<u64>,
    /// What happens when its last attempt has failed.
    pub on_failure: OnFailure,
    /// The task that compensates the node if the run fails or is cancelled after the node is done. It gets the node's
    /// output.
    pub compensate: Option<Name>,
    /// How often the compensation is tried; by default up to five times with growing delays.
    pub compensate_retry: Option<Retry>,
    /// The time limit of one attempt of the compensation, in milliseconds.
    pub compensate_timeout_ms: Option<u64>,
    /// Its priority among the nodes that are ready to start: higher goes first.
    pub priority: i32,
    /// The limits that apply to its attempts. An attempt starts when it has a slot of each.
    pub limits: Vec<SlotSpec>,
    /// The node's input; by default the outputs of the nodes before it, or the run's input. An explicit `null` is an
    /// input; leave the field out for the default.
    pub input: Option<Payload>,
    /// The version of its code, chosen by its author.
    pub version: Option<String>,
    /// The type of its input, for the upgrade report.
    pub takes: Option<String>,
    /// The type of its output, for the upgrade report.
    pub gives: Option<String>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// Runs the task registered under this name.
    Task(Name),
    /// Waits for the signal of this name; the signal's payload is the node's output.
    Gate(Name),
}

/// The serialised form of a node: `{"name": …, "task": …}` or `{"name": …, "gate": …}`, and whatever differs from the
/// defaults.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeForm {
    name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gate: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<Name>,
    #[serde(default, skip_serializing_if = "is_default")]
    join: Join,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<Condition>,
    #[serde(default, skip_serializing_if = "is_default")]
    retry: Retry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heartbeat_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compensate: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compensate_retry: Option<Retry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compensate_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limits: Vec<SlotSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_present")]
    input: Option<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    takes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gives: Option<String>,
}

impl TryFrom<NodeForm> for NodeSpec {
    type Error = String;

    fn try_from(form: NodeForm) -> Result<Self, String> {
        let kind = match (form.task, form.gate) {
            (Some(task), None) => NodeKind::Task(task),
            (None, Some(signal)) => NodeKind::Gate(signal),
            _ => return Err(format!("node `{}` needs either `task` or `gate`", form.name)),
        };
        Ok(Self {
            name: form.name,
            kind,
            after: form.after,
            join: form.join,
            when: form.when,
            retry: form.retry,
            timeout_ms: form.timeout_ms,
            total_timeout_ms: form.total_timeout_ms,
            heartbeat_timeout_ms: form.heartbeat_timeout_ms,
            on_failure: form.on_failure,
            compensate: form.compensate,
            compensate_retry: form.compensate_retry,
            compensate_timeout_ms: form.compensate_timeout_ms,
            priority: form.priority,
            limits: form.limits,
            input: form.input,
            version: form.version,
            takes: form.takes,
            gives: form.gives,
        })
    }
}

impl From<NodeSpec> for NodeForm {
    fn from(node: NodeSpec) -> Self {
        let (task, gate) = match node.kind {
            NodeKind::Task(task) => (Some(task), None),
            NodeKind::Gate(signal) => (None, Some(signal)),
        };
        Self {
            name: node.name,
            task,
            gate,
            after: node.after,
            join: node.join,
            when: node.when,
            retry: node.retry,
            timeout_ms: node.timeout_ms,
            total_timeout_ms: node.total_timeout_ms,
            heartbeat_timeout_ms: node.heartbeat_timeout_ms,
            on_failure: node.on_failure,
            compensate: node.compensate,
            compensate_retry: node.compensate_retry,
            compensate_timeout_ms: node.compensate_timeout_ms,
            priority: node.priority,
            limits: node.limits,
            input: node.input,
            version: node.version,
            takes: node.takes,
            gives: node.gives,
        }
    }
}

impl NodeSpec {
    /// A node that runs `task`, comes after no other node and is tried once.
    #[must_use]
    pub fn task(name: Name, task: Name) -> Self {
        Self::new(name, NodeKind::Task(task))
    }

    /// A node that waits for the signal `signal`. It comes after no other node.
    #[must_use]
    pub fn gate(name: Name, signal: Name) -> Self {
        Self::new(name, NodeKind::Gate(signal))
    }

    fn new(name: Name, kind: NodeKind) -> Self {
        Self {
            name,
            kind,
            after: Vec::new(),
            join: Join::All,
            when: None,
            retry: Retry::none(),
            timeout_ms: None,
            total_timeout_ms: None,
            heartbeat_timeout_ms: None,
            on_failure: OnFailure::Fail,
            compensate: None,
            compensate_retry: None,
            compensate_timeout_ms: None,
            priority: 0,
            limits: Vec::new(),
            input: None,
            version: None,
            takes: None,
            gives: None,
        }
    }

    /// Adds a node that this one comes after.
    #[must_use]
    pub fn with_after(mut self, node: Name) -> Self {
        self.after.push(node);
        self
    }

    /// Sets how it waits for the nodes before it.
    #[must_use]
    pub fn with_join(self, join: Join) -> Self {
        Self { join, ..self }
    }

    /// Sets its condition: the node is skipped when `condition` does not hold.
    #[must_use]
    pub fn with_condition(self, condition: Condition) -> Self {
        Self { when: Some(condition), ..self }
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Sets the time limit of one attempt.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout_ms: Some(millis(timeout)), ..self }
    }

    /// Sets the time limit of all attempts together.
    #[must_use]
    pub fn with_total_timeout(self, timeout: Duration) -> Self {
        Self { total_timeout_ms: Some(millis(timeout)), ..self }
    }

    /// Sets what happens when its last attempt has failed.
    #[must_use]
    pub fn with_on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// Sets the task that compensates it.
    #[must_use]
    pub fn with_compensation(self, task: Name) -> Self {
        Self { compensate: Some(task), ..self }
    }

    /// Adds a limit on its attempts.
    #[must_use]
    pub fn with_limit(mut self, limit: SlotSpec) -> Self {
        self.limits.push(limit);
        self
    }

    /// Sets its input.
    #[must_use]
    pub fn with_input(self, input: Payload) -> Self {
        Self { input: Some(input.verbatim()), ..self }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
