//! What a user sees of runs while they are under way. Fed with the documented events, wherever they come from.

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

/// A way to show events.
pub(crate) trait Screen {
    /// A run is about to be shown: it stands like this. Its nodes are not in its events.
    fn begin(&mut self, view: &RunView) -> io::Result<()>;

    /// Shows one of the documented events.
    ///
    /// # Errors
    /// When nobody can see it any more.
    fn event(&mut self, event: &FeedEvent) -> io::Result<()>;

    /// Leaves the screen in good order; nothing is shown after it.
    fn end(&mut self);
}

/// A live tree on a terminal, lines elsewhere, JSON when asked for. `runs` is how many will be shown.
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
