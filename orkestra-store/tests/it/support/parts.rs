//! The parts that child processes play.

use std::io::Read;
use std::sync::Arc;

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, RunQuery, Snapshot, Store};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;

use super::backend::{Backend, Opened, Options};
use super::child::report_line;
use super::history;

/// `open <backend> <path>`: opens a store and reports the result.
pub(crate) fn open(words: &[&str]) {
    match Backend::named(words[0]).open(words[1]) {
        Ok(_) => report_line("opened"),
        Err(error) => report_line(format!("{:?}: {error}", error.kind())),
    }
}

/// `hold <backend> <path>`: opens a store and keeps it open until its input ends.
pub(crate) fn hold(words: &[&str]) {
    let store = Backend::named(words[0]).open(words[1]).expect("the store opens");
    report_line("opened");
    let ended = std::io::stdin().read_to_end(&mut Vec::new());
    assert!(ended.is_ok(), "{ended:?}");
    drop(store);
}

/// Opens the store that `<backend> <path> <durability>` describe.
fn open_as(words: &[&str]) -> Opened {
    Backend::named(words[0]).open_with(words[1], Options::of(words[2])).expect("the store opens")
}

/// `write <backend> <path> <durability> <batches>`: writes that many batches of three commits and reports each answer.
/// Repeats, reads and snapshots in between must not cost a sync.
pub(crate) async fn write(words: &[&str]) {
    let store = open_as(words);
    let batches: usize = words[3].parse().expect("a number of batches");
    let mut runs = [SampleRun::new("a"), SampleRun::new("b"), SampleRun::new("c")];
    for batch in 0..batches {
        let appends: Vec<_> =
            runs.iter_mut().map(|run| if batch == 0 { run.create() } else { run.report(100) }).collect();
        for answers in [store.append(appends.clone()).await, store.append(appends).await] {
            answers
                .into_iter()
                .for_each(|answer| report_line(answer.map_or_else(|error| format!("{error:?}"), |()| "ok".into())));
        }
        let read = store.read(runs[0].id(), Seq(1), 1).await;
        report_line(
            read.map_or_else(|error| format!("{:?}", error.kind()), |commits| format!("{} read", commits.len())),
        );
        let snapshot = Snapshot { last: runs[0].last(), bytes: Arc::from(*b"a state") };
        let kept = store.put_snapshot(runs[0].id(), &snapshot).await;
        report_line(kept.map_or_else(|error| format!("{:?}", error.kind()), |()| "kept".into()));
    }
}

/// `storm <backend> <path> <durability> <seed>`: makes random writes until it is killed. Reports what it is about to
/// write or delete, and what was acknowledged.
pub(crate) async fn storm(words: &[&str]) {
    let store = open_as(words);
    write_on(&*store, words[3], u64::MAX).await;
}

/// `rounds <backend> <path> <durability> <seed> <gathered bytes> <rounds> <close or leave>`: the same for a number of
/// rounds. Then it closes the store, or exits without closing it.
pub(crate) async fn rounds(words: &[&str]) {
    let gathered_bytes = words[4].parse().expect("a number of bytes");
    let options = Options { gathered_bytes, ..Options::of(words[2]) };
    let store = Backend::named(words[0]).open_with(words[1], options).expect("the store opens");
    write_on(&*store, words[3], words[5].parse().expect("a number of rounds")).await;
    if words[6] == "leave" {
        std::process::exit(0);
    }
}

/// Makes random writes.
async fn write_on(store: &dyn Store, seed: &str, rounds: u64) {
    let mut chance = Chance::new(seed.parse().expect("a seed"));
    report_line("opened");
    let mut runs = resume(store).await;
    let mut version = store.get("counter").await.expect("it reads").map_or(0, |value| value.version);
    for born in 0..rounds {
        if runs.len() < 20 || chance.one_in(8) {
            runs.push(SampleRun::new(&format!("r{seed}-{born}")).at(1_000 + born));
        }
        let mut batch = Vec::new();
        for _ in 0..=chance.below(6) {
            let run = chance.below(runs.len());
            let run = &mut runs[run];
            let size = if chance.one_in(10) { chance.below(40_000) } else { chance.below(300) };
            batch.push(match chance.below(30) {
                _ if run.ended() => continue,
                _ if run.last() == Seq::ZERO => run.create(),
                0 => run.complete_with(size),
                _ => run.report(size),
            });
        }
        // One append takes letters of its run, which are removed with it.
        let answering = batch.iter_mut().find(|append| append.commit.first > Seq(1));
        let mut taken = Vec::new();
        if let Some(append) = answering {
            taken = leaving(store, &append.commit.run).await;
            append.taken = taken.iter().map(|(_, id)| *id).collect();
        }
        let written = batch.iter().map(|append| history::word(&append.commit)).collect::<Vec<_>>();
        if !written.is_empty() {
            report_line(format!("batch {}", written.join(" ")));
        }
        let places: Vec<_> = batch.iter().map(|append| (append.commit.run.clone(), append.commit.last)).collect();
        let answers = store.append(batch).await;
        for ((run, last), answer) in places.iter().zip(answers) {
            answer.expect("the commit follows");
            report_line(format!("ack {run} {last}"));
        }
        taken.iter().for_each(|(run, id)| report_line(format!("gone {run} {id}")));
        match chance.below(12) {
            // Deletes more when there are many runs, so that a long storm does not slow down.
            choice if choice == 0 || (choice < 6 && runs.len() > 40) => {
                let gone = runs.swap_remove(chance.below(runs.len()));
                report_line(format!("deleting {}", gone.id()));
                store.delete(gone.id()).await.expect("it deletes");
                report_line(format!("deleted {}", gone.id()));
            }
            6 => {
                let bytes = vec![9; chance.below(10_000)];
                version = store.put("counter", version, &bytes).await.expect("it writes").expect("no other writer");
                report_line(format!("counted {version}"));
            }
            7 => {
                let run = &runs[chance.below(runs.len())];
                if run.last() > Seq::ZERO {
                    let id = store.send(run.id(), &vec![5; chance.below(7_000)]).await.expect("it is sent");
                    report_line(format!("sent {} {id}", run.id()));
                }
            }
            8 => {
                let run = runs[chance.below(runs.len())].id();
                let letters = leaving(store, run).await;
                let ids: Vec<_> = letters.iter().map(|(_, id)| *id).collect();
                store.discard(run, &ids).await.expect("they are discarded");
                letters.iter().for_each(|(run, id)| report_line(format!("gone {run} {id}")));
            }
            _ => {}
        }
    }
}

/// Letters of a run that are about to be removed. Each is reported.
async fn leaving(store: &dyn Store, run: &RunId) -> Vec<(RunId, LetterId)> {
    let letters = store.letters(run, LetterId::ZERO, 3).await.expect("it reads");
    letters.iter().for_each(|letter| report_line(format!("taking {run} {}", letter.id)));
    letters.into_iter().map(|letter| (run.clone(), letter.id)).collect()
}

/// All runs of the store in their current state.
async fn resume(store: &dyn Store) -> Vec<SampleRun> {
    let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
    let mut runs = Vec::new();
    for record in store.list(&query).await.expect("it lists").items {
        runs.push(load(store, &record.id).await);
    }
    runs
}

/// A run in its current state.
pub(crate) async fn load(store: &dyn Store, run: &RunId) -> SampleRun {
    let commits = store.read(run, Seq(1), usize::MAX).await.expect("it reads");
    SampleRun::resume(run, &commits).expect("a journal is a run's")
}
