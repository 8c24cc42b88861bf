//! The spans of one run while it is in memory: run, node, attempt, step, each with the journal's ids.
//!
//! A run that is parked, or continues in another process, gets a new span each time; `run_id` joins them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info_span, span};

use crate::kernel::{NodeStatus, RunState, RunStatus};
use crate::model::{Epoch, Failure, Name, NodeId, Payload, RunId, Seq};

use super::facts::Tally;
use super::meters::Meters;
use super::{TARGET, Telemetry};

/// The spans of a driver's run.
pub(in crate::runtime) struct Trace {
    run: RunId,
    span: Span,
    meters: Arc<Meters>,
    workflow: Option<Name>,
    epoch: Epoch,
    /// Spans of nodes that have started and not ended.
    nodes: BTreeMap<NodeId, Span>,
}

impl Trace {
    /// Starts the run's span, linked to the span in which the engine was made to drive the run.
    pub(in crate::runtime) fn new(telemetry: &Telemetry, run: &RunId) -> Self {
        let span = info_span!(
            target: TARGET, parent: None, "run",
            otel.status_code = Empty, otel.status_description = Empty,
            run_id = %run, workflow = Empty, epoch = Empty, seq = Empty, parent_run_id = Empty, status = Empty,
        );
        if !span.is_disabled() {
            span.follows_from(Span::current());
        }
        let (meters, epoch) = (telemetry.other(), Epoch(0));
        Self { run: run.clone(), span, meters, workflow: None, epoch, nodes: BTreeMap::new() }
    }

    /// The run's span.
    pub(in crate::runtime) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Records what is known once there is a state: the workflow, and the position in the journal.
    pub(in crate::runtime) fn knows(&mut self, telemetry: &Telemetry, state: &RunState, epoch: Epoch) {
        if self.workflow.is_none() {
            let workflow = state.plan().workflow();
            self.meters = telemetry.of(workflow);
            self.workflow = Some(workflow.clone());
            if !self.span.is_disabled() {
                self.span.record("workflow", workflow.as_str()).record("seq", state.last().0);
                if let Some(parent) = &state.options().parent {
                    self.span.record("parent_run_id", parent.run.as_str());
                }
            }
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.span.record("epoch", epoch.0);
        }
    }

    /// A decision is durable.
    pub(in crate::runtime) fn settled(&self, tally: &Tally, last: Seq, state: &RunState) {
        debug!(target: TARGET, seq = last.0, "durable");
        let age = state.updated_at().since(state.created_at());
        self.meters.count(tally, age);
    }

    /// The run was deleted; the next one under its id may have another workflow.
    pub(in crate::runtime) fn forget_workflow(&mut self) {
        self.workflow = None;
        self.nodes.clear();
    }

    /// Starts and ends a node's span.
    pub(in crate::runtime) fn node(&mut self, state: &RunState, id: NodeId, durable: bool) {
        if self.span.is_disabled() || !durable {
            return;
        }
        let node = state.node(id);
        match node.status {
            NodeStatus::Queued | NodeStatus::Running | NodeStatus::Backoff if !self.nodes.contains_key(&id) => {
                let (name, workflow) = (state.name(id), state.plan().workflow());
                let span = info_span!(
                    target: TARGET, parent: &self.span, "node",
                    otel.name = %format_args!("node {name}"),
                    otel.status_code = Empty, otel.status_description = Empty, error.type = Empty,
                    run_id = %self.run, %workflow, node = %name, seq = node.changed.0, epoch = self.epoch.0,
                    status = Empty,
                );
                self.nodes.insert(id, span);
            }
            status if status.is_final() => {
                if let Some(span) = self.nodes.remove(&id) {
                    end_node(&span, state, id);
                }
            }
            _ => {}
        }
    }

