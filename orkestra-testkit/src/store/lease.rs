//! What `claim` and `release` must do.

use orkestra_core::model::{Epoch, RunId, Timestamp, WorkerId};
use orkestra_core::store::{Lease, Store};

use crate::sample::SampleRun;

use super::append::write;
use super::report::{ensure, same};
use super::{Breach, StoreFixture, Verdict};

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a worker's name")
}

fn run(id: &str) -> RunId {
    RunId::new(id).expect("a run's id")
}

async fn claim(store: &dyn Store, run: &RunId, worker: &WorkerId) -> Result<Lease, Breach> {
    let lease = store.claim(run, worker, FAR).await?;
    let lease = lease.ok_or_else(|| Breach(format!("`{run}` could not be claimed by `{worker}`")))?;
    same("whose lease it is", &(&lease.run, &lease.worker, lease.until), &(run, worker, FAR))?;
    Ok(lease)
}

/// A claim gives a higher epoch than any before it, also to the worker that holds the run, and for a run that is not
/// there yet.
///
/// # Errors
/// [`Breach`].
pub async fn claim_gives_ever_higher_epochs<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let (run, one) = (run("nobody"), worker("one"));
    let mut highest = Epoch(0);
    for _ in 0..10 {
        let lease = claim(&*store, &run, &one).await?;
        ensure(lease.epoch > highest, || format!("epoch {} after {highest}", lease.epoch))?;
        highest = lease.epoch;
        if highest.0.is_multiple_of(2) {
            store.release(&lease).await?;
        }
    }
    Ok(())
}

/// While one worker holds a run, another gets none; other runs are free.
///
/// # Errors
/// [`Breach`].
pub async fn claim_excludes_other_workers<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let (first, second) = (run("first"), run("second"));
    let lease = claim(&*store, &first, &worker("one")).await?;
    same("a claim of a held run", &store.claim(&first, &worker("two"), FAR).await?, &None)?;
    claim(&*store, &second, &worker("two")).await?;
    store.release(&lease).await?;
    claim(&*store, &first, &worker("two")).await?;
    same("a claim of the one before", &store.claim(&first, &worker("one"), FAR).await?, &None)
}

/// An epoch never comes back: not after a release, a deletion or reopening, whether anything was written or not.
///
/// # Errors
/// [`Breach`].
pub async fn claim_epochs_never_come_back<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let mut sample = SampleRun::new("r");
    let id = sample.id().clone();
    let mut highest = Epoch(0);
    for round in 0..4 {
        let store = fixture.open(&place).await;
        for _ in 0..3 {
            let lease = claim(&*store, &id, &worker("one")).await?;
            ensure(lease.epoch > highest, || format!("round {round}: epoch {} after {highest}", lease.epoch))?;
            highest = lease.epoch;
            store.release(&lease).await?;
        }
        if round == 1 {
            sample.set_epoch(highest);
            write(&*store, vec![sample.create()]).await?;
        }
        if round == 2 {
            store.delete(&id).await?;
            let lease = claim(&*store, &id, &worker("two")).await?;
            ensure(lease.epoch > highest, || format!("after deletion: epoch {} after {highest}", lease.epoch))?;
            highest = lease.epoch;
        }
        drop(store);
    }
    Ok(())
}

/// Releasing a lease that is not held any more changes nothing.
///
/// # Errors
/// [`Breach`].
pub async fn release_of_an_old_lease_changes_nothing<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let run = run("r");
    let old = claim(&*store, &run, &worker("one")).await?;
    let new = claim(&*store, &run, &worker("one")).await?;
    store.release(&old).await?;
    same("a claim after an old release", &store.claim(&run, &worker("two"), FAR).await?, &None)?;
    store.release(&new).await?;
    store.release(&new).await?;
    claim(&*store, &run, &worker("two")).await?;
    store.release(&new).await?;
    same("a claim after another's release", &store.claim(&run, &worker("three"), FAR).await?, &None)
}
