//! The names of the metrics and what they count, in one place. `docs/observability.md` shows the same table.
//!
//! A label has few values: workflows, statuses, reasons. Never an id, because a recorder keeps every value it has ever
//! seen.

use std::fmt;

/// A metric of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: &'static str,
    /// Its labels, apart from those that the recorder adds.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub meaning: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution of many values.
    Histogram,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// Every metric of the engine, in the order of the documentation.
///
/// ```
/// assert!(orkestra_core::telemetry::METRICS.iter().all(|metric| metric.name.starts_with("orkestra_")));
/// ```
pub const METRICS: &[Metric] = &[
    RUNS_STARTED,
    RUNS_ENDED,
    RUN_SECONDS,
    RUNS_LIVE,
    RUNS_PARKED,
    RUNS_PAUSED,
    RUNS_RELOADED,
    RUNS_BLOCKED,
    LEASES_LOST,
    NODES_ENDED,
    ATTEMPTS_STARTED,
    ATTEMPTS_ENDED,
    RETRIES,
    CALL_SECONDS,
    TASKS_PARKED,
    STEP_SECONDS,
    STEPS_REMEMBERED,
    STEP_RETRIES,
    SIGNALS_RECEIVED,
    QUESTIONS_ASKED,
    CHILDREN_REQUESTED,
    SLOT_WAIT_SECONDS,
    COMMIT_SECONDS,
    COMMIT_BATCH,
    COMMIT_BATCH_BYTES,
    APPEND_SECONDS,
    COMMITS_REFUSED,
];

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, unit, labels, meaning }
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Histogram, unit, labels, meaning }
}

const BY_WORKFLOW: &[&str] = &["workflow"];
const BY_STATUS: &[&str] = &["workflow", "status"];
const BY_OUTCOME: &[&str] = &["workflow", "outcome"];

pub(super) const RUNS_STARTED: Metric = counter(
    "orkestra_runs_started_total",
    "runs",
    BY_WORKFLOW,
    "runs that were created, including forks and child runs",
);
pub(super) const RUNS_ENDED: Metric = counter(
    "orkestra_runs_ended_total",
    "runs",
    BY_STATUS,
    "runs that ended, by `completed`, `failed`, `cancelled`, `terminated`, `timed_out`",
);
pub(super) const RUN_SECONDS: Metric =
    histogram("orkestra_run_seconds", "seconds", BY_STATUS, "from a run's creation to its end, waits included");
pub(super) const RUNS_LIVE: Metric = Metric {
    name: "orkestra_runs_live",
    kind: MetricKind::Gauge,
    unit: "runs",
    labels: &[],
    meaning: "runs in the memory of this process, driven by one of its engines",
};
pub(super) const RUNS_PARKED: Metric = counter(
    "orkestra_runs_parked_total",
    "runs",
    BY_WORKFLOW,
    "how often a run that only waits was dropped from memory",
);
pub(super) const RUNS_PAUSED: Metric = counter(
    "orkestra_runs_paused_total",
    "pauses",
    &["workflow", "reason"],
    "pauses that began, by `asked`, `budget`, `node_failed`, `processes_lost`",
);
pub(super) const RUNS_RELOADED: Metric = counter(
    "orkestra_runs_reloaded_total",
    "reloads",
    &[],
    "how often a run was reloaded from its journal because the store did not answer `Ok`",
);
pub(super) const RUNS_BLOCKED: Metric = counter(
    "orkestra_runs_blocked_total",
    "runs",
    &[],
    "how often an engine gave up a run that should continue: see `Engine::blocked`",
);
pub(super) const LEASES_LOST: Metric = counter(
    "orkestra_leases_lost_total",
    "leases",
    &[],
    "leases that another engine took while this one drove the run",
);
pub(super) const NODES_ENDED: Metric = counter(
    "orkestra_nodes_ended_total",
    "nodes",
    BY_STATUS,
    "nodes that ended, gates included, by `completed`, `failed`, `skipped`, `cancelled`",
);
pub(super) const ATTEMPTS_STARTED: Metric = counter(
    "orkestra_attempts_started_total",
    "attempts",
    BY_WORKFLOW,
    "attempts that started; the wait of a gate is one",
);
pub(super) const ATTEMPTS_ENDED: Metric = counter(
    "orkestra_attempts_ended_total",
    "attempts",
    BY_OUTCOME,
    "attempts that ended by themselves or timed out, by `completed`, `failed`",
);
pub(super) const RETRIES: Metric =
    counter("orkestra_retries_total", "attempts", BY_WORKFLOW, "failed attempts that are followed by another one");
pub(super) const CALL_SECONDS: Metric = histogram(
    "orkestra_call_seconds",
    "seconds",
    BY_OUTCOME,
    "one call of a task, by `completed`, `failed`; an attempt that was parked or lost its process has several calls, and calls that were dropped are not counted",
);
pub(super) const TASKS_PARKED: Metric = counter(
    "orkestra_tasks_parked_total",
    "tasks",
    BY_WORKFLOW,
    "how often a task that only waits was dropped from memory",
);
pub(super) const STEP_SECONDS: Metric = histogram(
    "orkestra_step_seconds",
    "seconds",
    BY_OUTCOME,
    "the work of a step including its tries, without the write of its result, by `completed`, `failed`",
);
pub(super) const STEPS_REMEMBERED: Metric = counter(
    "orkestra_steps_remembered_total",
    "steps",
    BY_WORKFLOW,
    "steps that were not done again, because their result was stored",
);
pub(super) const STEP_RETRIES: Metric = counter(
    "orkestra_step_retries_total",
    "tries",
    BY_WORKFLOW,
    "failed tries of a step that are followed by another try in the same attempt",
);
pub(super) const SIGNALS_RECEIVED: Metric =
    counter("orkestra_signals_received_total", "signals", BY_WORKFLOW, "signals that runs were sent");
pub(super) const QUESTIONS_ASKED: Metric =
    counter("orkestra_questions_asked_total", "questions", BY_WORKFLOW, "questions that tasks asked");
pub(super) const CHILDREN_REQUESTED: Metric = counter(
    "orkestra_children_requested_total",
    "runs",
    BY_WORKFLOW,
    "child runs that tasks requested; the label is the parent's workflow",
);
pub(super) const SLOT_WAIT_SECONDS: Metric = histogram(
    "orkestra_slot_wait_seconds",
    "seconds",
    &[],
    "from the request of slots to their grant, by the engine's clock; after a restart the wait counts from the start",
);
pub(super) const COMMIT_SECONDS: Metric = histogram(
    "orkestra_commit_seconds",
    "seconds",
    &[],
    "from handing a commit to the committer to the store's answer",
);
pub(super) const COMMIT_BATCH: Metric =
    histogram("orkestra_commit_batch_commits", "commits", &[], "commits in one durable write");
pub(super) const COMMIT_BATCH_BYTES: Metric =
    histogram("orkestra_commit_batch_bytes", "bytes", &[], "bytes of the commits in one durable write");
pub(super) const APPEND_SECONDS: Metric =
    histogram("orkestra_append_seconds", "seconds", &[], "one durable write, as measured around the store's call");
pub(super) const COMMITS_REFUSED: Metric = counter(
    "orkestra_commits_refused_total",
    "commits",
    &["reason"],
    "commits that the store refused, by `conflict`, `fenced`, `unknown`, `failed`",
);