    /// A node's task is about to be called.
    pub(in crate::runtime) fn attempt(&self, state: &RunState, id: NodeId, attempt: u32) -> Attempt {
        let parent = self.nodes.get(&id).unwrap_or(&self.span);
        let (name, node) = (state.name(id), state.node(id));
        let span = info_span!(
            target: TARGET, parent: parent, "attempt",
            otel.name = %format_args!("attempt {name}"),
            otel.status_code = Empty, otel.status_description = Empty, error.type = Empty,
            run_id = %self.run, workflow = %state.plan().workflow(), node = %name, attempt,
            seq = node.changed.0, epoch = self.epoch.0,
        );
        Attempt { span, meters: Arc::clone(&self.meters), epoch: self.epoch }
    }

    /// The driver leaves the run.
    pub(in crate::runtime) fn left(&mut self, state: &RunState, parked: bool) {
        if parked && !state.status().is_final() {
            self.meters.parked.increment(1);
        }
        for (id, span) in std::mem::take(&mut self.nodes) {
            end_node(&span, state, id);
        }
        if self.span.is_disabled() {
            return;
        }
        let status = state.status();
        self.span.record("status", status.name());
        if matches!(status, RunStatus::Failed | RunStatus::Terminated | RunStatus::TimedOut) {
            self.span.record("otel.status_code", "ERROR").record("otel.status_description", status.name());
        }
    }
}

fn end_node(span: &Span, state: &RunState, id: NodeId) {
    let node = state.node(id);
    span.record("status", node.status.name());
    if let (NodeStatus::Failed, Some(failure)) = (node.status, &node.last_failure) {
        failed(span, failure);
    }
}

/// Marks a span as failed.
pub(in crate::runtime) fn failed(span: &Span, failure: &Failure) {
    span.record("otel.status_code", "ERROR").record("otel.status_description", failure.message.as_str());
    span.record("error.type", failure.kind.as_str());
}

/// The telemetry of one call of a task.
#[derive(Clone)]
pub(in crate::runtime) struct Attempt {
    span: Span,
    meters: Arc<Meters>,
    epoch: Epoch,
}

impl Attempt {
    /// Runs the call to its end. Whatever is logged in it carries the attempt's ids.
    pub(in crate::runtime) async fn watch(
        self,
        call: impl Future<Output = Result<Payload, Failure>>,
    ) -> Result<Payload, Failure> {
        let since = Instant::now();
        let result = call.instrument(self.span.clone()).await;
        self.meters.called(result.is_ok(), since.elapsed());
        if let Err(failure) = &result {
            failed(&self.span, failure);
        }
        result
    }

    /// The parent span for something in the call: the task's current span, else the attempt's own.
    fn innermost(&self) -> Option<span::Id> {
        Span::current().id().or_else(|| self.span.id())
    }

    /// The span of a step that is about to be executed. Its `seq` is that of the decision that ends it.
    pub(in crate::runtime) fn step(&self, (run, node, attempt): (&RunId, &str, u32), key: &str) -> Span {
        info_span!(
            target: TARGET, parent: self.innermost(), "step",
            otel.name = %format_args!("step {key}"),
            otel.status_code = Empty, otel.status_description = Empty, error.type = Empty,
            run_id = %run, node, attempt, step = key,
            seq = Empty, epoch = self.epoch.0,
        )
    }

    /// A step was not executed: its result is remembered.
    pub(in crate::runtime) fn remembered(&self, key: &str) {
        self.meters.remembered.increment(1);
        debug!(target: TARGET, parent: self.innermost(), step = key, remembered = true, "the result of a step is remembered");
    }

    /// Measures the work of a step.
    pub(in crate::runtime) async fn work<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let since = Instant::now();
        let result = work.await;
        self.meters.stepped(result.is_ok(), since.elapsed());
        result
    }

    /// A step's work failed and is retried in this attempt.
    pub(in crate::runtime) fn tries_again(&self, failure: &Failure, tries: u32) {
        self.meters.step_retries.increment(1);
        debug!(target: TARGET, tries, error = %failure, "a step is retried");
    }
}

/// Tells a step's span where in the journal its end is: what was decided came after `before`.
pub(in crate::runtime) fn placed(span: &Span, before: Seq, last: Seq) {
    if last > before {
        span.record("seq", before.0 + 1);
    }
}
