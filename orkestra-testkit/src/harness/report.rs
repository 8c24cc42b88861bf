//! What a harness saw.

use std::fmt;

use orkestra_core::kernel::Outcome;
use orkestra_core::model::RunId;

use super::counter::Moment;

/// What a harness saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How the run ends when nothing goes wrong.
    pub outcome: Outcome,
    /// How often the workflow was run, in one way or another, beside that.
    pub trials: usize,
    /// What should not be: another outcome, a run that does not end, an effect done again although it was remembered.
    pub problems: Vec<String>,
    /// Effects that were done more often than when nothing goes wrong.
    pub repeats: Vec<Repeat>,
}

/// An effect that was done more often than when nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeat {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: String,
    /// The step.
    pub step: String,
    /// How often it was done more.
    pub more: usize,
    /// What had gone wrong.
    pub when: String,
    /// Whether the process died between the effect and its being remembered. Steps are done at least once: that can
    /// happen to any, and is what idempotency keys are for. What is not excused is done outside any step.
    pub excused: bool,
}

impl Report {
    pub(super) const fn new(outcome: Outcome) -> Self {
        Self { outcome, trials: 0, problems: Vec::new(), repeats: Vec::new() }
    }

    /// Compares the end of a trial with how it goes when nothing goes wrong. `moments` are those at which a process ended.
    pub(super) fn judge(&mut self, when: &str, plain: &Moment, moments: &[Moment], end: &Moment) {
        for (effect, times) in &end.done {
            let more = times.saturating_sub(plain.times(effect));
            if more == 0 {
                continue;
            }
            let again = moments.iter().any(|at| at.remembered.contains(effect) && at.times(effect) < *times);
            let excused = plain.remembered.contains(effect) && !again;
            let (run, node, step) = effect.clone();
            if again {
                self.problems.push(format!("{when}: `{step}` of `{node}` was done again although it was remembered"));
            } else if !excused {
                self.problems.push(format!("{when}: `{step}` of `{node}` was done again: no step remembers it"));
            }
            self.repeats.push(Repeat { run, node, step, more, when: when.to_owned(), excused });
        }
    }

    pub(super) fn compare(&mut self, when: &str, outcome: Result<Outcome, String>) {
        match outcome {
            Ok(outcome) if outcome == self.outcome => {}
            Ok(outcome) => self.problems.push(format!("{when}: it ends in {outcome:?}, not in {:?}", self.outcome)),
            Err(why) => self.problems.push(format!("{when}: {why}")),
        }
    }

    /// Whether nothing was seen that should not be, in one trial at least: a workflow on which nothing could be tried has
    /// shown nothing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.trials > 0 && self.problems.is_empty()
    }

    /// Panics with all that should not be.
    ///
    /// # Panics
    /// See above.
    pub fn assert_sound(&self) {
        assert!(self.is_sound(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excused = self.repeats.iter().filter(|repeat| repeat.excused).count();
        let (trials, problems) = (self.trials, self.problems.len());
        writeln!(f, "{trials} trials, {problems} problems, {excused} effects repeated as a crash allows")?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}
