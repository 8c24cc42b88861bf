//! A run node by node.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::{NodeStatus, Outcome, PauseReason, RunState, RunStatus, SkipReason, StepState, Undo};
use crate::model::{Amount, Failure, Name, Payload, RunId, RunOptions, Seq, Timestamp};

/// A run as a reader sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunView {
    /// The run's id.
    pub id: RunId,
    /// The workflow it runs.
    pub workflow: Name,
    /// Where it stands.
    pub status: RunStatus,
    /// What it was given.
    pub input: Payload,
    /// What it can be found by.
    pub labels: BTreeMap<String, String>,
    /// Its nodes, in the order in which they were declared or added.
    pub nodes: Vec<NodeView>,
    /// How it is run, its budget as it is now.
    pub options: RunOptions,
    /// What was spent, by meter.
    pub spent: BTreeMap<Name, Amount>,
    /// What its tasks have published, by key. A large value is a reference: read it with
    /// [`Run::published`](crate::Run::published).
    pub published: BTreeMap<Name, Payload>,
    /// Why it makes a pause, if it does.
    pub pause: Option<PauseReason>,
    /// The nodes whose failures are to be decided on before the run goes on, in the order in which they failed: each is
    /// retried, or given up by [`Run::resume`](crate::Run::resume) when it is the reason of the pause.
    pub undecided: Vec<Name>,
    /// Questions that nobody has answered.
    pub questions: Vec<QuestionView>,
    /// Other runs that it waits for.
    pub children: Vec<RunId>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What of it was undone and what was not, if it did not complete and there was something to undo.
    pub undo: Option<Undo>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// The position of its last event.
    pub last: Seq,
}

/// A question that nobody has answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QuestionView {
    /// Its id: answer it with [`Run::answer`](crate::Run::answer).
    pub id: Seq,
    /// The node that asks.
    pub node: Name,
    /// What it asks.
    pub question: Payload,
}

/// A node as a reader sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeView {
    /// The node's name.
    pub name: Name,
    /// The nodes before it.
    pub after: Vec<Name>,
    /// Where it stands.
    pub status: NodeStatus,
    /// The attempt under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// When its next attempt begins, if it waits for that.
    pub retry_at: Option<Timestamp>,
    /// Why it was skipped, if it was.
    pub skipped: Option<SkipReason>,
    /// What its last failed attempt left.
    pub failure: Option<Failure>,
    /// What it gave.
    pub output: Option<Payload>,
}

impl RunView {
    /// The view of a state.
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
