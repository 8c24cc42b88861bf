//! The view of a run, node by node.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::{NodeStatus, Outcome, PauseReason, RunState, RunStatus, SkipReason, StepState, Undo};
use crate::model::{Amount, Failure, Name, Payload, RunId, RunOptions, Seq, Timestamp};

use super::waits::{LeaseView, RunWaitsFor, WaitsFor};

/// A run as shown to readers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunView {
    /// The run's id.
    pub id: RunId,
    /// The run's workflow.
    pub workflow: Name,
    /// The run's status.
    pub status: RunStatus,
    /// Its input.
    pub input: Payload,
    /// Labels to find the run by.
    pub labels: BTreeMap<String, String>,
    /// Its nodes, in order of declaration or addition.
    pub nodes: Vec<NodeView>,
    /// Its options, with the current budget.
    pub options: RunOptions,
    /// What was spent, by meter.
    pub spent: BTreeMap<Name, Amount>,
    /// The values that its tasks have published, by key. A large value is a reference: read it with
    /// [`Run::published`](crate::Run::published).
    pub published: BTreeMap<Name, Payload>,
    /// Why it is paused, if it is.
    pub pause: Option<PauseReason>,
    /// The failed nodes that await a decision before the run continues, in order of failure. Each is retried, or given
    /// up by [`Run::resume`](crate::Run::resume) when its failure is the reason of the pause.
    pub undecided: Vec<Name>,
    /// Its open questions.
    pub questions: Vec<QuestionView>,
    /// The child runs that it waits for.
    pub children: Vec<RunId>,
    /// The engine that drives it. `None` if none does, for example while the run is parked or paused, or if the store cannot tell.
    pub lease: Option<LeaseView>,
    /// What it waits for as a whole, beside what its nodes wait for. As far as the engine that was asked knows.
    pub waits_for: Option<RunWaitsFor>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Which nodes were compensated and which were not, if it did not complete and had nodes to compensate.
    pub undo: Option<Undo>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// The position of its last event.
    pub last: Seq,
}

/// An open question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QuestionView {
    /// The question's id, for [`Run::answer`](crate::Run::answer).
    pub id: Seq,
    /// The node that asked.
    pub node: Name,
    /// The question.
    pub question: Payload,
}

/// A node as shown to readers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeView {
    /// The node's name.
    pub name: Name,
    /// The nodes before it.
    pub after: Vec<Name>,
    /// The node's status.
    pub status: NodeStatus,
    /// The running attempt, or the last one; 0 before the first.
    pub attempt: u32,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// When its next attempt starts, if one is scheduled.
    pub retry_at: Option<Timestamp>,
    /// Why it was skipped, if it was.
    pub skipped: Option<SkipReason>,
    /// The failure of its last failed attempt.
    pub failure: Option<Failure>,
    /// Its output.
    pub output: Option<Payload>,
    /// What it waits for. Empty when it has ended, or when its task is at work.
    pub waits_for: Vec<WaitsFor>,
}

impl RunView {
    /// The view of a state. What only an engine knows is missing: the lease, what the run waits for as a whole, places in
    /// queues. [`Run::view`](crate::Run::view) fills it in.
    #[must_use]
    pub fn of(state: &RunState) -> Self {
        let node = |id| {
            let (spec, node) = (&state.plan().node(id).spec, state.node(id));
            NodeView {
                name: spec.name.clone(),
                after: spec.after.clone(),
                status: node.status,
                attempt: node.attempt,
                started_at: node.started_at,
                ended_at: node.ended_at,
                retry_at: node.retry_at,
                skipped: node.skipped.clone(),
                failure: node.last_failure.clone(),
                output: node.output.clone(),
                waits_for: WaitsFor::of(state, id),
            }
        };
        Self {
            id: state.id().clone(),
            workflow: state.plan().workflow().clone(),
            status: state.status(),
            input: state.input().clone(),
            labels: state.labels().clone(),
            nodes: state.plan().ids().map(node).collect(),
            options: state.options().clone(),
            spent: state.spent().clone(),
            published: state.published().clone(),
            pause: state.pause().map(|pause| pause.reason.clone()),
            undecided: state.undecided().iter().map(|id| state.name(*id).clone()).collect(),
            questions: questions(state),
            children: state.children().keys().cloned().collect(),
            lease: None,
            waits_for: None,
            outcome: state.outcome().cloned(),
            undo: state.undo(),
            created_at: state.created_at(),
            updated_at: state.updated_at(),
            last: state.last(),
        }
    }
}

fn questions(state: &RunState) -> Vec<QuestionView> {
    let view = |(id, (node, step)): (&Seq, &(crate::model::NodeId, String))| match state.node(*node).steps.get(step) {
        Some(StepState::Asking(question)) => {
            Some(QuestionView { id: *id, node: state.name(*node).clone(), question: question.clone() })
        }
        _ => None,
    };
    state.questions().iter().filter_map(view).collect()
}
