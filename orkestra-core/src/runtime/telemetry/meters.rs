//! Handles of the metrics, made when the engine starts and when it first drives a run of a workflow.
//!
//! IMPORTANT: a handle belongs to the recorder that was there when it was made. Whoever wants metrics installs the
//! recorder before the engine starts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::kernel::{Event, Next, NodeStatus, PauseReason, RunStatus};
use crate::model::Name;
use crate::model::limits::WORKFLOWS_MEASURED_MAX;
use crate::store::AppendError;

use super::names::{self, METRICS, Metric, MetricKind};

/// The workflow label of those over the limit.
const OTHER: &str = "other";

/// The metrics of one engine.
pub(in crate::runtime) struct Telemetry {
    pub(in crate::runtime) live: Gauge,
    pub(in crate::runtime) reloads: Counter,
    pub(in crate::runtime) blocked: Counter,
    pub(in crate::runtime) leases_lost: Counter,
    pub(in crate::runtime) slot_wait: Histogram,
    pub(in crate::runtime) commits: Commits,
    other: Arc<Meters>,
    workflows: Mutex<HashMap<Name, Arc<Meters>>>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}

impl Telemetry {
    pub(in crate::runtime) fn start() -> Self {
        METRICS.iter().for_each(describe);
        Self {
            live: gauge(names::RUNS_LIVE),
            reloads: counter(names::RUNS_RELOADED, &[]),
            blocked: counter(names::RUNS_BLOCKED, &[]),
            leases_lost: counter(names::LEASES_LOST, &[]),
            slot_wait: histogram(names::SLOT_WAIT_SECONDS, &[]),
            commits: Commits::new(),
            other: Arc::new(Meters::new(OTHER)),
            workflows: Mutex::default(),
        }
    }

    /// The meters of those that are of no workflow yet.
    pub(super) fn other(&self) -> Arc<Meters> {
        Arc::clone(&self.other)
    }

    /// The meters of a workflow. Workflows come as data, too: the first so many have a label of their own.
    pub(super) fn of(&self, workflow: &Name) -> Arc<Meters> {
        let mut known = self.workflows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = known.get(workflow) {
            return Arc::clone(meters);
        }
        if known.len() >= WORKFLOWS_MEASURED_MAX {
            return self.other();
        }
        let meters = Arc::new(Meters::new(workflow));
        known.insert(workflow.clone(), Arc::clone(&meters));
        meters
    }
}

/// The metrics of one workflow.
pub(in crate::runtime) struct Meters {
    facts: [Counter; Fact::ALL.len()],
    run: [Histogram; RUN_ENDS.len()],
    call: Ended,
    step: Ended,
    pub(super) parked: Counter,
    pub(super) remembered: Counter,
    pub(super) step_retries: Counter,
}

impl Meters {
    fn new(workflow: &str) -> Self {
        let own = |metric| counter(metric, &[workflow]);
        Self {
            facts: Fact::ALL.map(|fact| {
                let (metric, value) = fact.metric();
                value.map_or_else(|| own(metric), |value| counter(metric, &[workflow, value]))
            }),
            run: RUN_ENDS.map(|(_, status)| histogram(names::RUN_SECONDS, &[workflow, status])),
            call: Ended::new(names::CALL_SECONDS, workflow),
            step: Ended::new(names::STEP_SECONDS, workflow),
            parked: own(names::RUNS_PARKED),
            remembered: own(names::STEPS_REMEMBERED),
            step_retries: own(names::STEP_RETRIES),
        }
    }

    /// Counts what is durable now. `age` is how old the run is.
    pub(super) fn count(&self, tally: &Tally, age: Duration) {
        for (counter, times) in self.facts.iter().zip(tally.0).filter(|(_, times)| *times > 0) {
            counter.increment(u64::from(times));
        }
        let ended = |(_, (end, _)): &(_, (Fact, _))| tally.0[*end as usize] > 0;
        self.run.iter().zip(RUN_ENDS).filter(ended).for_each(|(histogram, _)| histogram.record(age));
    }

    pub(super) fn called(&self, went_well: bool, took: Duration) {
        self.call.record(went_well, took);
    }

    pub(super) fn stepped(&self, went_well: bool, took: Duration) {
        self.step.record(went_well, took);
    }
}

/// How long something took that goes well or fails.
struct Ended {
    completed: Histogram,
    failed: Histogram,
}

impl Ended {
    fn new(metric: Metric, workflow: &str) -> Self {
        let of = |outcome| histogram(metric, &[workflow, outcome]);
        Self { completed: of("completed"), failed: of("failed") }
    }

