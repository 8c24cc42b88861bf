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
    /// The nodes that come right before it, in the order in which their outputs are handed over.
    pub after: Vec<Name>,
    /// How it waits for them.
    pub join: Join,
    /// What must hold for it to run; else it is skipped.
    pub when: Option<Condition>,
    /// How often the node is tried.
    pub retry: Retry,
    /// How long one attempt may take from start to close, in milliseconds; for a gate, how long it waits.
    pub timeout_ms: Option<u64>,
    /// How long the node may take from its first start on, all attempts and the delays between them included, in
    /// milliseconds.
    pub total_timeout_ms: Option<u64>,
    /// How long the task may be silent, in milliseconds: neither a heartbeat nor a step nor a report.
    pub heartbeat_timeout_ms: Option<u64>,
    /// What happens when its last attempt has failed.
    pub on_failure: OnFailure,
    /// The task that undoes the node once it is done and the run fails or is cancelled. It is given the node's output.
    pub compensate: Option<Name>,
    /// How often undoing it is tried; without it, up to five times with growing delays.
    pub compensate_retry: Option<Retry>,
    /// How long one attempt to undo it may take, in milliseconds.
    pub compensate_timeout_ms: Option<u64>,
    /// Its place among the nodes that could start: higher goes first.
    pub priority: i32,
    /// The limits that its attempts are under. An attempt starts when it has a slot of each.
    pub limits: Vec<SlotSpec>,
    /// The node's input; without one it is made from the nodes before it, or from the run's input. Written as `null` it
    /// is `null`; leave it out for none.
    pub input: Option<Payload>,
    /// The version of its code that its author gave it.
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
    /// Runs the task that is registered under this name.
    Task(Name),
    /// Waits for the signal of this name; its payload is the node's output.
    Gate(Name),
}

/// How a node is written: `{"name": …, "task": …}` or `{"name": …, "gate": …}`, and what differs from the defaults.
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
    /// A node that runs `task`, after nothing, tried once.
    #[must_use]
    pub fn task(name: Name, task: Name) -> Self {
        Self::new(name, NodeKind::Task(task))
    }

    /// A node that waits for the signal `signal`.
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

    /// The same, after one node more.
    #[must_use]
    pub fn with_after(mut self, node: Name) -> Self {
        self.after.push(node);
        self
    }

    /// The same with another way to wait for the nodes before it.
    #[must_use]
    pub fn with_join(self, join: Join) -> Self {
        Self { join, ..self }
    }

    /// The same, run only if `condition` holds.
    #[must_use]
    pub fn with_condition(self, condition: Condition) -> Self {
        Self { when: Some(condition), ..self }
    }

    /// The same with another way to be tried again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same with a limit on how long one attempt takes.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout_ms: Some(millis(timeout)), ..self }
    }

    /// The same with a limit on how long all attempts take together.
    #[must_use]
    pub fn with_total_timeout(self, timeout: Duration) -> Self {
        Self { total_timeout_ms: Some(millis(timeout)), ..self }
    }

    /// The same with another meaning of its failure.
    #[must_use]
    pub fn with_on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// The same, undone by `task`.
    #[must_use]
    pub fn with_compensation(self, task: Name) -> Self {
        Self { compensate: Some(task), ..self }
    }

    /// The same under one limit more.
    #[must_use]
    pub fn with_limit(mut self, limit: SlotSpec) -> Self {
        self.limits.push(limit);
        self
    }

    /// The same with an input of its own.
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
