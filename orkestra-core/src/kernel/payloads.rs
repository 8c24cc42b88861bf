//! The payload of an event that may be kept beside the journal.

use crate::model::Payload;

use super::event::Event;
use super::status::Outcome;

impl Event {
    /// The payload that may be a reference: a field that uses `journaled`. No event has two.
    pub(crate) const fn kept_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::RunCreated { input: payload, .. }
            | Self::InputReplaced { input: payload, .. }
            | Self::NodeCompleted { output: payload, .. }
            | Self::StepCompleted { result: payload, .. }
            | Self::Published { value: payload, .. }
            | Self::SignalReceived { payload, .. }
            | Self::QuestionAsked { question: payload, .. }
            | Self::QuestionAnswered { answer: payload, .. }
            | Self::ChildRequested { input: payload, .. }
            | Self::RunCompleted { output: payload } => Some(payload),
            Self::ChildEnded { outcome, .. } => outcome.output_mut(),
            Self::SlotAwaited { .. }
            | Self::NodeSkipped { .. }
            | Self::NodeFailed { .. }
            | Self::NodeReset { .. }
            | Self::AttemptStarted { .. }
            | Self::AttemptFailed { .. }
            | Self::NodeCancelled { .. }
            | Self::StepStarted { .. }
            | Self::Charged { .. }
            | Self::StepFailed { .. }
            | Self::StepNotBegun { .. }
            | Self::TimerSet { .. }
            | Self::TimerFired { .. }
            | Self::SignalAwaited { .. }
            | Self::SignalConsumed { .. }
            | Self::WaitLetGo { .. }
            | Self::WaitTimedOut { .. }
            | Self::ChildCancelled { .. }
            | Self::TaskParked { .. }
            | Self::Grown { .. }
            | Self::Emitted { .. }
            | Self::Recovered
            | Self::Released
            | Self::BudgetReached { .. }
            | Self::BudgetSet { .. }
            | Self::RunPaused { .. }
            | Self::RunResumed
            | Self::RunReopened
            | Self::Forked { .. }
            | Self::UndoRetried { .. }
            | Self::CompensationStarted { .. }
            | Self::StopRequested { .. }
            | Self::RunFailed { .. }
            | Self::RunCancelled { .. }
            | Self::RunTerminated { .. }
            | Self::RunTimedOut { .. }
            | Self::ParentTold
            | Self::ValueRead { .. } => None,
        }
    }

    /// Removes the value from a reference: states hold references without values.
    pub(super) fn forget_value(&mut self) {
        if let Some(payload) = self.kept_mut()
            && payload.is_kept_beside()
        {
            let reference = std::mem::replace(payload, Payload::null());
            *payload = reference.without_value();
        }
    }
}

impl Outcome {
    const fn output_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Completed(output) => Some(output),
            Self::Failed { .. } | Self::Cancelled(_) | Self::Terminated(_) | Self::TimedOut(_) => None,
        }
    }
}
