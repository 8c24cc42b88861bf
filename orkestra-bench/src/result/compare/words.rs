//! A comparison in words: what makes it doubtful, the verdict, and the table for a terminal or a pipe.

use std::fmt;

use super::{BenchmarkResult, Comparison, Contender, SIGNIFICANCE, Solved, StrictComparison, TaskComparison};
use crate::result::grid::{Side, write_field, write_rows};
use crate::result::table::limits;
use crate::result::text::{one_line, probability};

/// The characters of a name that are shown.
const NAME_CHARS_MAX: usize = 40;
/// The characters of a sentence that are shown.
const TEXT_CHARS_MAX: usize = 400;

const COLUMNS: [(&str, Side); 6] = [
    ("task", Side::Left),
    ("A solved", Side::Right),
    ("B solved", Side::Right),
    ("p", Side::Right),
    ("A documented", Side::Right),
    ("B documented", Side::Right),
];

/// What a reader has to know before the figures.
pub(super) fn warnings(
    first: &BenchmarkResult,
    second: &BenchmarkResult,
    strict: Option<&StrictComparison>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if first.id == second.id {
        warnings.push(format!("A and B are the same benchmark ({})", one_line(&first.id, NAME_CHARS_MAX)));
    }
    for (side, result) in [("A", first), ("B", second)] {
        if let Some(notice) = &result.agent.notice {
            warnings.push(format!("{side} is marked: {}", one_line(notice, NAME_CHARS_MAX * 2)));
        }
        let summary = result.summary();
        if !summary.is_complete() {
            let (graded, planned) = (summary.tally.trials, summary.planned);
            let text = "looking several times before the end makes chance look like a difference";
            warnings.push(format!("{side} is incomplete, {graded} of {planned} trials so far: {text}"));
        }
    }
    if first.limits != second.limits {
        warnings.push(format!("different limits: A {}, B {}", limits(first), limits(second)));
    }
    if first.agent.model != second.agent.model {
        let [ours, theirs] = [first, second].map(|result| one_line(&result.agent.model, NAME_CHARS_MAX));
        let doubt = if first.agent.name == second.agent.name { "" } else { " as well as different agents" };
        warnings.push(format!("different models{doubt}: A {ours}, B {theirs}"));
    }
    if first.places != second.places {
        warnings.push("different places: A and B did not work under the same confinement".to_owned());
    }
    if strict.is_some_and(is_reversed) {
        let text = "because the numbers of trials differ between tasks; the test and the rows of the tasks are right";
        warnings.push(format!("the sums of solved trials point the other way than the tasks do, {text}"));
    }
    warnings
}

/// Whether the plain sums and the comparison within tasks disagree about who solved more.
fn is_reversed(strict: &StrictComparison) -> bool {
    let difference = rate(strict.second) - rate(strict.first);
    difference * strict.excess < 0.0 && difference.abs() > 1e-9 && strict.excess.abs() > 1e-9
}

fn rate(solved: Solved) -> f64 {
    solved.solved as f64 / solved.trials.max(1) as f64
}

/// The outcome of the strict scores in a sentence.
pub(super) fn verdict(strict: Option<&StrictComparison>) -> String {
    let Some(strict) = strict else {
        return "nothing can be compared: no task is in both results with the same fingerprint and graded trials"
            .to_owned();
    };
    let chance = match strict {
        _ if strict.excess.abs() < 1e-9 => "no difference",
        _ if strict.p < SIGNIFICANCE => "unlikely to be chance",
        _ => "the difference may well be chance",
    };
    let (first, second) = (of(strict.first), of(strict.second));
    format!("B solved {second}, A {first}: p = {}, {chance}", probability(strict.p)).replace("= <", "< ")
}

fn of(solved: Solved) -> String {
    format!("{} of {}", solved.solved, solved.trials)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            write_field(f, "WARNING", &one_line(warning, TEXT_CHARS_MAX))?;
        }
        if !self.warnings.is_empty() {
            writeln!(f)?;
        }
        write_contender(f, "A", &self.first)?;
        write_contender(f, "B", &self.second)?;
        writeln!(f)?;
        if !self.tasks.is_empty() {
            write_rows(f, &COLUMNS, &self.tasks.iter().map(row).collect::<Vec<_>>())?;
            writeln!(f)?;
        }
        for (index, task) in self.not_compared.iter().enumerate() {
            let label = if index == 0 { "without" } else { "" };
            write_field(f, label, &format!("{}: {}", one_line(&task.task, NAME_CHARS_MAX), task.reason))?;
        }
        if !self.not_compared.is_empty() {
            writeln!(f)?;
        }
        write_field(f, "strict", &self.verdict)?;
        if let Some(documented) = &self.documented {
            let (first, second) = (documented.first, documented.second);
            let text = format!("B {second:.2}, A {first:.2} of 10, p = {}", probability(documented.p));
            write_field(f, "documented", &text.replace("= <", "< "))?;
        }
        if !self.tasks.is_empty() {
            writeln!(f)?;
            writeln!(
                f,
                "p: how often chance alone makes a difference as large, two-sided. Of a task: Fisher's exact test;"
            )?;
            writeln!(
                f,
                "of many tasks a small p is expected here and there. strict: exact conditional test over all tasks"
            )?;
            writeln!(
                f,
                "(Cochran-Mantel-Haenszel). documented: permutation test of the documented scores within tasks."
            )?;
        }
        Ok(())
    }
}

