//! Concurrent workers on one database: each position of a journal is written once, by the worker that holds the run.

use std::sync::Arc;

use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{AppendError, DueQuery, LetterId, Store, StoreErrorKind, claim_one};
use orkestra_store::PostgresStore;
use orkestra_testkit::sample::SampleRun;
use tokio::sync::Barrier;

use super::support::Database;

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

/// The positions for which a worker got an acknowledgement.
type Acknowledged = Vec<(RunId, Seq)>;

fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("ORKESTRA_LONG").is_some() { long } else { short }
}

/// Repeatedly reads the journal and appends the next commit, claiming the run before each.
async fn drive(store: Arc<PostgresStore>, name: &str, runs: Vec<RunId>, times: usize) -> Acknowledged {
    let worker = WorkerId::new(name).expect("a worker's name");
    let mut acknowledged = Vec::new();
    for time in 0..times {
        let id = &runs[time % runs.len()];
        // All workers use the same time, after the end of every lease, so that each claim succeeds.
        let claimed = claim_one(&*store, id, &worker, Timestamp::from_millis(time as u64), Timestamp::ZERO).await;
        let Some(claimed) = claimed.expect("the store answers") else { continue };
        let journal = store.read(id, Seq(1), usize::MAX).await.expect("the store answers");
        let mut sample = SampleRun::resume(id, &journal).expect("a journal that can be replayed");
        sample.set_epoch(claimed.lease.epoch);
        let append = if journal.is_empty() { sample.create() } else { sample.report(time % 50) };
        let place = append.commit.first;
        match store.append(vec![append]).await.pop().expect("one answer") {
            Ok(()) => acknowledged.push((id.clone(), place)),
            Err(AppendError::Conflict { .. } | AppendError::Fenced { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_lets_only_one_worker_write_each_position() {
    let Some(database) = Database::new() else { return };
    let runs: Vec<_> = (0..3).map(|number| RunId::new(format!("r{number}")).expect("an id")).collect();
    let mut racing = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let store = Arc::new(database.open().await);
        racing.push(tokio::spawn(drive(store, name, runs.clone(), rounds(60, 600))));
    }
    let mut acknowledged = Vec::new();
    for task in racing {
        acknowledged.extend(task.await.expect("no worker panics"));
    }
    let store = database.open().await;
    let mut written = Vec::new();
    for run in &runs {
        let journal = store.read(run, Seq(1), usize::MAX).await.expect("it is read");
        SampleRun::resume(run, &journal).expect("a journal without gaps, each commit once");
        assert!(journal.is_sorted_by_key(|commit| commit.epoch), "no worker wrote after a newer one");
        written.extend(journal.into_iter().map(|commit| (commit.run, commit.first)));
    }
    acknowledged.sort();
    written.sort();
    assert!(!acknowledged.is_empty());
    assert_eq!(acknowledged, written, "exactly what was acknowledged is there, once");
}

/// Large batches over the same runs in opposite orders: no deadlock may fail one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_accepts_concurrent_batches_in_any_order() {
    let Some(database) = Database::new() else { return };
    let rounds = rounds(10, 200);
    let mut made: Vec<_> = (0..50).map(|number| SampleRun::new(&format!("r{number:02}"))).collect();
    let barrier = Arc::new(Barrier::new(3));
    let stores = [database.open().await, database.open().await, database.open().await].map(Arc::new);
    for round in 0..rounds {
        let batch: Vec<_> =
            made.iter_mut().map(|run| if round == 0 { run.create() } else { run.report(round) }).collect();
        let mut racing = Vec::new();
        for (number, store) in stores.iter().enumerate() {
            let (mut batch, store, barrier) = (batch.clone(), Arc::clone(store), Arc::clone(&barrier));
            batch.rotate_left(number * 17);
            if number == 1 {
                batch.reverse();
            }
            racing.push(tokio::spawn(async move {
                barrier.wait().await;
                store.append(batch).await
            }));
        }
        for task in racing {
            let answers = task.await.expect("no worker panics");
            // The commits are the same: a later batch finds them, even if its snapshot is older than its lock.
            assert!(answers.iter().all(Result::is_ok), "round {round}: {answers:?}");
        }
    }
}

/// Letters that arrive while others are taken: the run stays due until none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_overlooks_no_letter() {
    let Some(database) = Database::new() else { return };
    let (sender, driver) = (database.open().await, database.open().await);
    let mut run = SampleRun::new("r");
    assert_eq!(driver.append(vec![run.create()]).await, [Ok(())]);
    let mut parked = run.report(1);
    parked.record = Some(orkestra_core::store::RunRecord { wake_at: None, ..run.record() });
    assert_eq!(driver.append(vec![parked]).await, [Ok(())]);
    let id = run.id().clone();
    let count = rounds(200, 2_000);
    let sending = tokio::spawn(async move {
        for _ in 0..count {
            sender.send(&id, b"x").await.expect("it is sent");
        }
    });
    let (mut seen, mut after) = (0, LetterId::ZERO);
    while seen < count {
        let letters = driver.letters(run.id(), after, 7).await.expect("they are read");
        if letters.is_empty() {
            continue;
        }
        after = letters.last().expect("one at least").id;
        seen += letters.len();
        let mut append = run.report(1);
        append.taken = letters.iter().map(|letter| letter.id).collect();
        assert_eq!(driver.append(vec![append]).await, [Ok(())]);
        let (left, due) = (driver.letters(run.id(), LetterId::ZERO, 1).await, driver.due(&DueQuery::at(FAR, 9)).await);
        if !left.expect("they are read").is_empty() {
            assert_eq!(due.expect("it answers").runs.len(), 1, "a run with letters is due");
        }
    }
    sending.await.expect("the sender does not panic");
    assert_eq!(driver.due(&DueQuery::at(FAR, 9)).await.expect("it answers").runs, [], "the last one was taken");
    let unknown = driver.send(SampleRun::new("nobody").id(), b"x").await.map_err(|error| error.kind());
    assert_eq!(unknown, Err(StoreErrorKind::Invalid));
}
