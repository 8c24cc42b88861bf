//! The server crashes while workers write: every acknowledged commit is there, and reading resolves the unknown ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Append, AppendError, LetterId, Listener, Store};
use orkestra_store::PostgresStore;
use orkestra_testkit::sample::SampleRun;

use super::support::{Database, own};

const WORKERS: usize = 4;
const RUNS: usize = 8;

/// Shared by all workers.
#[derive(Default)]
struct Course {
    /// Number of acknowledged batches.
    written: AtomicUsize,
    /// Number of commits with an unknown outcome.
    unknown: AtomicUsize,
    over: AtomicBool,
}

/// Writes batches of one commit per run until `over` is set. Returns the last acknowledged position of each run.
async fn work(store: PostgresStore, number: usize, course: Arc<Course>) -> Vec<(RunId, Seq)> {
    let name = |run: usize| format!("w{number}-{run}");
    let mut runs: Vec<_> = (0..RUNS).map(|run| SampleRun::new(&name(run))).collect();
    let mut acknowledged = vec![Seq::ZERO; RUNS];
    while !course.over.load(Ordering::SeqCst) {
        let mut batch: Vec<Append> = Vec::new();
        for run in &mut runs {
            batch.push(if run.last() == Seq::ZERO { run.create() } else { run.report(100) });
        }
        let answers = store.append(batch.clone()).await;
        let mut all_known = true;
        for ((answer, append), last) in answers.into_iter().zip(&batch).zip(&mut acknowledged) {
            match answer {
                Ok(()) => *last = append.commit.last,
                Err(AppendError::Unknown(_)) => {
                    course.unknown.fetch_add(1, Ordering::SeqCst);
                    all_known = false;
                }
                Err(AppendError::Failed(_)) => all_known = false,
                Err(other) => panic!("no other worker writes to this run: {other:?}"),
            }
        }
        if all_known {
            course.written.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        for (at, run) in runs.iter_mut().enumerate() {
            *run = read_again(&store, run.id(), acknowledged[at]).await;
            acknowledged[at] = run.last();
        }
    }
    runs.iter().map(|run| run.id().clone()).zip(acknowledged).collect()
}

/// Does what an engine does after an unknown outcome: reads the journal, as soon as the database answers again.
async fn read_again(store: &PostgresStore, id: &RunId, acknowledged: Seq) -> SampleRun {
    loop {
        match store.read(id, Seq(1), usize::MAX).await {
            Ok(journal) => {
                let last = journal.last().map_or(Seq::ZERO, |commit| commit.last);
                assert!(last >= acknowledged, "run `{id}` ends at {last}, but {acknowledged} was acknowledged");
                return SampleRun::resume(id.as_str(), &journal).expect("complete commits without a gap");
            }
            // Not yet. Other tasks need the processor.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_keeps_what_it_acknowledged_through_crashes_of_the_server() {
    let Some(server) = own() else { return };
    let crashes = if std::env::var_os("ORKESTRA_LONG").is_some() { 50 } else { 3 };
    let database = Database::alone(server);
    let course = Arc::new(Course::default());
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let store = database.open().await;
        workers.push(tokio::spawn(work(store, number, Arc::clone(&course))));
    }
    for _ in 0..crashes {
        let before = course.written.load(Ordering::SeqCst);
        while course.written.load(Ordering::SeqCst) < before + 20 {
            assert!(!workers.iter().any(tokio::task::JoinHandle::is_finished), "no worker ends early");
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| database.server().crash_and_restart()).expect("the server comes back");
    }
    course.over.store(true, Ordering::SeqCst);
    let store = database.open().await;
    for worker in workers {
        for (run, last) in worker.await.expect("no worker panics") {
            let sample = read_again(&store, &run, last).await;
            assert_eq!(
                store.record(&run).await.expect("it is read"),
                Some(sample.record()),
                "`{run}`: with its record"
            );
        }
    }
    println!(
        "{crashes} crashes, {} batches acknowledged, {} commits unknown at first",
        course.written.load(Ordering::SeqCst),
        course.unknown.load(Ordering::SeqCst)
    );
}

/// What the listener returns up to the next letter.
async fn hear(listener: &mut dyn Listener, store: &PostgresStore, run: &RunId) -> Vec<Option<RunId>> {
    let mut heard = Vec::new();
    loop {
        let next = listener.next().await;
        heard.push(next.clone());
        if next.is_some() {
            return heard;
        }
        store.send(run, b"x").await.expect("it is sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_listeners_report_interruptions() {
    let Some(server) = own() else { return };
    let database = Database::alone(server);
    let (store, other) = (database.open().await, database.open().await);
    let mut run = SampleRun::new("r");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    let mut listener = store.listen();
    assert_eq!(hear(&mut *listener, &other, run.id()).await, [None, Some(run.id().clone())], "it begins with None");
    tokio::task::block_in_place(|| database.server().crash_and_restart()).expect("the server comes back");
    // The first call after the restart fails. Its letter may have been sent or not.
    while other.letters(run.id(), LetterId::ZERO, 1).await.is_err() {}
    assert_eq!(hear(&mut *listener, &other, run.id()).await, [None, Some(run.id().clone())], "it was interrupted");
}
