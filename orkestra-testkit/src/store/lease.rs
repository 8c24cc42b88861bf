//! What `claim`, `renew` and `release` must do.

use orkestra_core::model::{Epoch, RunId, Timestamp, WorkerId};
use orkestra_core::store::{AppendError, Lease, Store};

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
    let lease = store.claim(run, worker, Timestamp::ZERO, FAR).await?;
    let lease = lease.ok_or_else(|| Breach(format!("`{run}` could not be claimed by `{worker}`")))?;
    same("whose lease it is", &(&lease.run, &lease.worker, lease.until), &(run, worker, FAR))?;
    Ok(lease)
}

async fn claim_until(store: &dyn Store, run: &RunId, name: &str, now: u64, until: u64) -> Result<Lease, Breach> {
    let [now, until] = [now, until].map(Timestamp::from_millis);
    let lease = store.claim(run, &worker(name), now, until).await?;
    lease.ok_or_else(|| Breach(format!("`{run}` could not be claimed by `{name}` at {}", now.as_millis())))
}

/// Whether `name` gets the run at `now`.
async fn claimed(store: &dyn Store, run: &RunId, name: &str, now: u64) -> Result<bool, Breach> {
    Ok(store.claim(run, &worker(name), Timestamp::from_millis(now), FAR).await?.is_some())
}

/// 1. A claim gives a higher epoch than any before it, also to the worker that holds the run, and for a run that is not
///    there yet.
///
/// # Errors
/// [`Breach`].
pub async fn claim_1_gives_ever_higher_epochs<F: StoreFixture>(fixture: &F) -> Verdict {
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

/// 2. While one worker holds a run, another gets none; other runs are free.
///
/// # Errors
/// [`Breach`].
pub async fn claim_2_excludes_other_workers<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let (first, second) = (run("first"), run("second"));
    let lease = claim(&*store, &first, &worker("one")).await?;
    same("a claim of a held run", &claimed(&*store, &first, "two", 0).await?, &false)?;
    claim(&*store, &second, &worker("two")).await?;
    store.release(&lease).await?;
    claim(&*store, &first, &worker("two")).await?;
    same("a claim of the one before", &claimed(&*store, &first, "one", 0).await?, &false)
}

/// 1. An epoch never comes back: not after a release, a deletion or reopening, whether anything was written or not.
///
/// # Errors
/// [`Breach`].
pub async fn claim_1_epochs_never_come_back<F: StoreFixture>(fixture: &F) -> Verdict {
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

/// 3. A lease that has run out may be claimed by anybody, with a higher epoch; not a moment before.
///
/// # Errors
/// [`Breach`].
pub async fn claim_3_takes_over_what_has_run_out<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let run = run("r");
    let first = claim_until(&*store, &run, "one", 100, 200).await?;
    same("a claim a moment before it runs out", &claimed(&*store, &run, "two", 199).await?, &false)?;
    let second = claim_until(&*store, &run, "two", 200, 300).await?;
    ensure(second.epoch > first.epoch, || format!("epoch {} after {}", second.epoch, first.epoch))?;
    same("a claim of the one before", &claimed(&*store, &run, "one", 299).await?, &false)?;
    store.release(&first).await?;
    same("a claim after a release that came too late", &claimed(&*store, &run, "one", 299).await?, &false)?;
    same("a claim of whoever holds it", &claimed(&*store, &run, "two", 299).await?, &true)
}

/// 3. Once a lease was taken over, the old epoch is fenced, whether the new lease is held, has run out or was given back;
///    until then, a lease that has run out still writes.
///
/// # Errors
/// [`Breach`].
pub async fn claim_3_fences_whoever_held_it_before<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut sample = SampleRun::new("r");
    let first = claim_until(&*store, sample.id(), "one", 100, 200).await?;
    sample.set_epoch(first.epoch);
    write(&*store, vec![sample.create()]).await?;
    write(&*store, vec![sample.report(1)]).await?;
    let second = claim_until(&*store, sample.id(), "two", 500, 600).await?;
    let stale = sample.report(2);
    let fenced = vec![Err(AppendError::Fenced { held: second.epoch })];
    same("the old epoch while the new one holds", &store.append(vec![stale.clone()]).await, &fenced)?;
    store.release(&second).await?;
    same("the old epoch when the new one was given back", &store.append(vec![stale.clone()]).await, &fenced)?;
    let mut fresh = stale;
    fresh.commit.epoch = second.epoch;
    write(&*store, vec![fresh]).await
}

/// 1. A lease that was given back, or whose run was claimed with a newer epoch, is not renewed, and nothing changes;
///    each of several has its own answer.
///
/// # Errors
/// [`Breach`].
pub async fn renew_1_is_refused_when_the_lease_is_lost<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let (time, ids) = (Timestamp::from_millis, ["kept", "given", "lost", "again"].map(run));
    let mut leases = Vec::new();
    for id in &ids {
        leases.push(claim_until(&*store, id, "one", 100, 200).await?);
    }
    store.release(&leases[1]).await?;
    claim_until(&*store, &ids[2], "two", 200, 300).await?;
    claim_until(&*store, &ids[3], "one", 200, 300).await?;
    let answers = store.renew(&leases, time(200), time(900)).await?;
    same("the answers", &answers, &vec![true, false, false, false])?;
    same("a claim of what was renewed", &claimed(&*store, &ids[0], "three", 899).await?, &false)?;
    same("a claim of what was given back", &claimed(&*store, &ids[1], "three", 200).await?, &true)?;
    same("a claim of what was lost", &claimed(&*store, &ids[2], "three", 300).await?, &true)?;
    same("a claim of what was claimed again", &claimed(&*store, &ids[3], "three", 300).await?, &true)
}

/// 2. A renewed lease holds until its new time, keeps its epoch, and may be renewed though it had run out.
///
/// # Errors
/// [`Breach`].
pub async fn renew_2_holds_the_run<F: StoreFixture>(fixture: &F) -> Verdict {
    let store = fixture.open(&fixture.place().await).await;
    let (time, mut sample) = (Timestamp::from_millis, SampleRun::new("r"));
    let lease = claim_until(&*store, sample.id(), "one", 100, 200).await?;
    let leases = [lease.clone()];
    same("a renewal in time", &store.renew(&leases, time(150), time(300)).await?, &vec![true])?;
    same("a claim at the old end", &claimed(&*store, sample.id(), "two", 299).await?, &false)?;
    same("a renewal too late that nobody minded", &store.renew(&leases, time(700), time(800)).await?, &vec![true])?;
    same("a claim before the last end", &claimed(&*store, sample.id(), "two", 799).await?, &false)?;
    sample.set_epoch(lease.epoch);
    write(&*store, vec![sample.create()]).await?;
    claim_until(&*store, sample.id(), "two", 800, 900).await?;
    same("a renewal after it was lost", &store.renew(&leases, time(801), FAR).await?, &vec![false])
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
    same("a claim after an old release", &claimed(&*store, &run, "two", 0).await?, &false)?;
    store.release(&new).await?;
    store.release(&new).await?;
    claim(&*store, &run, &worker("two")).await?;
    store.release(&new).await?;
    same("a claim after another's release", &claimed(&*store, &run, "three", 0).await?, &false)
}