    fn record(&self, went_well: bool, took: Duration) {
        if went_well { &self.completed } else { &self.failed }.record(took);
    }
}

/// The metrics of the committer.
#[derive(Clone)]
pub(in crate::runtime) struct Commits {
    latency: Histogram,
    batch: Histogram,
    bytes: Histogram,
    append: Histogram,
    refused: [Counter; 4],
}

impl Commits {
    fn new() -> Self {
        Self {
            latency: histogram(names::COMMIT_SECONDS, &[]),
            batch: histogram(names::COMMIT_BATCH, &[]),
            bytes: histogram(names::COMMIT_BATCH_BYTES, &[]),
            append: histogram(names::APPEND_SECONDS, &[]),
            refused: ["conflict", "fenced", "unknown", "failed"]
                .map(|reason| counter(names::COMMITS_REFUSED, &[reason])),
        }
    }

    /// One durable write was answered.
    #[expect(clippy::cast_precision_loss, reason = "batches are limited to far less than 2^52 commits and bytes")]
    pub(in crate::runtime) fn wrote(&self, commits: usize, bytes: usize, took: Duration) {
        self.batch.record(commits as f64);
        self.bytes.record(bytes as f64);
        self.append.record(took);
    }

    /// The store answered a commit, so long after it was handed over.
    pub(in crate::runtime) fn answered(&self, result: &Result<(), AppendError>, took: Duration) {
        self.latency.record(took);
        if let Err(error) = result {
            self.refused(error);
        }
    }

    /// The store did not take a commit, which may be written again.
    pub(in crate::runtime) fn refused(&self, error: &AppendError) {
        let reason = match error {
            AppendError::Conflict { .. } => 0,
            AppendError::Fenced { .. } => 1,
            AppendError::Unknown(_) => 2,
            AppendError::Failed(_) => 3,
        };
        self.refused[reason].increment(1);
    }
}

/// Something in the journal that is counted.
#[derive(Clone, Copy, Debug)]
enum Fact {
    RunStarted,
    RunCompleted,
    RunFailed,
    RunCancelled,
    RunTerminated,
    RunTimedOut,
    PauseAsked,
    PauseOfBudget,
    PauseOfNode,
    NodeCompleted,
    NodeFailed,
    NodeSkipped,
    NodeCancelled,
    AttemptStarted,
    AttemptCompleted,
    AttemptFailed,
    Retry,
    TaskParked,
    SignalReceived,
    QuestionAsked,
    ChildRequested,
}

/// How runs end, and the label of it.
const RUN_ENDS: [(Fact, &str); 5] = [
    (Fact::RunCompleted, RunStatus::Completed.name()),
    (Fact::RunFailed, RunStatus::Failed.name()),
    (Fact::RunCancelled, RunStatus::Cancelled.name()),
    (Fact::RunTerminated, RunStatus::Terminated.name()),
    (Fact::RunTimedOut, RunStatus::TimedOut.name()),
];

impl Fact {
    const ALL: [Self; 21] = [
        Self::RunStarted,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
        Self::RunTerminated,
        Self::RunTimedOut,
        Self::PauseAsked,
        Self::PauseOfBudget,
        Self::PauseOfNode,
        Self::NodeCompleted,
        Self::NodeFailed,
        Self::NodeSkipped,
        Self::NodeCancelled,
        Self::AttemptStarted,
        Self::AttemptCompleted,
        Self::AttemptFailed,
        Self::Retry,
        Self::TaskParked,
        Self::SignalReceived,
        Self::QuestionAsked,
        Self::ChildRequested,
    ];

    /// Where it is counted: the metric, and the value of its second label.
    const fn metric(self) -> (Metric, Option<&'static str>) {
        match self {
            Self::RunStarted => (names::RUNS_STARTED, None),
            Self::RunCompleted => (names::RUNS_ENDED, Some(RunStatus::Completed.name())),
            Self::RunFailed => (names::RUNS_ENDED, Some(RunStatus::Failed.name())),
            Self::RunCancelled => (names::RUNS_ENDED, Some(RunStatus::Cancelled.name())),
            Self::RunTerminated => (names::RUNS_ENDED, Some(RunStatus::Terminated.name())),
            Self::RunTimedOut => (names::RUNS_ENDED, Some(RunStatus::TimedOut.name())),
            Self::PauseAsked => (names::RUNS_PAUSED, Some("asked")),
            Self::PauseOfBudget => (names::RUNS_PAUSED, Some("budget")),
            Self::PauseOfNode => (names::RUNS_PAUSED, Some("node_failed")),
            Self::NodeCompleted => (names::NODES_ENDED, Some(NodeStatus::Completed.name())),
            Self::NodeFailed => (names::NODES_ENDED, Some(NodeStatus::Failed.name())),
            Self::NodeSkipped => (names::NODES_ENDED, Some(NodeStatus::Skipped.name())),
            Self::NodeCancelled => (names::NODES_ENDED, Some(NodeStatus::Cancelled.name())),
            Self::AttemptStarted => (names::ATTEMPTS_STARTED, None),
            Self::AttemptCompleted => (names::ATTEMPTS_ENDED, Some("completed")),
            Self::AttemptFailed => (names::ATTEMPTS_ENDED, Some("failed")),
            Self::Retry => (names::RETRIES, None),
            Self::TaskParked => (names::TASKS_PARKED, None),
            Self::SignalReceived => (names::SIGNALS_RECEIVED, None),
            Self::QuestionAsked => (names::QUESTIONS_ASKED, None),
            Self::ChildRequested => (names::CHILDREN_REQUESTED, None),
        }
    }
}

