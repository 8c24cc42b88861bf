//! Prints one readable line per event, for pipes, files and logs. Details of a failed validation follow, indented.

use std::io::{self, Write};

use orkestra_agents::event::FeedEvent;
use orkestra_core::prelude::RunView;

use super::Screen;
use super::words::{Telling, tell};

/// The width of the column with the agent's name, in characters.
const AGENT_WIDTH: usize = 10;
/// How many last characters of a run's id are shown to distinguish the runs.
const ID_CHARACTERS: usize = 6;

/// Prints lines.
pub(crate) struct Lines {
    /// Whether each line names its run.
    is_many: bool,
}

impl Lines {
    /// For this number of runs.
    pub(crate) fn new(runs: usize) -> Self {
        Self { is_many: runs > 1 }
    }
}

impl Screen for Lines {
    fn begin(&mut self, _view: &RunView) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &FeedEvent) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in render(event, self.is_many) {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    fn end(&mut self) {}
}

fn render(event: &FeedEvent, is_many: bool) -> Vec<String> {
    let Some(Telling { who, what, details }) = tell(event) else { return Vec::new() };
    // NOTE: the time of day in an RFC 3339 text, `2026-01-31T08:00:00.000Z`.
    let time = event.ts.get(11..23).unwrap_or("            ");
    let id = event.run_id.as_str();
    let tail = id.char_indices().rev().nth(ID_CHARACTERS - 1).map_or(id, |(at, _)| &id[at..]);
    let run = if is_many { format!("{tail} ") } else { String::new() };
    let mut lines = vec![format!("{time} {run}{who:<AGENT_WIDTH$} {what}")];
    let margin = " ".repeat(time.len() + 1 + run.len() + AGENT_WIDTH + 1);
    lines.extend(details.iter().map(|detail| format!("{margin}  {detail}")));
    lines
}

#[cfg(test)]
mod tests {
    use orkestra_agents::event::ProductEvent;

    use super::*;

    #[test]
    fn a_line_has_time_agent_and_what_happened() {
        let event = ProductEvent::NodeStarted { agent: "backend".into(), attempt: 2 };
        let (run_id, ts) = ("01ABCDEFGHJK".into(), "2026-01-31T08:00:00.125Z".into());
        let event = FeedEvent { run_id, seq: 1, ts, event };
        assert_eq!(render(&event, false), ["08:00:00.125 backend    started, attempt 2"]);
        assert_eq!(render(&event, true), ["08:00:00.125 EFGHJK backend    started, attempt 2"]);
    }
}
