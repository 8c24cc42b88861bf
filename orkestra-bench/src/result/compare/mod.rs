//! Compares two results: which contestant solves more, and whether chance alone explains the difference.
//!
//! ```text
//! tasks of both results -- same name and fingerprint, trials on both sides --> Fisher's test per task
//!                                                                             exact Cochran-Mantel-Haenszel test over all
//!                                                                             permutation test of the documented scores
//!                       -- all others --> listed with the reason
//! ```

mod exact;
mod shuffle;
mod words;

use serde::Serialize;

use super::{AgentInfo, BenchmarkResult, TaskResult, TrialLimits};
use exact::Counts;

/// A p-value below this is called unlikely to be chance.
pub const SIGNIFICANCE: f64 = 0.05;

/// The comparison of a first result (A) with a second one (B). Write it with `{}` for a terminal, or as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// What makes the comparison unfair or doubtful, such as different limits. Read it first.
    pub warnings: Vec<String>,
    /// The outcome in plain words.
    pub verdict: String,
    /// The first result, A.
    pub first: Contender,
    /// The second result, B.
    pub second: Contender,
    /// The tasks that both have.
    pub tasks: Vec<TaskComparison>,
    /// The tasks that were not compared.
    pub not_compared: Vec<NotCompared>,
    /// The strict scores over all compared tasks; `None` when no task was compared.
    pub strict: Option<StrictComparison>,
    /// The documented scores over all compared tasks; `None` when no task was compared.
    pub documented: Option<DocumentedComparison>,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Contender {
    /// The id of the benchmark.
    pub id: String,
    /// Who worked on the tasks.
    pub agent: AgentInfo,
    /// What one trial could take.
    pub limits: TrialLimits,
}

/// How many trials were solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Solved {
    /// The solved ones.
    pub solved: usize,
    /// The graded ones.
    pub trials: usize,
}

/// A task of both results.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskComparison {
    /// The name of the task.
    pub task: String,
    /// What A solved.
    pub first: Solved,
    /// What B solved.
    pub second: Solved,
    /// The two-sided p-value of Fisher's exact test, for this task alone.
    pub p: f64,
    /// The documented score of A, 0 to 10.
    pub first_documented: f64,
    /// The documented score of B, 0 to 10.
    pub second_documented: f64,
}

/// A task that was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotCompared {
    /// The name of the task.
    pub task: String,
    /// Why not.
    pub reason: String,
}

/// The strict scores over all compared tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StrictComparison {
    /// What A solved.
    pub first: Solved,
    /// What B solved.
    pub second: Solved,
    /// How many trials more than by chance B solved, counted within each task. Below 0, A solved more.
    pub excess: f64,
    /// The two-sided p-value of the exact conditional Cochran-Mantel-Haenszel test.
    pub p: f64,
}

/// The documented scores over all compared tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DocumentedComparison {
    /// The mean score of A's tasks, 0 to 10.
    pub first: f64,
    /// The mean score of B's tasks, 0 to 10.
    pub second: f64,
    /// The two-sided p-value of a permutation test within the tasks, with a fixed seed.
    pub p: f64,
}

impl Comparison {
    /// Compares `first` (A) with `second` (B).
    #[must_use]
    pub fn of(first: &BenchmarkResult, second: &BenchmarkResult) -> Self {
        let (pairs, not_compared) = pair(first, second);
        let tasks: Vec<_> = pairs.iter().filter_map(|(ours, theirs)| compare_task(ours, theirs)).collect();
        let strict = compare_strict(&tasks);
        Self {
            warnings: words::warnings(first, second, strict.as_ref()),
            verdict: words::verdict(strict.as_ref()),
            first: Contender::of(first),
            second: Contender::of(second),
            documented: compare_documented(&pairs, &tasks),
            tasks,
            not_compared,
            strict,
        }
    }
}

impl Contender {
    fn of(result: &BenchmarkResult) -> Self {
        Self { id: result.id.clone(), agent: result.agent.clone(), limits: result.limits }
    }
}

type Pair<'a> = (&'a TaskResult, &'a TaskResult);

/// The tasks that can be compared, and the others with the reason.
fn pair<'a>(first: &'a BenchmarkResult, second: &'a BenchmarkResult) -> (Vec<Pair<'a>>, Vec<NotCompared>) {
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    let mut not_compared = Vec::new();
    let mut refuse = |task: &TaskResult, reason: &str| {
        not_compared.push(NotCompared { task: task.name.clone(), reason: reason.to_owned() });
    };
    for task in &first.tasks {
        let Some(other) = second.tasks.iter().find(|other| other.name == task.name) else {
            refuse(task, "only A has it");
            continue;
        };
        let is_paired = pairs.iter().any(|(paired, _)| paired.name == task.name);
        match obstacle(task, other).or(is_paired.then_some("A has it twice")) {
            Some(reason) => refuse(task, reason),
            None => pairs.push((task, other)),
        }
    }
    for task in &second.tasks {
        if !first.tasks.iter().any(|other| other.name == task.name) {
            refuse(task, "only B has it");
        }
    }
    (pairs, not_compared)
}

