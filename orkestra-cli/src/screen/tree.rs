//! The live tree on a terminal. At the bottom, one line per node with spinner, attempt and elapsed time; above it scrolls
//! what is worth keeping: what agents say, files, commands and their output, failed validations.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use orkestra_agents::event::{FeedEvent, ProductEvent};
use orkestra_core::prelude::{NodeStatus, NodeView, RunView};
use serde_json::Value;

use super::Screen;
use super::paint::{Colour, Paint};
use super::text::{clean, cut, one_line, tail};
use super::words::{Telling, arguments, tell};

const TICK: Duration = Duration::from_millis(100);
/// How many characters of an agent's current output are shown; the terminal cuts them at its own width.
const SAYING_CHARACTERS: usize = 160;
const NAME_WIDTH: usize = 16;

/// Draws the tree.
pub(crate) struct Tree {
    bars: MultiProgress,
    paint: Paint,
    is_many: bool,
    nodes: HashMap<(String, String), Leaf>,
}

/// A node on the screen.
struct Leaf {
    bar: ProgressBar,
    attempt: u64,
    /// What its agent has said and is not printed yet.
    saying: String,
}

impl Tree {
    /// For this number of runs.
    pub(crate) fn new(runs: usize) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { bars, paint: Paint::new(), is_many: runs > 1, nodes: HashMap::new() }
    }

    fn leaf(&mut self, run: &str, agent: &str, depth: usize) -> &mut Leaf {
        let bars = &self.bars;
        self.nodes.entry((run.to_owned(), agent.to_owned())).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            let branch = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
            bar.set_style(style("{spinner:.dim} {prefix}       {wide_msg:.dim}", "·"));
            bar.set_prefix(format!("{:<NAME_WIDTH$}", format!("{branch}{agent}")));
            Leaf { bar, attempt: 0, saying: String::new() }
        })
    }

    fn keep(&self, agent: &str, text: &str) -> io::Result<()> {
        self.bars.println(format!("{} {text}", self.paint.text(Colour::Cyan, &format!("{agent:<10}"))))
    }

    /// Prints what an agent has said so far, before another of its events is shown.
    fn flush_saying(&mut self, run: &str, agent: &str) -> io::Result<()> {
        let said = std::mem::take(&mut self.leaf(run, agent, 0).saying);
        for line in clean(&said).lines().filter(|line| !line.trim().is_empty()) {
            self.keep(agent, line)?;
        }
        Ok(())
    }

    fn says(&mut self, run: &str, agent: &str, chunk: &str) -> io::Result<()> {
        let leaf = self.leaf(run, agent, 0);
        leaf.saying.push_str(chunk);
        let (done, now) = match leaf.saying.rsplit_once('\n') {
            Some((done, now)) => (done.to_owned(), now.to_owned()),
            None => (String::new(), leaf.saying.clone()),
        };
        leaf.bar.set_message(format!("attempt {}  {}", leaf.attempt, tail(&one_line(&now), SAYING_CHARACTERS)));
        leaf.saying = done;
        let printed = self.flush_saying(run, agent);
        self.leaf(run, agent, 0).saying = now;
        printed
    }

    fn begins(&mut self, run: &str, agent: &str, attempt: u64, elapsed: Duration) {
        let leaf = self.leaf(run, agent, 0);
        leaf.attempt = attempt;
        leaf.bar.set_style(style("{spinner:.cyan} {prefix:.bold} {elapsed:>4}  {wide_msg}", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"));
        leaf.bar.set_message(format!("attempt {attempt}"));
        leaf.bar.set_elapsed(elapsed);
        leaf.bar.enable_steady_tick(TICK);
    }

    fn finishes(&mut self, run: &str, agent: &str, mark: &str, message: &str) {
        let leaf = self.leaf(run, agent, 0);
        leaf.bar.disable_steady_tick();
        leaf.bar.set_style(style("{spinner} {prefix} {elapsed:>4}  {wide_msg}", mark));
        leaf.bar.finish_with_message(message.to_owned());
    }

    /// Shows an agent's event: updates the agent's line, and prints above the tree what is worth keeping.
    fn agent_event(&mut self, run: &str, agent: &str, event: &FeedEvent, telling: Telling) -> io::Result<()> {
        let Telling { what, details, .. } = telling;
        let paint = |colour, text: &str| self.paint.text(colour, text);
        match &event.event {
            ProductEvent::NodeStarted { attempt, .. } => {
                self.begins(run, agent, u64::from(*attempt), Duration::ZERO);
                Ok(())
            }
            ProductEvent::FileWritten { path, bytes, .. } => {
                self.keep(agent, &paint(Colour::Green, &format!("+ {} ({bytes} bytes)", one_line(path))))
            }
            ProductEvent::CommandOutput { .. } => self.keep(agent, &paint(Colour::Dim, &what)),
            ProductEvent::ToolCall { tool, arguments, .. } => match call(tool, arguments) {
                Some(call) => self.keep(agent, &call),
                None => Ok(()),
            },
            ProductEvent::ToolResult { ok: true, .. } | ProductEvent::Usage { .. } => Ok(()),
            ProductEvent::ValidationFailed { .. } => {
                self.keep(agent, &paint(Colour::Red, &what))?;
                details.iter().try_for_each(|detail| self.keep(agent, &paint(Colour::Red, &format!("  {detail}"))))
            }
            ProductEvent::NodeCompleted { summary, .. } => {
                let attempt = self.leaf(run, agent, 0).attempt;
                let tries = if attempt > 1 { format!("({attempt} attempts) ") } else { String::new() };
                let summary = cut(&one_line(summary.as_deref().unwrap_or_default()), SAYING_CHARACTERS);
                self.finishes(run, agent, "✔", &format!("{tries}{summary}"));
                Ok(())
            }
            ProductEvent::NodeFailed { .. } | ProductEvent::NodeCancelled { .. } => {
                self.finishes(run, agent, "✘", &what);
                Ok(())
            }
            _ => self.keep(agent, &paint(Colour::Yellow, &what)),
        }
    }
}

/// A tool call on one line; `None` for a tool whose effect has an event of its own.
fn call(tool: &str, arguments: &Value) -> Option<String> {
    match tool {
        "run_command" => Some(format!("$ {}", one_line(arguments["command"].as_str().unwrap_or_default()))),
        "write_file" => None,
        tool => Some(format!("→ {} {}", one_line(tool), self::arguments(arguments))),
    }
}

impl Screen for Tree {
    fn begin(&mut self, view: &RunView) -> io::Result<()> {
        let run = view.id.as_str();
        if self.is_many {
            let title = self.bars.add(ProgressBar::new_spinner());
            title.set_style(style("{msg:.bold}", "·"));
            title.finish_with_message(format!("run {run}"));
        }
        let mut depths: HashMap<&str, usize> = HashMap::new();
        for node in &view.nodes {
            let depth =
                node.after.iter().filter_map(|before| depths.get(before.as_str())).max().map_or(0, |depth| depth + 1);
            depths.insert(&node.name, depth);
            let leaf = self.leaf(run, &node.name, depth);
            leaf.attempt = u64::from(node.attempt);
            let waits = node.after.iter().map(orkestra_core::model::Name::as_str).collect::<Vec<_>>().join(", ");
            leaf.bar.set_message(if waits.is_empty() { String::new() } else { format!("waits for {waits}") });
            leaf.bar.tick();
        }
        for node in &view.nodes {
            let elapsed = |node: &NodeView| {
                node.started_at.map_or(Duration::ZERO, |since| node.ended_at.unwrap_or(view.updated_at).since(since))
            };
            match node.status {
                NodeStatus::Completed => self.finishes(run, &node.name, "✔", "done before"),
                NodeStatus::Failed | NodeStatus::Cancelled => self.finishes(run, &node.name, "✘", "ended before"),
                NodeStatus::Running | NodeStatus::Backoff => {
                    self.begins(run, &node.name, u64::from(node.attempt), elapsed(node));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &FeedEvent) -> io::Result<()> {
        let run = event.run_id.as_str();
        let Some(telling) = tell(event) else { return Ok(()) };
        match (event.event.agent(), &event.event) {
            (Some(agent), ProductEvent::TokenChunk { chunk, .. }) => self.says(run, agent, chunk),
            (Some(agent), _) => {
                self.flush_saying(run, agent)?;
                self.agent_event(run, agent, event, telling)
            }
            (None, _) => self.keep("run", &telling.what),
        }
    }

    fn end(&mut self) {
        for leaf in self.nodes.values() {
            if !leaf.bar.is_finished() {
                leaf.bar.disable_steady_tick();
                leaf.bar.abandon();
            }
        }
        // The cursor is at the end of the last line. If the terminal is gone, there is nothing to restore.
        let _ = writeln!(io::stdout());
    }
}

/// A line's style; `marks` are the frames of its spinner.
fn style(template: &str, marks: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    // The last frame is shown when the spinner has finished, and indicatif requires at least two.
    let last = marks.chars().last().unwrap_or('·');
    style.tick_chars(&format!("{marks}{last}"))
}
