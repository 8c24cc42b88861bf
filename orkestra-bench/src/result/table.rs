//! The table of a result on a terminal or in a pipe: plain text, without colours and control characters.

use std::fmt;

use super::grade::Interval;
use super::grid::{Side, write_field, write_rows};
use super::score::Summary;
use super::text::{counted, dollars, duration, level, number, one_line, percentage, tokens};
use super::{BenchmarkResult, TaskResult};

/// The characters of a name that are shown.
const NAME_CHARS_MAX: usize = 40;
/// The characters of a sentence about a place that are shown.
const PLACE_CHARS_MAX: usize = 400;
/// The length of the bar of a score of 10.
const BAR: usize = 5;

const COLUMNS: [(&str, Side); 10] = [
    ("task", Side::Left),
    ("level", Side::Left),
    ("documented", Side::Left),
    ("strict", Side::Left),
    ("95 %", Side::Right),
    ("tests", Side::Right),
    ("tries", Side::Right),
    ("tokens", Side::Right),
    ("cost", Side::Right),
    ("median", Side::Right),
];

/// A result as a table of plain text: write it with `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a BenchmarkResult);

impl BenchmarkResult {
    /// The result as a table for a terminal or a pipe.
    #[must_use]
    pub fn table(&self) -> Table<'_> {
        Table(self)
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.0.summary();
        write_head(f, self.0, &summary)?;
        writeln!(f)?;
        let rows: Vec<_> = self.0.tasks.iter().map(row).collect();
        write_rows(f, &COLUMNS, &rows)?;
        writeln!(f)?;
        write_sums(f, self.0, &summary)?;
        writeln!(f)?;
        writeln!(f, "strict: every hidden test passed. 95 %: interval of the rate of solved trials (Wilson).")?;
        writeln!(f, "tries: attempts of agents in all trials; more than agents times trials means repairs.")
    }
}

fn write_head(f: &mut fmt::Formatter<'_>, result: &BenchmarkResult, summary: &Summary) -> fmt::Result {
    if let Some(notice) = &result.agent.notice {
        writeln!(f, "{}\n", one_line(notice, NAME_CHARS_MAX * 2))?;
    }
    write_field(f, "agent", &one_line(&result.agent.name, PLACE_CHARS_MAX))?;
    write_field(f, "model", &one_line(&result.agent.model, PLACE_CHARS_MAX))?;
    for (index, place) in result.places.iter().enumerate() {
        write_field(f, if index == 0 { "places" } else { "" }, &one_line(place, PLACE_CHARS_MAX))?;
    }
    write_field(f, "limits", &limits(result))?;
    write_field(f, "trials", &progress(result, summary))
}

/// The limits of a trial in words.
pub(super) fn limits(result: &BenchmarkResult) -> String {
    let seconds = counted(result.limits.seconds, "second");
    match result.limits.tokens {
        Some(count) => format!("{seconds} and {} per trial", counted(count, "token")),
        None => format!("{seconds} per trial, tokens without limit"),
    }
}

/// How much of the benchmark was graded.
pub(super) fn progress(result: &BenchmarkResult, summary: &Summary) -> String {
    let graded = summary.tally.trials;
    let tasks = counted(result.tasks.len() as u64, "task");
    if summary.is_complete() {
        format!("{}, {} of each of {tasks}", counted(graded as u64, "trial"), result.trials)
    } else {
        let planned = summary.planned;
        format!("INCOMPLETE: {graded} of {planned} trials so far, {} of each of {tasks} planned", result.trials)
    }
}

fn row(task: &TaskResult) -> [String; COLUMNS.len()] {
    let tally = task.tally();
    let usage = &tally.usage;
    let name = one_line(&task.name, NAME_CHARS_MAX);
    let level = level(task.difficulty).to_owned();
    // A task without trials has no scores. Zeros would look like failures.
    let Some((documented, interval)) = task.documented().zip(tally.interval()) else {
        let none = || "-".to_owned();
        return [name, level, none(), "no trials".to_owned(), none(), none(), none(), none(), none(), none()];
    };
    [
        name,
        level,
        format!("{} {documented:>4.1}", bar(documented)),
        format!("{}/{} solved", tally.solved, tally.trials),
        range(interval),
        format!("{}/{}", tally.tests_passed, tally.tests),
        number(usage.attempts),
        tokens(usage.tokens()),
        dollars(usage.cost_usd),
        duration(usage.median_seconds),
    ]
}

/// A bar of ASCII characters: full for 10 only, empty for 0 only.
fn bar(score: f64) -> String {
    let filled = (1..=BAR).filter(|step| score / 10.0 * BAR as f64 + 0.5 >= *step as f64).count();
    let filled = match score {
        _ if score >= 10.0 => BAR,
        _ if score <= 0.0 => 0,
        _ => filled.clamp(1, BAR - 1),
    };
    format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled))
}

