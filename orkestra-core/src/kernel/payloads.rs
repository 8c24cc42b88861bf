//! The payload of an event that may be kept beside the journal.

use crate::model::Payload;

use super::event::Event;
use super::status::Outcome;

impl Event {
    /// The payload that may be a reference: of the fields that the journal writes as such. No event has two.
    pub(crate) const fn kept_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::RunCreated { input: payload, .. }
            | Self::InputReplaced { input: payload, .. }
            | Self::NodeCompleted { output: payload, .. }
            | Self::StepCompleted { result: payload, .. }
            | Self::SignalReceived { payload, .. }
            | Self::QuestionAsked { question: payload, .. }
            | Self::QuestionAnswered { answer: payload, .. }
            | Self::ChildRequested { input: payload, .. }
            | Self::ChildEnded { outcome: Outcome::Completed(payload), .. }
            | Self::RunCompleted { output: payload } => Some(payload),
            _ => None,
        }
    }

    /// States hold references, not the values that are kept beside the journal.
    pub(super) fn forget_value(&mut self) {
        if let Some(payload) = self.kept_mut()
            && payload.is_kept_beside()
        {
            let reference = std::mem::replace(payload, Payload::null());
            *payload = reference.without_value();
        }
    }
}
