//! A run built event by event. The events are legal: the kernel applies them.

use orkestra_core::journal::Commit;
use orkestra_core::kernel::{Event, RunState, apply};
use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkflowSpec};
use orkestra_core::projection::{Graph, GraphFold, Timeline, TimelineFold};
use serde_json::{Value, json};

pub(super) struct Story {
    run: RunId,
    state: Option<RunState>,
    last: Seq,
    graph: GraphFold,
    timeline: TimelineFold,
}

impl Story {
    /// A run of these nodes, created at 0.
    pub(super) fn of(nodes: impl Into<Value>) -> Self {
        let mut workflow = json!({"name": "w"});
        workflow["nodes"] = nodes.into();
        let spec = WorkflowSpec::from_json(&workflow.to_string()).expect("a workflow");
        let run = RunId::new("r").expect("a run id");
        let (graph, timeline) = (GraphFold::default(), TimelineFold::new(run.clone()));
        let mut story = Self { run, state: None, last: Seq::ZERO, graph, timeline };
        let created = json!({"RunCreated": {"plan": spec, "input": null}});
        story.at(0, &[created]);
        story
    }

    /// These events happen, in one commit.
    #[track_caller]
    pub(super) fn at(&mut self, millis: u64, events: &[Value]) -> &mut Self {
        let at = Timestamp::from_millis(millis);
        let read = |event: &Value| serde_json::from_str::<Event>(&event.to_string()).expect("an event");
        let events: Vec<_> = events.iter().map(read).collect();
        for event in &events {
            apply(&self.run, &mut self.state, at, event).expect("a legal event");
            self.graph.add(event);
        }
        let first = self.last.plus(1);
        let commit = Commit { run: self.run.clone(), first, epoch: Epoch(1), at, events };
        self.last = commit.last();
        self.timeline.add(&commit);
        self
    }

    pub(super) fn graph(&self) -> Graph {
        self.graph.graph(self.state.as_ref().expect("the run was created"))
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.timeline.clone().finish().expect("the run was created")
    }
}

pub(super) fn starts(node: &str, attempt: u32) -> Value {
    json!({"AttemptStarted": {"node": node, "attempt": attempt}})
}

pub(super) fn completes(node: &str) -> Value {
    json!({"NodeCompleted": {"node": node, "output": node}})
}

/// The attempt fails; another follows at this time, or none.
pub(super) fn fails(node: &str, attempt: u32, message: &str, next: Option<u64>) -> Value {
    let next = next.map_or(json!("GiveUp"), |at| json!({"RetryAt": at}));
    let failure = json!({"kind": "error", "message": message});
    json!({"AttemptFailed": {"node": node, "attempt": attempt, "failure": failure, "next": next}})
}

pub(super) fn step(node: &str, key: &str) -> Value {
    json!({"StepCompleted": {"node": node, "step": key, "result": 1}})
}
