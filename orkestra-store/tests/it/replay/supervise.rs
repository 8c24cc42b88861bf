//! Lets child processes judge states. When a backend ends its process or hangs, that is the verdict on the state it had
//! opened, and the next process continues with the state after it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::crash::crash;
use super::judge::{VERDICTS, Verdict, judge};
use super::model::{Disk, MODELS, Model};
use super::outcome::Outcome;
use super::recording::{Recording, Scenario};
use super::states::{State, states};
use crate::support::child::{command, report_line};

/// How many processes judge at the same time.
const JUDGES: usize = 2;

/// After this time without an answer a process counts as hung. Opening a store takes far less than a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Judges `count` states of each model, made from the log `log`. The states are written to the directory `memory`.
pub(super) fn judge_all(scenario: &Scenario, log: &Path, memory: &Path, count: usize) -> Outcome {
    let place = |share: usize| memory.join(format!("judge-{share}"));
    std::thread::scope(|scope| {
        let judge = |share| scope.spawn(move || judge_share(scenario, log, &place(share), count, share));
        let judges: Vec<_> = (0..JUDGES).map(judge).collect();
        let mut outcome = Outcome::default();
        judges.into_iter().for_each(|judge| outcome.add(judge.join().expect("a judge does not panic")));
        outcome
    })
}

/// Has every `JUDGES`-th state judged, by as many processes as needed.
fn judge_share(scenario: &Scenario, log: &Path, place: &Path, count: usize, share: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut next = 0;
    while next < MODELS.len() * count {
        let words = [
            log.to_str().expect("a plain path"),
            place.to_str().expect("a plain path"),
            &scenario.durability,
            &count.to_string(),
            &share.to_string(),
            &next.to_string(),
        ];
        let (mut child, lines) = start(&words);
        let mut begun: Option<(usize, String)> = None;
        let verdict = loop {
            let line = match lines.recv_timeout(ANSWER_LIMIT) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => break Verdict::Hung,
                Err(RecvTimeoutError::Disconnected) => break Verdict::Died,
            };
            if let Some((number, state)) = line.strip_prefix("begin ").and_then(|line| line.split_once(' ')) {
                begun = Some((number.parse().expect("a number"), state.to_owned()));
            } else if let Some(said) = line.strip_prefix("end ") {
                let (number, state) = begun.take().expect("a state ends after it began");
                outcome.note(scenario, number / count, &state, parse(said));
            } else {
                next = MODELS.len() * count;
            }
        };
        // A child that has ended cannot be killed, which does not matter.
        let _ = child.kill();
        child.wait().expect("it has ended");
        if let Some((number, state)) = begun {
            next = number + 1;
            outcome.note(scenario, number / count, &state, (verdict, ""));
        } else {
            assert_eq!(next, MODELS.len() * count, "{scenario}: a judge has ended between two states");
        }
    }
    outcome
}

fn parse(said: &str) -> (Verdict, &str) {
    let (word, why) = said.split_once(' ').unwrap_or((said, ""));
    (VERDICTS.into_iter().find(|verdict| verdict.to_string() == word).expect("a verdict"), why)
}

/// Starts a process that judges. Returns the lines it reports.
fn start(words: &[&str]) -> (Child, Receiver<String>) {
    // Threads of a backend panic on damaged files; their messages are of no interest.
    let mut child = command(&[], "power", words).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let (said, heard) = sync_channel(16);
    std::thread::spawn(move || {
        let parse = |line: String| Some(line.split_once("> ")?.1.strip_suffix(" <")?.to_owned());
        let mut reports = lines.map_while(Result::ok).filter_map(parse);
        // Ends when the receiver is dropped.
        reports.try_for_each(|line| said.send(line))
    });
    (child, heard)
}

/// The part `power <log> <place> <durability> <count> <share> <next>`: judges its share of the states, from the number
/// `next` on, by the promises of `durability`, even if another one was recorded.
pub(crate) async fn play(words: &[&str]) {
    let mut recording = Recording::load(Path::new(words[0])).expect("the log was read before");
    recording.scenario.durability = words[2].to_owned();
    let [count, share, next] = [3, 4, 5].map(|at| words[at].parse::<usize>().expect("a number"));
    let mut number = 0;
    for model in MODELS {
        let mut disk = Disk::new(&recording.trace, model);
        for state in states(&recording, model, count) {
            if number >= next && number % JUDGES == share {
                report_line(format!("begin {number} {}", describe(&recording, model, &state)));
                disk.go_to(state.point);
                report_line(format!("end {}", judge_state(&recording, &disk, state, Path::new(words[1])).await));
            }
            number += 1;
        }
    }
    report_line("all");
}

fn describe(recording: &Recording, model: Model, state: &State) -> String {
    let State { number, point, way, .. } = state;
    let last = point.checked_sub(1).map(|last| recording.trace.records[last].to_string().replace('\n', " "));
    let last = last.unwrap_or_else(|| "nothing".into());
    let of = recording.trace.records.len();
    format!(
        "model {model}, state {number}: data {:?}, names {:?}, after record {point} of {of}, {last}",
        way.data, way.names
    )
}

/// Creates a state and judges it. Returns the verdict and its reason in one line.
async fn judge_state(recording: &Recording, disk: &Disk<'_>, mut state: State, place: &Path) -> String {
    let image = crash(disk, state.way, &mut state.chance);
    if place.exists() {
        fs::remove_dir_all(place).expect("the last state can be removed");
    }
    image.write(place).expect("there is room for a state");
    let (scenario, place) = (recording.scenario.clone(), place.to_path_buf());
    let history = recording.history(state.point);
    // In a task of its own, so that a panic becomes a verdict.
    let judged = tokio::spawn(async move { judge(&scenario, &place, history).await }).await;
    let (verdict, why) = match judged {
        Ok(Ok(verdict)) => (verdict, String::new()),
        Ok(Err(judged)) => judged,
        Err(panic) => (Verdict::Wrong, format!("it panics: {panic}")),
    };
    format!("{verdict} {}", why.replace('\n', " "))
}
