//! What an event is about: its node, the step it settles, and whether it ends the run.

use crate::model::Name;

use super::event::Event;

impl Event {
    /// The node that the event is about, if any.
    #[must_use]
    pub const fn node(&self) -> Option<&Name> {
        self.consequence().node
    }

    /// The step whose result this event makes available in the state, if any.
    #[must_use]
    pub fn settled_step(&self) -> Option<(&Name, &str)> {
        self.consequence().settled_step()
    }

    /// Whether the event ends the run. Only [`Event::RunReopened`], [`Event::UndoRetried`] and events about what the
    /// run owes other runs can follow.
    #[must_use]
    pub const fn ends_run(&self) -> bool {
        self.consequence().ends_run
    }
}
