//! What an event is about: its node, the step that it settles, whether the run ends with it.

use crate::model::Name;

use super::event::Event;

impl Event {
    /// The node that the event is about, if it is about one.
    #[must_use]
    pub const fn node(&self) -> Option<&Name> {
        self.consequence().node
    }

    /// The step that the event settles: its result can be read from the state from now on.
    #[must_use]
    pub fn settled_step(&self) -> Option<(&Name, &str)> {
        self.consequence().settled_step()
    }

    /// Whether the run has ended with it. Only [`Event::RunReopened`], [`Event::UndoRetried`] and what a run owes to others can follow.
    #[must_use]
    pub const fn ends_run(&self) -> bool {
        self.consequence().ends_run
    }
}
