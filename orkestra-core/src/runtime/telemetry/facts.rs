//! What of a journal is counted, and how often it happened in one decision.

use crate::kernel::{Event, Next, PauseReason};

use super::names::{self, Metric};

/// Something in the journal that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
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
pub(super) const RUN_ENDS: [(Fact, &str); 5] = [
    (Fact::RunCompleted, "completed"),
    (Fact::RunFailed, "failed"),
    (Fact::RunCancelled, "cancelled"),
    (Fact::RunTerminated, "terminated"),
    (Fact::RunTimedOut, "timed_out"),
];

impl Fact {
    pub(super) const ALL: [Self; 21] = [
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
    pub(super) const fn metric(self) -> (Metric, Option<&'static str>) {
        match self {
            Self::RunStarted => (names::RUNS_STARTED, None),
            Self::RunCompleted => (names::RUNS_ENDED, Some("completed")),
            Self::RunFailed => (names::RUNS_ENDED, Some("failed")),
            Self::RunCancelled => (names::RUNS_ENDED, Some("cancelled")),
            Self::RunTerminated => (names::RUNS_ENDED, Some("terminated")),
            Self::RunTimedOut => (names::RUNS_ENDED, Some("timed_out")),
            Self::PauseAsked => (names::RUNS_PAUSED, Some("asked")),
            Self::PauseOfBudget => (names::RUNS_PAUSED, Some("budget")),
            Self::PauseOfNode => (names::RUNS_PAUSED, Some("node_failed")),
            Self::NodeCompleted => (names::NODES_ENDED, Some("completed")),
            Self::NodeFailed => (names::NODES_ENDED, Some("failed")),
            Self::NodeSkipped => (names::NODES_ENDED, Some("skipped")),
            Self::NodeCancelled => (names::NODES_ENDED, Some("cancelled")),
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
pub(in crate::runtime) struct Tally(pub(super) [u16; Fact::ALL.len()]);

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

#[test]
fn every_fact_has_its_place() {
    for (place, fact) in Fact::ALL.iter().enumerate() {
        assert_eq!(*fact as usize, place, "{fact:?}");
        let (metric, value) = fact.metric();
        assert_eq!(metric.labels.len(), 1 + usize::from(value.is_some()), "{fact:?}");
    }
}
