//! The report of a harness.

use std::fmt;

use orkestra_core::kernel::Outcome;
use orkestra_core::model::RunId;

use super::counter::Moment;

/// The result of a harness.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The outcome of the run when nothing is injected.
    pub outcome: Outcome,
    /// How many further trials were made, each with something injected.
    pub trials: usize,
    /// What went wrong: another outcome, a run that does not end, an effect repeated although its step was durable.
    pub problems: Vec<String>,
    /// Effects that happened more often than when nothing is injected.
    pub repeats: Vec<Repeat>,
}

/// An effect that happened more often than when nothing is injected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeat {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: String,
    /// The step.
    pub step: String,
    /// How many more times it happened.
    pub more: usize,
    /// What was injected.
    pub when: String,
    /// Whether the process died after the effect and before its step was durable. Steps run at least once, so this can happen
    /// to any step; idempotency keys are for this. An effect that is not excused is repeated although its step was durable, or
    /// happens outside of any step.
    pub excused: bool,
}

impl Report {
    pub(super) const fn new(outcome: Outcome) -> Self {
        Self { outcome, trials: 0, problems: Vec::new(), repeats: Vec::new() }
    }

    /// Compares the end of a trial with the run in which nothing was injected. `moments` are those at which a process ended.
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
                self.problems.push(format!(
                    "{when}: the effect of `{step}` of `{node}` was repeated although the step was durable"
                ));
            } else if !excused {
                self.problems
                    .push(format!("{when}: the effect `{step}` of `{node}` was repeated: no step remembers it"));
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

    /// Whether there was at least one trial and no problem. Without a trial nothing was tested.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.trials > 0 && self.problems.is_empty()
    }

    /// Asserts that the report [is sound](Self::is_sound).
    ///
    /// # Panics
    /// With all problems, when it is not.
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
