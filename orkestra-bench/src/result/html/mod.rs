//! A result as a page: one file that loads nothing and runs nothing, so that it can be kept, sent and opened anywhere.
//!
//! Whatever a result holds was written by models and commands. It is put in by `maud`, which escapes it, and through the functions
//! of `text.rs`, which show control characters by their numbers. The policy in the head forbids scripts and every request.

mod trial;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::grade::Interval;
use super::score::Summary;
use super::table::{endings, limits, progress};
use super::text::{dollars, duration, level, number, one_line, percentage, tokens};
use super::{BenchmarkResult, TaskResult};

/// The look. It is ours and has no text of a result in it.
const STYLE: &str = include_str!("report.css");
/// What the browser may load: nothing but the style in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// The characters of a name.
const NAME_CHARS_MAX: usize = 200;
/// The characters of a sentence.
const TEXT_CHARS_MAX: usize = 1000;

impl BenchmarkResult {
    /// The result as one HTML page, with every trial's timeline, changes and failures.
    #[must_use]
    pub fn html(&self) -> String {
        let summary = self.summary();
        let agent = one_line(&self.agent.name, NAME_CHARS_MAX);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { "Benchmark of " (agent) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.header(&summary))
                    main {
                        (tasks_table(&self.tasks))
                        @for (index, task) in self.tasks.iter().enumerate() { (trial::section(index, task)) }
                    }
                    footer { (explanation()) }
                }
            }
        }
        .into_string()
    }

    fn header(&self, summary: &Summary) -> Markup {
        html! {
            header {
                @if let Some(notice) = &self.agent.notice {
                    p.notice role="note" { (one_line(notice, NAME_CHARS_MAX)) }
                }
                p.kicker { "Benchmark" }
                h1 { bdi { (one_line(&self.agent.name, NAME_CHARS_MAX)) } }
                p.model { "model " bdi { (one_line(&self.agent.model, NAME_CHARS_MAX)) } }
                @if !summary.is_complete() { p.incomplete { (progress(self, summary)) } }
                (cards(summary))
                dl.facts {
                    @if summary.is_complete() { dt { "Trials" } dd { (progress(self, summary)) } }
                    dt { "Endings" } dd { (endings(self)) }
                    dt { "Limits" } dd { (limits(self)) }
                    @for place in &self.places { dt { "Place" } dd { (one_line(place, TEXT_CHARS_MAX)) } }
                    dt { "Started" } dd { (one_line(&self.started_at, NAME_CHARS_MAX)) }
                    dt { "Ended" } dd { (one_line(self.ended_at.as_deref().unwrap_or("not yet"), NAME_CHARS_MAX)) }
                    dt { "Id" } dd { (one_line(&self.id, NAME_CHARS_MAX)) }
                }
            }
        }
    }
}

fn cards(summary: &Summary) -> Markup {
    let tally = &summary.tally;
    let usage = &tally.usage;
    let so_far = if summary.is_complete() { "" } else { " so far" };
    let grade = summary.grade().map_or("-".to_owned(), |grade| grade.to_string());
    let documented = summary.percentage.map_or("nothing graded yet".to_owned(), percentage);
    html! {
        ul.cards {
            (card(&format!("documented{so_far}"), &grade, &documented))
            (card(&format!("strict{so_far}"), &format!("{}/{}", tally.solved, tally.trials), "trials solved"))
            (card("hidden tests", &format!("{}/{}", tally.tests_passed, tally.tests), "passed"))
            (card("tokens", &tokens(usage.tokens()),
                &format!("{} in, {} out", tokens(usage.input_tokens), tokens(usage.output_tokens))))
            (card("cost", &dollars(usage.cost_usd), &format!("{} model calls", number(usage.model_calls))))
            (card("median time", &duration(usage.median_seconds),
                &format!("{} tries, {} restarts", number(usage.attempts), usage.restarts)))
        }
    }
}

fn card(name: &str, value: &str, note: &str) -> Markup {
    html! { li { span.name { (name) } strong { (value) } span.note { (note) } } }
}

fn tasks_table(tasks: &[TaskResult]) -> Markup {
    html! {
        section.overview {
            h2 { "Tasks" }
            table {
                thead {
                    tr {
                        th { "Task" } th { "Documented" } th { "Strict" } th { "Hidden tests" } th { "Tries" }
                        th { "Tokens" } th { "Cost" } th { "Median time" }
                    }
                }
                tbody { @for (index, task) in tasks.iter().enumerate() { (row(index, task)) } }
            }
        }
    }
}

fn row(index: usize, task: &TaskResult) -> Markup {
    let tally = task.tally();
    let usage = &tally.usage;
    html! {
        tr {
            th scope="row" {
                a href=(format!("#{}", anchor(index))) { bdi { (one_line(&task.name, NAME_CHARS_MAX)) } } " " span.level { (level(task.difficulty)) }
            }
            @if let Some((documented, interval)) = task.documented().zip(tally.interval()) {
                td data-label="Documented" { (bar(documented)) span.value { (format!("{documented:.1}")) } }
                td data-label="Strict" {
                    (rate_bar(tally.solved as f64 / tally.trials as f64, interval))
                    span.value { (tally.solved) "/" (tally.trials) }
                    " " span.interval { (super::table::range(interval)) " %" }
                }
                td data-label="Hidden tests" { (tally.tests_passed) "/" (tally.tests) }
                td data-label="Tries" { (number(usage.attempts)) }
                td data-label="Tokens" { (tokens(usage.tokens())) }
                td data-label="Cost" { (dollars(usage.cost_usd)) }
                td data-label="Median time" { (duration(usage.median_seconds)) }
            } @else {
                td colspan="7" { "no trial was graded yet" }
            }
        }
    }
}

/// Where a task is on the page: by number, because names are not ours.
fn anchor(index: usize) -> String {
    format!("task-{}", index + 1)
}

/// A bar of a score of 0 to 10.
fn bar(score: f64) -> Markup {
    html! { span.bar aria-hidden="true" { span style=(format!("width:{:.1}%", score.clamp(0.0, 10.0) * 10.0)) {} } }
}

/// The interval of a rate as a range, and the rate as a mark in it.
fn rate_bar(rate: f64, interval: Interval) -> Markup {
    let (low, width) = (interval.low * 100.0, (interval.high - interval.low) * 100.0);
    html! {
        span.range aria-hidden="true" {
            span style=(format!("left:{low:.1}%;width:{width:.1}%")) {}
            i style=(format!("left:{:.1}%", rate * 100.0)) {}
        }
    }
}

fn explanation() -> Markup {
    html! {
        p {
            strong { "Documented" } ": text checks on the files, passed / all * 10; the grade is S from 90 %, A 80, B 70, C 60, D 50. "
            strong { "Strict" } ": solved when every hidden test passed. The range is the 95 % interval of the rate of solved trials "
            "(Wilson's method). "
            strong { "Tries" } ": attempts of agents in all trials; more than agents times trials means repairs. "
            "A sum with an unknown part is unknown."
        }
    }
}
