//! Shows a benchmark at work: bars on a terminal, a line per trial elsewhere.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orkestra_bench::benchmark::trial_of_node;
use orkestra_bench::result::{BenchmarkResult, Ending, TrialResult};

/// Characters of a text of a model or a provider in a line.
const TEXT_CHARACTERS_MAX: usize = 160;
/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// A way to show a benchmark at work.
pub(super) trait Progress {
    /// A trial begins, or begins again.
    fn begins(&mut self, node: &str);

    /// A trial could not be worked on, for a reason that may pass: it begins again later.
    fn waits(&mut self, node: &str, why: &str);

    /// A trial was graded; `result` has it.
    fn ends(&mut self, node: &str, result: &BenchmarkResult);

    /// Restores the terminal.
    fn end(&mut self);
}

/// Bars on a terminal, lines elsewhere: on stdout, or on stderr when stdout is for JSON.
pub(super) fn open(result: &BenchmarkResult, json: bool) -> Box<dyn Progress> {
    let notice = result.agent.notice.as_ref().map(|notice| format!("{notice}; ")).unwrap_or_default();
    let begin = format!(
        "{notice}agent {}, model {}, {} tasks, {} trials each, {} s per trial",
        result.agent.name,
        result.agent.model,
        result.tasks.len(),
        result.trials,
        result.limits.seconds
    );
    eprintln!("{begin}");
    let is_terminal = if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if is_terminal && !is_dumb { Box::new(Bars::new(result)) } else { Box::new(Lines { json }) }
}

/// A trial in a line.
fn line(name: &str, number: u32, trial: &TrialResult) -> String {
    let strict = if trial.strict.is_solved() { "solved" } else { "not solved" };
    let passed = trial.strict.tests.iter().filter(|test| test.passed).count();
    let ending = match &trial.ending {
        Ending::Finished => String::new(),
        Ending::Failed { reason } => format!(", the agent failed: {}", plain(reason)),
        Ending::OutOfTime => ", out of time".to_owned(),
        Ending::OutOfTokens => ", out of tokens".to_owned(),
        _ => ", ended early".to_owned(),
    };
    format!(
        "{name} {number}: {strict} ({passed} of {} hidden tests), text checks {:.1} of 10, {:.0} s{ending}",
        trial.strict.tests.len(),
        trial.documented.score(),
        trial.seconds
    )
}

/// A text of a model on one line, without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(TEXT_CHARACTERS_MAX).collect()
}

/// Trouble outside in a line.
fn trouble(node: &str, why: &str) -> Option<String> {
    let (name, number) = trial_of_node(node)?;
    Some(format!("{name} {number}: could not be worked on, does not count and is tried again: {}", plain(why)))
}

fn find<'result>(node: &str, result: &'result BenchmarkResult) -> Option<(String, u32, &'result TrialResult)> {
    let (name, number) = trial_of_node(node)?;
    let task = result.tasks.iter().find(|task| task.name == name)?;
    let trial = task.trials.iter().find(|trial| trial.trial == number)?;
    Some((name.to_owned(), number, trial))
}

fn done(result: &BenchmarkResult) -> (u64, usize) {
    let trials = || result.tasks.iter().flat_map(|task| &task.trials);
    (trials().count() as u64, trials().filter(|trial| trial.strict.is_solved()).count())
}

struct Lines {
    json: bool,
}

impl Lines {
    fn print(&self, text: &str) {
        // A reader that has gone does not end a benchmark.
        let _ = if self.json { writeln!(std::io::stderr(), "{text}") } else { writeln!(std::io::stdout(), "{text}") };
    }
}

impl Progress for Lines {
    fn begins(&mut self, node: &str) {
        if let Some((name, number)) = trial_of_node(node) {
            self.print(&format!("{name} {number}: begins"));
        }
    }

    fn waits(&mut self, node: &str, why: &str) {
        if let Some(text) = trouble(node, why) {
            self.print(&text);
        }
    }

    fn ends(&mut self, node: &str, result: &BenchmarkResult) {
        if let Some((name, number, trial)) = find(node, result) {
            self.print(&line(&name, number, trial));
        }
    }

    fn end(&mut self) {}
}

struct Bars {
    bars: MultiProgress,
    all: ProgressBar,
    running: HashMap<String, ProgressBar>,
}

impl Bars {
    fn new(result: &BenchmarkResult) -> Self {
        let bars = MultiProgress::new();
        let count = result.tasks.len() as u64 * u64::from(result.trials);
        let all = bars.add(ProgressBar::new(count));
        let template = "{bar:30} {pos} of {len} trials, {msg}";
        all.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let bars = Self { bars, all, running: HashMap::new() };
        bars.count(result);
        bars
    }

    fn count(&self, result: &BenchmarkResult) {
        let (done, solved) = done(result);
        self.all.set_position(done);
        self.all.set_message(format!("{solved} solved"));
    }
}

impl Progress for Bars {
    fn begins(&mut self, node: &str) {
        let Some((name, number)) = trial_of_node(node) else { return };
        let bar = self.bars.insert_before(&self.all, ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(format!("{name} {number}"));
        bar.enable_steady_tick(TICK);
        if let Some(before) = self.running.insert(node.to_owned(), bar) {
            before.finish_and_clear();
        }
    }

    fn waits(&mut self, node: &str, why: &str) {
        if let Some(text) = trouble(node, why) {
            // As in `ends`.
            let _ = self.bars.println(text);
        }
    }

    fn ends(&mut self, node: &str, result: &BenchmarkResult) {
        if let Some(bar) = self.running.remove(node) {
            bar.finish_and_clear();
        }
        if let Some((name, number, trial)) = find(node, result) {
            // The terminal may be gone, which does not end a benchmark.
            let _ = self.bars.println(line(&name, number, trial));
        }
        self.count(result);
    }

    fn end(&mut self) {
        for bar in self.running.values() {
            bar.finish_and_clear();
        }
        self.all.finish_and_clear();
    }
}