/// How often each thing that is counted happened in one decision; counted for good once that is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::runtime) struct Tally([u16; Fact::ALL.len()]);

impl Tally {
    pub(in crate::runtime) fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        events.iter().for_each(|event| tally.add(event));
        tally
    }

    fn add(&mut self, event: &Event) {
        let facts: &[Fact] = match event {
            Event::RunCreated { .. } => &[Fact::RunStarted],
            Event::RunCompleted { .. } => &[Fact::RunCompleted],
            Event::RunFailed { .. } => &[Fact::RunFailed],
            Event::RunCancelled { .. } => &[Fact::RunCancelled],
            Event::RunTerminated { .. } => &[Fact::RunTerminated],
            Event::RunTimedOut { .. } => &[Fact::RunTimedOut],
            Event::RunPaused { reason: PauseReason::Asked { .. } } => &[Fact::PauseAsked],
            Event::RunPaused { reason: PauseReason::Budget { .. } } => &[Fact::PauseOfBudget],
            Event::RunPaused { reason: PauseReason::NodeFailed { .. } } => &[Fact::PauseOfNode],
            Event::NodeCompleted { .. } => &[Fact::NodeCompleted, Fact::AttemptCompleted],
            Event::NodeFailed { .. } => &[Fact::NodeFailed],
            Event::NodeSkipped { .. } => &[Fact::NodeSkipped],
            Event::NodeCancelled { .. } => &[Fact::NodeCancelled],
            Event::AttemptStarted { .. } => &[Fact::AttemptStarted],
            Event::AttemptFailed { next: Next::GiveUp, .. } => &[Fact::AttemptFailed, Fact::NodeFailed],
            Event::AttemptFailed { next: Next::RetryAt(_), .. } => &[Fact::AttemptFailed, Fact::Retry],
            Event::TaskParked { .. } => &[Fact::TaskParked],
            Event::SignalReceived { .. } => &[Fact::SignalReceived],
            Event::QuestionAsked { .. } => &[Fact::QuestionAsked],
            Event::ChildRequested { .. } => &[Fact::ChildRequested],
            _ => &[],
        };
        for fact in facts {
            let times = &mut self.0[*fact as usize];
            *times = times.saturating_add(1);
        }
    }
}

/// Labels of a metric, by its values of them in order.
fn labels(metric: Metric, values: &[&str]) -> Vec<Label> {
    debug_assert_eq!(metric.labels.len(), values.len(), "{} has a value for each of its labels", metric.name);
    metric.labels.iter().zip(values).map(|(label, value)| Label::new(*label, (*value).to_owned())).collect()
}

fn counter(metric: Metric, values: &[&str]) -> Counter {
    metrics::counter!(metric.name, labels(metric, values))
}

fn histogram(metric: Metric, values: &[&str]) -> Histogram {
    metrics::histogram!(metric.name, labels(metric, values))
}

fn gauge(metric: Metric) -> Gauge {
    metrics::gauge!(metric.name)
}

fn describe(metric: &Metric) {
    let unit = match metric.unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => Unit::Count,
    };
    match metric.kind {
        MetricKind::Counter => metrics::describe_counter!(metric.name, unit, metric.meaning),
        MetricKind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.meaning),
        MetricKind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.meaning),
    }
}

#[test]
fn every_fact_has_its_place() {
    for (place, fact) in Fact::ALL.iter().enumerate() {
        assert_eq!(*fact as usize, place, "{fact:?}");
        let (metric, value) = fact.metric();
        assert_eq!(metric.labels.len(), 1 + usize::from(value.is_some()), "{fact:?}");
    }
}
