//! What an event is about: its node, the step that it settles, whether the run ends with it.

use crate::model::Name;

use super::event::Event;

impl Event {
    /// The node that the event is about, if it is about one.
    #[must_use]
    pub const fn node(&self) -> Option<&Name> {
        match self {
            Self::SlotAwaited { node }
            | Self::NodeSkipped { node, .. }
            | Self::NodeFailed { node, .. }
            | Self::NodeReset { node }
            | Self::InputReplaced { node, .. }
            | Self::AttemptStarted { node, .. }
            | Self::AttemptFailed { node, .. }
            | Self::NodeCompleted { node, .. }
            | Self::NodeCancelled { node }
            | Self::StepStarted { node, .. }
            | Self::StepCompleted { node, .. }
            | Self::Charged { node, .. }
            | Self::StepFailed { node, .. }
            | Self::StepNotBegun { node, .. }
            | Self::WaitLetGo { node, .. }
            | Self::WaitTimedOut { node, .. }
            | Self::TimerSet { node, .. }
            | Self::TimerFired { node, .. }
            | Self::SignalAwaited { node, .. }
            | Self::SignalConsumed { node, .. }
            | Self::QuestionAsked { node, .. }
            | Self::QuestionAnswered { node, .. }
            | Self::ChildRequested { node, .. }
            | Self::ChildEnded { node, .. }
            | Self::TaskParked { node }
            | Self::Grown { node, .. }
            | Self::Emitted { node, .. }
            | Self::UndoRetried { node }
            | Self::RunFailed { node, .. } => Some(node),
            Self::RunCreated { .. }
            | Self::SignalReceived { .. }
            | Self::ChildCancelled { .. }
            | Self::Recovered
            | Self::Released
            | Self::BudgetReached { .. }
            | Self::BudgetSet { .. }
            | Self::RunPaused { .. }
            | Self::RunResumed
            | Self::RunReopened
            | Self::Forked { .. }
            | Self::CompensationStarted { .. }
            | Self::StopRequested { .. }
            | Self::RunCompleted { .. }
            | Self::RunCancelled { .. }
            | Self::RunTerminated { .. }
            | Self::RunTimedOut { .. }
            | Self::ParentTold
            | Self::ValueRead { .. } => None,
        }
    }

    /// The step that the event settles: its result can be read from the state from now on.
    #[must_use]
    pub fn settled_step(&self) -> Option<(&Name, &str)> {
        match self {
            Self::StepCompleted { node, step, .. }
            | Self::Charged { node, step, .. }
            | Self::StepFailed { node, step, .. }
            | Self::TimerFired { node, step }
            | Self::WaitTimedOut { node, step }
            | Self::QuestionAnswered { node, step, .. }
            | Self::ChildEnded { node, step, .. }
            | Self::Grown { node, step, .. }
            | Self::SignalConsumed { node, step: Some(step), .. } => Some((node, step)),
            _ => None,
        }
    }

    /// Whether the run has ended with it. Only [`Event::RunReopened`], [`Event::UndoRetried`] and what a run owes to others can follow.
    #[must_use]
    pub const fn ends_run(&self) -> bool {
        matches!(
            self,
            Self::RunCompleted { .. }
                | Self::RunFailed { .. }
                | Self::RunCancelled { .. }
                | Self::RunTerminated { .. }
                | Self::RunTimedOut { .. }
        )
    }
}