fn write_contender(f: &mut fmt::Formatter<'_>, name: &str, contender: &Contender) -> fmt::Result {
    let agent = one_line(&contender.agent.name, TEXT_CHARS_MAX);
    let model = one_line(&contender.agent.model, TEXT_CHARS_MAX);
    write_field(f, name, &format!("{agent}, model {model}, benchmark {}", one_line(&contender.id, NAME_CHARS_MAX)))
}

fn row(task: &TaskComparison) -> [String; COLUMNS.len()] {
    let solved = |solved: Solved| format!("{}/{}", solved.solved, solved.trials);
    [
        one_line(&task.task, NAME_CHARS_MAX),
        solved(task.first),
        solved(task.second),
        probability(task.p),
        format!("{:.1}", task.first_documented),
        format!("{:.1}", task.second_documented),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::TaskResult;
    use crate::result::sample::{benchmark, task, trial};

    fn solved(name: &str, solved: u32, trials: u32) -> TaskResult {
        let passed = |number| usize::from(number <= solved);
        task(name, (1..=trials).map(|number| trial(number, [1 + passed(number), 2], [passed(number), 1])).collect())
    }

    fn pair(first: Vec<TaskResult>, second: Vec<TaskResult>) -> (BenchmarkResult, BenchmarkResult) {
        let (mut first, mut second) = (benchmark(10, first), benchmark(10, second));
        for (id, result) in [("one", &mut first), ("two", &mut second)] {
            result.id = id.to_owned();
            result.agent.notice = None;
        }
        (first, second)
    }

    #[test]
    fn the_verdict_says_what_chance_explains() {
        let strict = |first: usize, second: usize, p| StrictComparison {
            first: Solved { solved: first, trials: 20 },
            second: Solved { solved: second, trials: 20 },
            excess: (second as f64 - first as f64) / 2.0,
            p,
        };
        for (first, second, p, said) in [
            (5, 12, 0.0409, "B solved 12 of 20, A 5 of 20: p = 0.041, unlikely to be chance"),
            (5, 12, 0.0536, "B solved 12 of 20, A 5 of 20: p = 0.054, the difference may well be chance"),
            (7, 7, 1.0, "B solved 7 of 20, A 7 of 20: p = 1.00, no difference"),
            (0, 20, 1e-9, "B solved 20 of 20, A 0 of 20: p < 0.0001, unlikely to be chance"),
        ] {
            assert_eq!(verdict(Some(&strict(first, second, p))), said);
        }
    }

    #[test]
    fn a_comparison_is_a_table_with_a_verdict() {
        let (first, second) = pair(
            vec![solved("hello_world", 5, 10), solved("calculator", 0, 10), solved("old", 1, 10)],
            vec![solved("hello_world", 9, 10), solved("calculator", 3, 10)],
        );
        let shown = Comparison::of(&first, &second).to_string();
        let expected = "\
A           orkestra, model demo, benchmark one
B           orkestra, model demo, benchmark two

task         A solved  B solved     p  A documented  B documented
-----------  --------  --------  ----  ------------  ------------
hello_world      5/10      9/10  0.14           7.5           9.5
calculator       0/10      3/10  0.21           5.0           6.5

without     old: only A has it

strict      B solved 12 of 20, A 5 of 20: p = 0.019, unlikely to be chance
documented  B 8.00, A 6.25 of 10, p = 0.018";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn what_makes_a_comparison_unfair_comes_first() {
        let (mut first, mut second) = pair(
            vec![solved("easy", 9, 10), solved("hard", 20, 100)],
            vec![solved("easy", 80, 100), solved("hard", 1, 10)],
        );
        first.limits.seconds = 60;
        first.agent.model = "large\u{1b}[2J".to_owned();
        first.places.clear();
        second.agent.notice = Some("demo: no AI".to_owned());
        second.trials = 100;
        let shown = Comparison::of(&first, &second).to_string();
        let warnings: Vec<_> = shown.lines().take_while(|line| !line.is_empty()).collect();
        let expected = [
            "WARNING     B is marked: demo: no AI",
            "WARNING     B is incomplete, 110 of 200 trials so far: looking several times before the end makes",
            "            chance look like a difference",
            "WARNING     different limits: A 60 seconds and 200000 tokens per trial, B 600 seconds and 200000",
            "            tokens per trial",
            "WARNING     different models: A large\\u{1b}[2J, B demo",
            "WARNING     different places: A and B did not work under the same confinement",
            "WARNING     the sums of solved trials point the other way than the tasks do, because the numbers of",
            "            trials differ between tasks; the test and the rows of the tasks are right",
        ];
        assert_eq!(warnings, expected, "{shown}");
        let same = Comparison::of(&second, &second);
        assert!(same.warnings[0].contains("the same benchmark"), "{:?}", same.warnings);
    }
}
