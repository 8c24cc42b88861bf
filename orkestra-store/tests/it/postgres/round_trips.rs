//! The number of round trips: one for each frequent call. And the outcome of a call whose answer is lost.

use orkestra_core::model::{Timestamp, WorkerId};
use orkestra_core::store::{AppendError, DueQuery, LetterId, Store, StoreErrorKind};
use orkestra_store::{LeaseClock, PostgresStore};
use orkestra_testkit::sample::SampleRun;

use super::proxy::Proxy;
use super::support::{Database, over_tcp};

async fn open(database: &Database, proxy: &Proxy) -> PostgresStore {
    let options = database.options().with_lease_clock(LeaseClock::Database).with_connections(1);
    options.connect(&proxy.url(&database.url)).await.expect("the store opens")
}

/// Counts the round trips of a call.
macro_rules! crossings {
    ($proxy:expr, $call:expr) => {{
        let before = $proxy.round_trips();
        let answer = $call.await;
        (answer, $proxy.round_trips() - before)
    }};
}

#[tokio::test]
async fn postgres_calls_take_one_round_trip() {
    let Some(database) = over_tcp() else { return };
    let proxy = Proxy::open(&database.url).await;
    let store = open(&database, &proxy).await;
    let worker = WorkerId::new("w").expect("a worker's name");
    let (now, until) = (Timestamp::ZERO, Timestamp::from_millis(60_000));
    let mut runs: Vec<_> = (0..300).map(|number| SampleRun::new(&format!("r{number:03}"))).collect();
    // Only the second round counts: in the first, statements are prepared.
    for round in 0..2 {
        let (first, rest) = runs.split_at_mut(150);
        let runs = if round == 0 { first } else { rest };
        let ids: Vec<_> = runs.iter().map(|run| run.id().clone()).collect();
        let wanted = |crossings: usize, what: &str| {
            if round == 1 {
                assert_eq!(crossings, 1, "{what}");
            }
        };
        let (claimed, count) = crossings!(proxy, store.claim(&ids, &worker, now, until));
        wanted(count, "a claim of 150 runs");
        let claimed: Vec<_> = claimed.expect("it answers").into_iter().flatten().collect();
        let leases: Vec<_> = claimed.into_iter().map(|claimed| claimed.lease).collect();
        assert_eq!(leases.len(), 150);
        for (run, lease) in runs.iter_mut().zip(&leases) {
            run.set_epoch(lease.epoch);
        }
        let mut batch = Vec::new();
        for run in runs.iter_mut() {
            batch.extend([run.create(), run.report(1_000)]);
        }
        let (answers, count) = crossings!(proxy, store.append(batch));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        wanted(count, "two commits of each of 150 runs, of over 300 KB");
        let (answers, count) = crossings!(proxy, store.append(runs.iter_mut().map(|run| run.report(10)).collect()));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        wanted(count, "a commit without record of each of 150 runs");
        let lone = runs[0].report(10);
        let (answers, count) = crossings!(proxy, store.append(vec![lone.clone()]));
        assert_eq!(answers, [Ok(())]);
        wanted(count, "a lone commit");
        let (answers, count) = crossings!(proxy, store.append(vec![lone.clone(), runs[1].report(1)]));
        assert_eq!(answers, [Ok(()), Ok(())]);
        wanted(count, "a repeated commit beside another one");
        let mut early = runs[1].report(1);
        early.commit.first = early.commit.first.plus(1);
        early.commit.last = early.commit.last.plus(1);
        let (answers, count) = crossings!(proxy, store.append(vec![early, runs[2].report(1)]));
        assert!(matches!(answers[..], [Err(AppendError::Conflict { .. }), Ok(())]), "{answers:?}");
        wanted(count, "a commit with a gap beside another one");
        let (sent, count) = crossings!(proxy, store.send(&ids[0], b"x"));
        sent.expect("it is sent");
        wanted(count, "a letter");
        let (letters, count) = crossings!(proxy, store.letters(&ids[0], LetterId::ZERO, 9));
        assert_eq!(letters.expect("they are read").len(), 1);
        wanted(count, "letters");
        let (due, count) = crossings!(proxy, store.due(&DueQuery::at(now, 9)));
        due.expect("it answers");
        wanted(count, "what is due");
        let (renewed, count) = crossings!(proxy, store.renew(&leases, now, until));
        assert!(renewed.expect("it answers").iter().all(|renewed| renewed.held));
        wanted(count, "150 renewals");
        let (released, count) = crossings!(proxy, store.release(&leases));
        released.expect("it answers");
        wanted(count, "150 releases");
    }
    assert_eq!(proxy.connections(), 2, "one to check the schema, one to work with");
}

#[tokio::test]
async fn postgres_commits_without_an_answer_are_unknown_and_durable() {
    let Some(database) = over_tcp() else { return };
    let proxy = Proxy::open(&database.url).await;
    let store = open(&database, &proxy).await;
    let mut run = SampleRun::new("r");
    let (created, next) = (run.create(), run.report(1));
    assert_eq!(store.append(vec![created.clone()]).await, [Ok(())]);
    proxy.drop_answers(true);
    let answers = store.append(vec![next.clone()]).await;
    assert!(matches!(answers[..], [Err(AppendError::Unknown(_))]), "{answers:?}");
    // Now not even a connection can be made: nothing was sent.
    let answers = store.append(vec![run.report(2)]).await;
    let kinds: Vec<_> = answers.iter().map(|answer| matches!(answer, Err(AppendError::Failed(_)))).collect();
    assert_eq!(kinds, [true], "{answers:?}");
    let read = store.read(run.id(), created.commit.first, 9).await;
    assert_eq!(read.map_err(|error| error.kind()), Err(StoreErrorKind::Io));
    proxy.drop_answers(false);
    assert_eq!(store.append(vec![next.clone()]).await, [Ok(())], "the commit is there already, or follows");
    let read = store.read(run.id(), created.commit.first, 9).await.expect("it is read");
    assert_eq!(read, [created.commit, next.commit]);
}