/// An interval in percent: `39-89`.
pub(super) fn range(interval: Interval) -> String {
    format!("{:.0}-{:.0}", interval.low * 100.0, interval.high * 100.0)
}

fn write_sums(f: &mut fmt::Formatter<'_>, result: &BenchmarkResult, summary: &Summary) -> fmt::Result {
    let tally = &summary.tally;
    let so_far = if summary.is_complete() { "" } else { " so far" };
    write_field(f, "sum", &sums(summary))?;
    write_field(f, "endings", &endings(result))?;
    match summary.percentage.zip(summary.grade()) {
        Some((value, grade)) => writeln!(f, "grade{so_far}: {grade} (documented: {})", percentage(value))?,
        None => writeln!(f, "grade: none yet, no trial was graded")?,
    }
    writeln!(f, "strict{so_far}: {} of {} solved", tally.solved, tally.trials)
}

/// What all trials used.
pub(super) fn sums(summary: &Summary) -> String {
    let usage = &summary.tally.usage;
    let mut parts = vec![
        format!("{}/{} hidden tests passed", summary.tally.tests_passed, summary.tally.tests),
        format!("tries {}", number(usage.attempts)),
        format!(
            "tokens {} ({} in, {} out)",
            tokens(usage.tokens()),
            tokens(usage.input_tokens),
            tokens(usage.output_tokens)
        ),
        format!("model calls {}", number(usage.model_calls)),
        format!("cost {}", dollars(usage.cost_usd)),
        format!("median time {}", duration(usage.median_seconds)),
    ];
    if usage.restarts > 0 {
        parts.push(counted(usage.restarts, "restart"));
    }
    parts.join(", ")
}

/// How the trials ended.
pub(super) fn endings(result: &BenchmarkResult) -> String {
    let endings = result.endings();
    let named = [
        (endings.finished, "finished"),
        (endings.failed, "failed"),
        (endings.out_of_time, "out of time"),
        (endings.out_of_tokens, "out of tokens"),
    ];
    let shown: Vec<_> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    if shown.is_empty() { "none yet".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample::{benchmark, task, trial};

    #[test]
    fn a_bar_is_full_or_empty_only_at_the_ends() {
        for (score, shown) in [
            (0.0, "....."),
            (0.1, "#...."),
            (2.9, "#...."),
            (3.0, "##..."),
            (5.0, "###.."),
            (9.9, "####."),
            (10.0, "#####"),
        ] {
            assert_eq!(bar(score), shown, "{score}");
        }
    }

    #[test]
    fn an_incomplete_benchmark_is_shown_as_such() {
        let mut free = trial(2, [1, 2], [1, 2]);
        free.cost_usd = None;
        let tasks = vec![
            task("hello_world", vec![trial(1, [2, 2], [2, 2])]),
            task("calculator", vec![trial(1, [2, 2], [2, 2]), free]),
            task("todo_api", Vec::new()),
        ];
        let shown = benchmark(2, tasks).table().to_string();
        let expected = "\
demo: no AI

agent       orkestra
model       demo
places      works in a container without network
limits      600 seconds and 200000 tokens per trial
trials      INCOMPLETE: 3 of 6 trials so far, 2 of each of 3 tasks planned

task         level  documented  strict        95 %  tests  tries  tokens     cost  median
-----------  -----  ----------  ----------  ------  -----  -----  ------  -------  ------
hello_world  easy   ##### 10.0  1/1 solved  21-100    2/2      2    1100  $0.2500  12.5 s
calculator   easy   ####.  7.5  1/2 solved    9-91    3/4      4    2200  unknown  12.5 s
todo_api     easy   -           no trials        -      -      -       -        -       -

sum         5/6 hidden tests passed, tries 6, tokens 3300 (3000 in, 300 out), model calls 9, cost
            unknown, median time 12.5 s
endings     3 finished
grade so far: A (documented: 87.5 %)
strict so far: 2 of 3 solved
";
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn the_usual_tasks_fit_in_100_columns() {
        let names = ["data_processing", "react_component", "docker_compose", "websocket_chat"];
        let trials = || {
            let mut trials: Vec<_> = (1..=10).map(|number| trial(number, [4, 4], [10, 10])).collect();
            for trial in &mut trials {
                (trial.cost_usd, trial.input_tokens, trial.seconds) = (None, None, 754.0);
            }
            trials
        };
        let mut tasks: Vec<_> = names.map(|name| task(name, trials())).into();
        for task in &mut tasks {
            task.difficulty = crate::task::Difficulty::Trivial;
        }
        let shown = benchmark(10, tasks).table().to_string();
        for line in shown.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(shown.contains("10/10 solved  72-100  100/100     20  unknown  unknown  12m34s"), "{shown}");
        assert!(shown.contains("trials      40 trials, 10 of each of 4 tasks\n"), "{shown}");
        assert!(shown.contains("\ngrade: S (documented: 100.0 %)\nstrict: 40 of 40 solved\n"), "{shown}");
    }
}
