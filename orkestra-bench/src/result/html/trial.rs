//! The trials of a task on the page: what happened, what was changed, and what failed.

use maud::{Markup, html};

use super::{NAME_CHARS_MAX, TEXT_CHARS_MAX, anchor};
use crate::result::text::{counted, dollars, duration, ending, level, lines, number, one_line, tokens};
use crate::result::{Change, Ending, Moment, TaskResult, TrialResult};

/// The longest detail of a failed test, bytes: a page has thousands of them.
const DETAIL_BYTES_MAX: usize = 16 * 1024;
/// The longest diff of a file, bytes.
const DIFF_BYTES_MAX: usize = 64 * 1024;
/// The moments of a timeline that are shown.
const MOMENTS_MAX: usize = 500;

/// The section of a task.
pub(super) fn section(index: usize, task: &TaskResult) -> Markup {
    html! {
        section.task id=(anchor(index)) {
            h2 { bdi { (one_line(&task.name, NAME_CHARS_MAX)) } " " span.level { (level(task.difficulty)) } }
            @if task.trials.is_empty() { p.quiet { "No trial was graded yet." } }
            @for trial in &task.trials { (details(trial)) }
        }
    }
}

fn details(trial: &TrialResult) -> Markup {
    let strict = &trial.strict;
    let passed = strict.tests.iter().filter(|test| test.passed).count();
    let solved = strict.is_solved();
    html! {
        details {
            summary {
                span.trial { "Trial " (trial.trial) }
                span.verdict.solved[solved].failed[!solved] { @if solved { "solved" } @else { "not solved" } }
                span.quiet {
                    (passed) "/" (strict.tests.len()) " hidden tests, documented " (format!("{:.1}", trial.documented.score())) ", "
                    (duration(Some(trial.seconds)))
                    @if trial.ending != Ending::Finished { ", " (one_line(&ending(&trial.ending), 80)) }
                }
            }
            div.inside {
                p.quiet {
                    "tokens " (tokens(trial.input_tokens)) " in, " (tokens(trial.output_tokens)) " out, model calls "
                    (number(trial.model_calls)) ", cost " (dollars(trial.cost_usd)) ", tries " (number(trial.attempts.map(u64::from)))
                    @if trial.restarts > 0 { ", " (counted(u64::from(trial.restarts), "restart")) }
                }
                @if let Ending::Failed { reason } = &trial.ending {
                    h3 { "The agent failed" } pre.detail { (lines(reason, DETAIL_BYTES_MAX)) }
                }
                (failures(trial))
                (timeline(&trial.timeline))
                (changes(&trial.changes))
            }
        }
    }
}

fn failures(trial: &TrialResult) -> Markup {
    let tests: Vec<_> = trial.strict.tests.iter().filter(|test| !test.passed).collect();
    let checks: Vec<_> = trial.documented.checks.iter().filter(|check| !check.passed).collect();
    html! {
        @if let Some(problem) = &trial.strict.problem {
            h3 { "The tests count for nothing" } pre.detail { (lines(problem, DETAIL_BYTES_MAX)) }
        }
        @if trial.strict.tests.is_empty() { h3 { "Hidden tests" } p.quiet { "No hidden test was reported." } }
        @if !tests.is_empty() {
            h3 { "Failed hidden tests" }
            ul.failures {
                @for test in tests {
                    li {
                        bdi { (one_line(&test.name, NAME_CHARS_MAX)) }
                        @if !test.detail.is_empty() { pre.detail { (lines(&test.detail, DETAIL_BYTES_MAX)) } }
                    }
                }
            }
        }
        @if !checks.is_empty() {
            h3 { "Failed text checks" }
            ul.failures { @for check in checks { li { bdi { (one_line(&check.check, TEXT_CHARS_MAX)) } } } }
        }
    }
}

fn timeline(moments: &[Moment]) -> Markup {
    html! {
        @if !moments.is_empty() {
            h3 { "Timeline" }
            ol.timeline {
                @for moment in moments.iter().take(MOMENTS_MAX) {
                    li {
                        span.at { (duration(Some(moment.at))) }
                        span {
                            @if !moment.agent.is_empty() { b { bdi { (one_line(&moment.agent, NAME_CHARS_MAX)) } } " " }
                            bdi { (one_line(&moment.text, TEXT_CHARS_MAX)) }
                        }
                    }
                }
            }
            @if moments.len() > MOMENTS_MAX { p.quiet { (moments.len() - MOMENTS_MAX) " more are not shown." } }
        }
    }
}

fn changes(changes: &[Change]) -> Markup {
    html! {
        h3 { "Changes" }
        @if changes.is_empty() { p.quiet { "No file was changed." } }
        @for change in changes {
            div.change {
                @if !change.path.is_empty() { p.path { bdi { (one_line(&change.path, TEXT_CHARS_MAX)) } } }
                pre.diff { (diff_lines(&lines(&change.diff, DIFF_BYTES_MAX))) }
            }
        }
    }
}

/// The lines of a unified diff. Its head is what comes before the first hunk: within a hunk, an added line may look like a head.
fn diff_lines(diff: &str) -> Markup {
    let head_length = diff.lines().take_while(|line| !line.starts_with("@@")).count();
    html! {
        @for (index, line) in diff.lines().enumerate() {
            @let kind = match line.as_bytes().first() {
                _ if index < head_length => "head",
                Some(b'@' | b'\\') => "hunk",
                Some(b'+') => "added",
                Some(b'-') => "removed",
                _ => "same",
            };
            span class=(kind) { (line) "\n" }
        }
    }
}