/// Why two tasks of the same name cannot be compared.
fn obstacle(first: &TaskResult, second: &TaskResult) -> Option<&'static str> {
    if first.fingerprint != second.fingerprint {
        return Some("A and B had different versions of it");
    }
    if first.trials.is_empty() {
        return Some("A has no graded trial of it");
    }
    second.trials.is_empty().then_some("B has no graded trial of it")
}

/// `None` without trials, which [`obstacle`] has excluded.
fn compare_task(first: &TaskResult, second: &TaskResult) -> Option<TaskComparison> {
    let solved = |task: &TaskResult| {
        let tally = task.tally();
        Solved { solved: tally.solved, trials: tally.trials }
    };
    let (ours, theirs) = (solved(first), solved(second));
    Some(TaskComparison {
        task: first.name.clone(),
        first: ours,
        second: theirs,
        p: exact::fisher(counts(ours, theirs)),
        first_documented: first.documented()?,
        second_documented: second.documented()?,
    })
}

fn counts(first: Solved, second: Solved) -> Counts {
    Counts { first: first.solved, first_trials: first.trials, second: second.solved, second_trials: second.trials }
}

fn compare_strict(tasks: &[TaskComparison]) -> Option<StrictComparison> {
    if tasks.is_empty() {
        return None;
    }
    let sum = |side: fn(&TaskComparison) -> Solved| Solved {
        solved: tasks.iter().map(|task| side(task).solved).sum(),
        trials: tasks.iter().map(|task| side(task).trials).sum(),
    };
    let all: Vec<_> = tasks.iter().map(|task| counts(task.first, task.second)).collect();
    Some(StrictComparison {
        first: sum(|task| task.first),
        second: sum(|task| task.second),
        excess: exact::excess(&all),
        p: exact::stratified(&all),
    })
}

fn compare_documented(pairs: &[Pair<'_>], tasks: &[TaskComparison]) -> Option<DocumentedComparison> {
    if tasks.is_empty() {
        return None;
    }
    let scores = |task: &TaskResult| task.trials.iter().map(|trial| trial.documented.score()).collect::<Vec<_>>();
    let all: Vec<_> = pairs.iter().map(|(first, second)| (scores(first), scores(second))).collect();
    let mean = |side: fn(&TaskComparison) -> f64| tasks.iter().map(side).sum::<f64>() / tasks.len() as f64;
    Some(DocumentedComparison {
        first: mean(|task| task.first_documented),
        second: mean(|task| task.second_documented),
        p: shuffle::p_value(&all),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample::{benchmark, task, trial};

    fn solved(name: &str, solved: u32, trials: u32) -> TaskResult {
        task(name, (1..=trials).map(|number| trial(number, [2, 2], [usize::from(number <= solved), 1])).collect())
    }

    #[test]
    fn only_the_same_tasks_are_compared() {
        let mut changed = solved("changed", 1, 2);
        changed.fingerprint = "newer".to_owned();
        let first = vec![
            solved("both", 1, 4),
            solved("changed", 1, 2),
            solved("ours", 1, 2),
            solved("empty", 0, 0),
            solved("both", 4, 4),
        ];
        let second = vec![solved("both", 3, 3), changed, solved("theirs", 1, 2), solved("empty", 1, 2)];
        let comparison = Comparison::of(&benchmark(4, first), &benchmark(4, second));
        let names: Vec<_> = comparison.tasks.iter().map(|task| task.task.as_str()).collect();
        assert_eq!(names, ["both"]);
        let reasons: Vec<_> =
            comparison.not_compared.iter().map(|one| (one.task.as_str(), one.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                ("changed", "A and B had different versions of it"),
                ("ours", "only A has it"),
                ("empty", "A has no graded trial of it"),
                ("both", "A has it twice"),
                ("theirs", "only B has it"),
            ]
        );
        let strict = comparison.strict.expect("a task was compared");
        assert_eq!(
            (strict.first.solved, strict.first.trials, strict.second.solved, strict.second.trials),
            (1, 4, 3, 3)
        );
    }

    #[test]
    fn without_common_tasks_nothing_is_claimed() {
        let comparison = Comparison::of(&benchmark(1, vec![solved("a", 1, 1)]), &benchmark(1, vec![solved("b", 1, 1)]));
        assert_eq!((comparison.strict, comparison.documented), (None, None));
        assert!(comparison.verdict.contains("no task"), "{}", comparison.verdict);
        assert!(comparison.to_string().contains("only A has it"));
    }
}
