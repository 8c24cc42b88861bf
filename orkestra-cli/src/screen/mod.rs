//! Shows runs to the user while they are live, from the documented events.

mod json;
mod lines;
mod paint;
mod text;
mod tree;
mod words;

use std::io::{self, IsTerminal};

use orkestra_agents::event::FeedEvent;
use orkestra_core::prelude::RunView;

pub(crate) use self::json::Json;
pub(crate) use self::lines::Lines;
use self::tree::Tree;
pub(crate) use self::words::asked;

/// A way to show events.
pub(crate) trait Screen {
    /// Prepares to show a run from this state. The events of a run do not contain its nodes, so `view` brings them.
    fn begin(&mut self, view: &RunView) -> io::Result<()>;

    /// Shows an event.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn event(&mut self, event: &FeedEvent) -> io::Result<()>;

    /// Restores the terminal; nothing is shown after it.
    fn end(&mut self);
}

/// A live tree on a terminal, lines elsewhere, JSON when `json` is set. `runs` is the number of runs to show.
pub(crate) fn open(json: bool, runs: usize) -> Box<dyn Screen> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if json {
        Box::new(Json)
    } else if io::stdout().is_terminal() && !is_dumb {
        Box::new(Tree::new(runs))
    } else {
        Box::new(Lines::new(runs))
    }
}
