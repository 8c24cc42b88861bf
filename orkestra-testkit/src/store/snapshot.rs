//! What `put_snapshot` and `snapshot` must do.

use orkestra_core::model::Seq;
use orkestra_core::store::Snapshot;

use crate::sample::SampleRun;

use super::append::write;
use super::report::same;
use super::{StoreFixture, TestResult};

fn snapshot(last: u64, bytes: usize) -> Snapshot {
    Snapshot { last: Seq(last), bytes: vec![last.to_le_bytes()[0]; bytes].into() }
}

/// A snapshot replaces the previous one, whatever the sizes; each run has its own.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn snapshot_is_replaced<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut runs = ["r", "r1"].map(SampleRun::new);
    for run in &mut runs {
        write(&*store, vec![run.create()]).await?;
    }
    let (r, r1) = (runs[0].id(), runs[1].id());
    same("the snapshot of a new run", &store.snapshot(r).await?, &None)?;
    store.put_snapshot(r1, &snapshot(9, 10)).await?;
    for (last, bytes) in [(3, 300_000), (2, 20), (7, 1_000_000), (8, 0)] {
        store.put_snapshot(r, &snapshot(last, bytes)).await?;
        same("the last snapshot", &store.snapshot(r).await?, &Some(snapshot(last, bytes)))?;
    }
    same("the other run's", &store.snapshot(r1).await?, &Some(snapshot(9, 10)))
}

/// A snapshot is deleted with its run.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn snapshot_goes_with_its_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    store.put_snapshot(run.id(), &snapshot(1, 10)).await?;
    store.delete(run.id()).await?;
    same("the snapshot of a deleted run", &store.snapshot(run.id()).await?, &None)?;
    write(&*store, vec![SampleRun::new("r").create()]).await?;
    same("the snapshot of a new run with the same id", &store.snapshot(run.id()).await?, &None)
}
