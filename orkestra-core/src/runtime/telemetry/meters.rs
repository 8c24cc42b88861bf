//! Handles of the metrics, created when the engine starts and when it first drives a run of a workflow.
//!
//! IMPORTANT: a handle belongs to the recorder that was installed when it was created. To get metrics, install the
//! recorder before the engine starts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use crate::model::Name;
use crate::model::limits::WORKFLOWS_MEASURED_MAX;
use crate::store::AppendError;

use super::facts::{Fact, RUN_ENDS, Tally};
use super::names::{self, METRICS, Metric, MetricKind};

/// The workflow label of workflows over the limit.
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

    /// The meters of runs whose workflow is not known yet.
    pub(super) fn other(&self) -> Arc<Meters> {
        Arc::clone(&self.other)
    }

    /// The meters of a workflow. Workflows can be loaded as data, so only the first ones have their own label.
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

    /// Counts a decision that is durable now. `age` is the age of the run.
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

/// The durations of something that completes or fails.
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

    /// The store answered a durable write.
    #[expect(clippy::cast_precision_loss, reason = "batches are limited to far less than 2^52 commits and bytes")]
    pub(in crate::runtime) fn wrote(&self, commits: usize, bytes: usize, took: Duration) {
        self.batch.record(commits as f64);
        self.bytes.record(bytes as f64);
        self.append.record(took);
    }

    /// The store answered a commit, this long after it was submitted.
    pub(in crate::runtime) fn answered(&self, result: &Result<(), AppendError>, took: Duration) {
        self.latency.record(took);
        if let Err(error) = result {
            self.refused(error);
        }
    }

    /// The store did not accept a commit, which may be written again.
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

/// The labels of a metric, given its values in order.
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
