//! What `delete` must do.

use orkestra_core::model::{Timestamp, WorkerId};
use orkestra_core::store::{RunQuery, claim_one};

use crate::sample::SampleRun;

use super::append::{due_ids, journal, write};
use super::report::{ensure, same};
use super::{StoreFixture, TestResult};

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

/// Deleting a run durably removes its journal, record, list entries, wake-up time and lease, and nothing of other runs.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn delete_removes_all_of_a_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (mut gone, mut other) = (SampleRun::new("r").with_label("org", "o1"), SampleRun::new("r-other"));
    let worker = WorkerId::new("w").expect("a worker's name");
    write(&*store, vec![gone.create(), gone.report(10), gone.report(100_000), other.create()]).await?;
    claim_one(&*store, gone.id(), &worker, Timestamp::ZERO, FAR).await?;
    store.delete(gone.id()).await?;
    let another = WorkerId::new("another").expect("a worker's name");
    ensure(claim_one(&*store, gone.id(), &another, Timestamp::ZERO, FAR).await?.is_some(), || {
        "a deleted run is still leased".into()
    })?;
    drop(store);
    let store = fixture.open(&place).await;
    same("the journal", &journal(&*store, gone.id()).await?, &Vec::new())?;
    same("the record", &store.record(gone.id()).await?, &None)?;
    same("all runs", &store.list(&RunQuery::default()).await?.items, &vec![other.record()])?;
    let labelled = RunQuery { labels: [("org".into(), "o1".into())].into(), ..RunQuery::default() };
    same("runs of its label", &store.list(&labelled).await?.items, &Vec::new())?;
    same("what is due", &due_ids(&*store).await?, &vec![other.id().clone()])?;
    same("the other's journal", &journal(&*store, other.id()).await?.len(), &1)
}

/// A new run with the id of a deleted one can be created, and sees nothing of the old one.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn delete_makes_room_for_a_new_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut old = SampleRun::new("r").with_label("org", "o1");
    write(&*store, vec![old.create(), old.report(1), old.complete()]).await?;
    store.delete(old.id()).await?;
    let mut new = SampleRun::new("r").at(5_000);
    let (created, reported) = (new.create(), new.report(7));
    write(&*store, vec![created.clone()]).await?;
    write(&*store, vec![reported.clone()]).await?;
    same("the journal", &journal(&*store, new.id()).await?, &vec![created.commit, reported.commit])?;
    same("all runs", &store.list(&RunQuery::default()).await?.items, &vec![new.record()])
}

/// Deleting a run that does not exist changes nothing.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn delete_of_nothing_is_fine<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    store.delete(SampleRun::new("nobody").id()).await?;
    same("the record", &store.record(run.id()).await?, &Some(run.record()))
}
