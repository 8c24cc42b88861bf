//! Prints one JSON object per line and event, for programs.

use std::io::{self, Write};

use orkestra_agents::event::FeedEvent;
use orkestra_core::prelude::RunView;

use super::Screen;

/// Prints every event as JSON.
pub(crate) struct Json;

impl Screen for Json {
    fn begin(&mut self, _view: &RunView) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &FeedEvent) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", event.to_json())?;
        out.flush()
    }

    fn end(&mut self) {}
}
