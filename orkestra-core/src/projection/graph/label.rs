//! The short labels of nodes and runs.

use crate::kernel::{NodeState, NodeStatus, Outcome, PauseReason, RunState, SkipReason, StepState, StopReason};
use crate::model::{Failure, Join, NodeId, NodeKind, NodeSpec, Payload, printable};

/// The maximum length of a label, in characters: it must be readable at a glance. The run's view has the full text.
const LABEL_CHARS_MAX: usize = 80;

/// How many waits of one node are listed.
const WAITS_SHOWN_MAX: usize = 3;

fn cut(text: &str) -> String {
    printable(text, LABEL_CHARS_MAX)
}

/// The labels that follow from a node's definition.
pub(super) fn of_spec(spec: &NodeSpec) -> Vec<String> {
    let join = match spec.join {
        Join::All => None,
        Join::Any => Some("after any".to_owned()),
        Join::AtLeast(count) => Some(format!("after {count} of {}", spec.after.len())),
        Join::Settled => Some("after all have ended".to_owned()),
    };
    let condition = spec.when.as_ref().map(|_| "conditional".to_owned());
    join.into_iter().chain(condition).collect()
}

/// The labels that follow from a node's state.
pub(super) fn of_state(state: &RunState, id: NodeId) -> Vec<String> {
    let node = state.node(id);
    let mut labels = Vec::new();
    match node.status {
        NodeStatus::Queued => {
            let slots: Vec<_> = state.slots(id).iter().map(ToString::to_string).collect();
            labels.push(cut(&format!("waits for slots of {}", slots.join(", "))));
        }
        NodeStatus::Running => waits(state, id, &mut labels),
        NodeStatus::Backoff => labels.extend(node.retry_at.map(|at| format!("next attempt at {at}"))),
        NodeStatus::Skipped => labels.extend(node.skipped.as_ref().map(why_skipped)),
        NodeStatus::Pending | NodeStatus::Completed | NodeStatus::Failed | NodeStatus::Cancelled => {}
    }
    let failed = matches!(node.status, NodeStatus::Failed | NodeStatus::Backoff | NodeStatus::Running);
    labels.extend(node.last_failure.as_ref().filter(|_| failed).map(of_failure));
    labels
}

fn waits(state: &RunState, id: NodeId, labels: &mut Vec<String>) {
    let node = state.node(id);
    let shown = node.waits.keys().take(WAITS_SHOWN_MAX).filter_map(|key| wait(state, id, node, key.as_deref()));
    labels.extend(shown);
    if node.waits.len() > WAITS_SHOWN_MAX {
        labels.push(format!("… {} more waits", node.waits.len() - WAITS_SHOWN_MAX));
    }
    labels.extend(node.deadline.map(|deadline| format!("times out at {deadline}")));
}

fn wait(state: &RunState, id: NodeId, node: &NodeState, key: Option<&str>) -> Option<String> {
    let Some(key) = key else {
        return match &state.plan().node(id).spec.kind {
            NodeKind::Gate(signal) => Some(format!("waits for signal `{signal}`")),
            NodeKind::Task(_) => None,
        };
    };
    match node.steps.get(key)? {
        StepState::Sleeping(due) => Some(format!("sleeps until {due}")),
        StepState::Awaiting(signal) => Some(format!("waits for signal `{signal}`")),
        StepState::Asking(question) => Some(cut(&format!("asks {}", question.as_json()))),
        StepState::Child(child) => Some(format!("waits for run `{}`", child.run)),
        StepState::Started | StepState::Done(_) | StepState::Failed(_) | StepState::LetGo => None,
    }
}

fn why_skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Condition => "its condition does not hold".to_owned(),
        SkipReason::Upstream => "a node it depends on failed or was skipped".to_owned(),
    }
}

fn of_failure(failure: &Failure) -> String {
    cut(&failure.to_string())
}

/// A report of a task: its kind, and its string or number, or else its JSON.
pub(super) fn report(kind: &str, payload: &Payload) -> String {
    let text = payload.to::<String>().unwrap_or_else(|_| payload.as_json().to_owned());
    cut(&format!("{kind}: {text}"))
}

/// The labels of a run.
pub(super) fn of_run(state: &RunState) -> Vec<String> {
    let pause = state.pause().map(|pause| match &pause.reason {
        PauseReason::Asked { reason } => cut(&format!("paused: {reason}")),
        PauseReason::Budget { meter } => format!("paused: the budget of `{meter}` is used up"),
        PauseReason::NodeFailed { node } => format!("paused: node `{node}` failed"),
        PauseReason::ProcessesLost { node, times } => format!("paused: {times} processes lost at node `{node}`"),
    });
    let end = state.outcome().and_then(of_outcome).or_else(|| state.stopping().map(|stopping| why(&stopping.reason)));
    let spent = state.spent().iter().map(|(meter, amount)| match state.options().budget.get(meter) {
        Some(limit) => format!("{meter} {amount} of {limit}"),
        None => format!("{meter} {amount}"),
    });
    pause.into_iter().chain(end).chain(spent).collect()
}

fn of_outcome(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Completed(_) => None,
        Outcome::Failed { node, failure } => Some(cut(&format!("node `{node}` failed: {failure}"))),
        Outcome::Cancelled(reason) => Some(cut(&format!("cancelled: {reason}"))),
        Outcome::Terminated(reason) => Some(cut(&format!("terminated: {reason}"))),
        Outcome::TimedOut(deadline) => Some(format!("passed its deadline {deadline}")),
    }
}

fn why(reason: &StopReason) -> String {
    match reason {
        StopReason::Cancelled { reason } => cut(&format!("cancelling: {reason}")),
        StopReason::NodeFailed { node, failure } => cut(&format!("node `{node}` failed: {failure}")),
        StopReason::DeadlinePassed { deadline } => format!("passed its deadline {deadline}"),
        StopReason::Terminated { reason } => cut(&format!("terminated: {reason}")),
    }
}
