//! Counts of journal events: what is counted, and how often it happened in one decision.

use crate::kernel::{
    Awaited, Change, Event, Next, NodeChange, NodeStatus, PauseReason, RunChange, RunStatus, WaitChange,
};

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
    PauseOfLoss,
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

/// How a run ended, with its label.
pub(super) const RUN_ENDS: [(Fact, &str); 5] = [
    (Fact::RunCompleted, RunStatus::Completed.name()),
    (Fact::RunFailed, RunStatus::Failed.name()),
    (Fact::RunCancelled, RunStatus::Cancelled.name()),
    (Fact::RunTerminated, RunStatus::Terminated.name()),
    (Fact::RunTimedOut, RunStatus::TimedOut.name()),
];

impl Fact {
    pub(super) const ALL: [Self; 22] = [
        Self::RunStarted,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
        Self::RunTerminated,
        Self::RunTimedOut,
        Self::PauseAsked,
        Self::PauseOfBudget,
        Self::PauseOfNode,
        Self::PauseOfLoss,
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

    /// The metric, and the value of its second label.
    pub(super) const fn metric(self) -> (Metric, Option<&'static str>) {
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
            Self::PauseOfLoss => (names::RUNS_PAUSED, Some("processes_lost")),
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

/// The counts of one decision; added to the metrics once it is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::runtime) struct Tally(pub(super) [u16; Fact::ALL.len()]);

impl Tally {
    pub(in crate::runtime) fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        events.iter().for_each(|event| tally.add(event));
        tally
    }

    fn add(&mut self, event: &Event) {
        for fact in facts(event.consequence().change) {
            let times = &mut self.0[*fact as usize];
            *times = times.saturating_add(1);
        }
    }
}

/// What is counted for a change.
const fn facts(change: Change<'_>) -> &'static [Fact] {
    match change {
        Change::Run(change) => facts_of_run(change),
        Change::Node(change) => facts_of_node(change),
        Change::Wait(WaitChange::Began(Awaited::Answer(_), _)) => &[Fact::QuestionAsked],
        Change::Wait(WaitChange::Began(Awaited::Child(_), _)) => &[Fact::ChildRequested],
        Change::Wait(
            WaitChange::Began(Awaited::Time(_) | Awaited::Signal(_), _)
            | WaitChange::Ended(_)
            | WaitChange::TimedOut
            | WaitChange::LetGo,
        ) => &[],
        // Steps are counted where they are executed: `Trace::work`.
        Change::Step(_) => &[],
    }
}

const fn facts_of_run(change: RunChange<'_>) -> &'static [Fact] {
    match change {
        RunChange::Created(_) => &[Fact::RunStarted],
        RunChange::Ended(status) => facts_of_end(status),
        RunChange::Paused(PauseReason::Asked { .. }) => &[Fact::PauseAsked],
        RunChange::Paused(PauseReason::Budget { .. }) => &[Fact::PauseOfBudget],
        RunChange::Paused(PauseReason::NodeFailed { .. }) => &[Fact::PauseOfNode],
        RunChange::Paused(PauseReason::ProcessesLost { .. }) => &[Fact::PauseOfLoss],
        RunChange::SignalReceived(_) => &[Fact::SignalReceived],
        RunChange::Recovered
        | RunChange::Released
        | RunChange::Resumed
        | RunChange::Stopping
        | RunChange::Compensating
        | RunChange::Reopened
        | RunChange::UndoRetried
        | RunChange::Forked
        | RunChange::BudgetReached
        | RunChange::BudgetSet
        | RunChange::ChildCancelled
        | RunChange::ParentTold
        | RunChange::ValueRead => &[],
    }
}

const fn facts_of_end(status: RunStatus) -> &'static [Fact] {
    match status {
        RunStatus::Completed => &[Fact::RunCompleted],
        RunStatus::Failed => &[Fact::RunFailed],
        RunStatus::Cancelled => &[Fact::RunCancelled],
        RunStatus::Terminated => &[Fact::RunTerminated],
        RunStatus::TimedOut => &[Fact::RunTimedOut],
        // A run does not end with this status.
        RunStatus::Running | RunStatus::Paused | RunStatus::Stopping | RunStatus::Compensating => &[],
    }
}

const fn facts_of_node(change: NodeChange<'_>) -> &'static [Fact] {
    match change {
        NodeChange::Completed => &[Fact::NodeCompleted, Fact::AttemptCompleted],
        NodeChange::Failed(_) => &[Fact::NodeFailed],
        NodeChange::Skipped(_) => &[Fact::NodeSkipped],
        NodeChange::Cancelled => &[Fact::NodeCancelled],
        NodeChange::AttemptStarted(_) => &[Fact::AttemptStarted],
        NodeChange::AttemptFailed(_, Next::GiveUp) => &[Fact::AttemptFailed, Fact::NodeFailed],
        NodeChange::AttemptFailed(_, Next::RetryAt(_)) => &[Fact::AttemptFailed, Fact::Retry],
        NodeChange::Parked => &[Fact::TaskParked],
        NodeChange::Queued | NodeChange::Reset | NodeChange::InputReplaced | NodeChange::Reported { .. } => &[],
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
