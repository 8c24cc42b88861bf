//! What `claim`, `renew` and `release` must do.

use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{AppendError, Lease, LeaseState, Store, claim_one};

use crate::sample::SampleRun;

use super::append::write;
use super::report::{ensure, same};
use super::{Breach, StoreFixture, TestResult};

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a worker's name")
}

fn run(id: &str) -> RunId {
    RunId::new(id).expect("a run's id")
}

async fn claim(store: &dyn Store, run: &RunId, worker: &WorkerId) -> Result<Lease, Breach> {
    let claimed = claim_one(store, run, worker, Timestamp::ZERO, FAR).await?;
    let lease = claimed.ok_or_else(|| Breach(format!("`{run}` could not be claimed by `{worker}`")))?.lease;
    same("whose lease it is", &(&lease.run, &lease.worker, lease.until), &(run, worker, FAR))?;
    Ok(lease)
}

async fn claim_until(store: &dyn Store, run: &RunId, name: &str, now: u64, until: u64) -> Result<Lease, Breach> {
    let [now, until] = [now, until].map(Timestamp::from_millis);
    let claimed = claim_one(store, run, &worker(name), now, until).await?;
    let lease = claimed.map(|claimed| claimed.lease);
    lease.ok_or_else(|| Breach(format!("`{run}` could not be claimed by `{name}` at {}", now.as_millis())))
}

/// Whether `name` can claim the run at `now`.
async fn claimed(store: &dyn Store, run: &RunId, name: &str, now: u64) -> Result<bool, Breach> {
    Ok(claim_one(store, run, &worker(name), Timestamp::from_millis(now), FAR).await?.is_some())
}

/// Which of the leases are still held when they are renewed.
async fn held(store: &dyn Store, leases: &[Lease], now: u64, until: Timestamp) -> Result<Vec<bool>, Breach> {
    let renewed = store.renew(leases, Timestamp::from_millis(now), until).await?;
    Ok(renewed.into_iter().map(|renewed| renewed.held).collect())
}

/// 1. A claim gives a higher epoch than any earlier claim, also to the worker that already holds the run, and for a run that does
///    not exist yet.
///
/// # Errors
/// [`Breach`].
pub async fn claim_1_gives_ever_higher_epochs<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (run, one) = (run("nobody"), worker("one"));
    let mut highest = Epoch(0);
    for _ in 0..10 {
        let lease = claim(&*store, &run, &one).await?;
        ensure(lease.epoch > highest, || format!("epoch {} after {highest}", lease.epoch))?;
        highest = lease.epoch;
        if highest.0.is_multiple_of(2) {
            store.release(std::slice::from_ref(&lease)).await?;
        }
    }
    Ok(())
}

/// 2. While one worker holds a run, another cannot claim it; other runs are free.
///
/// # Errors
/// [`Breach`].
pub async fn claim_2_excludes_other_workers<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (first, second) = (run("first"), run("second"));
    let lease = claim(&*store, &first, &worker("one")).await?;
    same("a claim of a held run", &claimed(&*store, &first, "two", 0).await?, &false)?;
    claim(&*store, &second, &worker("two")).await?;
    store.release(std::slice::from_ref(&lease)).await?;
    claim(&*store, &first, &worker("two")).await?;
    same("a claim of the previous owner", &claimed(&*store, &first, "one", 0).await?, &false)
}

/// 1. An epoch is never reused: not after a release, a deletion or reopening, whether anything was written or not.
///
/// # Errors
/// [`Breach`].
pub async fn claim_1_epochs_never_come_back<F: StoreFixture>(fixture: &F) -> TestResult {
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
            store.release(std::slice::from_ref(&lease)).await?;
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
            // A store that several processes can open keeps leases while none has it open.
            store.release(&[lease]).await?;
        }
        drop(store);
    }
    Ok(())
}

/// 3. A run whose lease has expired can be claimed by any worker, with a higher epoch, but not a moment earlier.
///
/// # Errors
/// [`Breach`].
pub async fn claim_3_takes_over_what_has_run_out<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let run = run("r");
    let first = claim_until(&*store, &run, "one", 100, 200).await?;
    same("a claim a moment before it expires", &claimed(&*store, &run, "two", 199).await?, &false)?;
    let second = claim_until(&*store, &run, "two", 200, 300).await?;
    ensure(second.epoch > first.epoch, || format!("epoch {} after {}", second.epoch, first.epoch))?;
    same("a claim of the previous owner", &claimed(&*store, &run, "one", 299).await?, &false)?;
    store.release(std::slice::from_ref(&first)).await?;
    same("a claim after a release that came too late", &claimed(&*store, &run, "one", 299).await?, &false)?;
    same("a claim of its owner", &claimed(&*store, &run, "two", 299).await?, &true)
}

/// 3. Once a run was claimed again, the old epoch is fenced, whether the new lease is live, expired or released. Until then, an
///    expired lease can still write.
///
/// # Errors
/// [`Breach`].
pub async fn claim_3_fences_the_previous_owner<F: StoreFixture>(fixture: &F) -> TestResult {
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
    same("the old epoch while the new lease is live", &store.append(vec![stale.clone()]).await, &fenced)?;
    store.release(std::slice::from_ref(&second)).await?;
    same("the old epoch after the new lease was released", &store.append(vec![stale.clone()]).await, &fenced)?;
    let mut fresh = stale;
    fresh.commit.epoch = second.epoch;
    write(&*store, vec![fresh]).await
}

/// 1. A lease that was released, or whose run was claimed with a newer epoch, is not renewed, and nothing changes. Each lease in
///    a call has its own answer.
///
/// # Errors
/// [`Breach`].
pub async fn renew_1_is_refused_when_the_lease_is_lost<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (time, ids) = (Timestamp::from_millis, ["kept", "given", "lost", "again"].map(run));
    let mut leases = Vec::new();
    for id in &ids {
        leases.push(claim_until(&*store, id, "one", 100, 200).await?);
    }
    store.release(&leases[1..2]).await?;
    claim_until(&*store, &ids[2], "two", 200, 300).await?;
    claim_until(&*store, &ids[3], "one", 200, 300).await?;
    let answers = held(&*store, &leases, 200, time(900)).await?;
    same("the answers", &answers, &vec![true, false, false, false])?;
    same("a claim of the renewed run", &claimed(&*store, &ids[0], "three", 899).await?, &false)?;
    same("a claim of the released run", &claimed(&*store, &ids[1], "three", 200).await?, &true)?;
    same("a claim of the lost run", &claimed(&*store, &ids[2], "three", 300).await?, &true)?;
    same("a claim of the run that was claimed again", &claimed(&*store, &ids[3], "three", 300).await?, &true)
}

/// 2. A renewed lease is live until its new time and keeps its epoch; an expired lease can be renewed if the run was not claimed
///    meanwhile.
///
/// # Errors
/// [`Breach`].
pub async fn renew_2_holds_the_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (time, mut sample) = (Timestamp::from_millis, SampleRun::new("r"));
    let lease = claim_until(&*store, sample.id(), "one", 100, 200).await?;
    let leases = [lease.clone()];
    same("a renewal in time", &held(&*store, &leases, 150, time(300)).await?, &vec![true])?;
    same("a claim at the old end", &claimed(&*store, sample.id(), "two", 299).await?, &false)?;
    same("a late renewal of an unclaimed run", &held(&*store, &leases, 700, time(800)).await?, &vec![true])?;
    same("a claim before the last end", &claimed(&*store, sample.id(), "two", 799).await?, &false)?;
    sample.set_epoch(lease.epoch);
    write(&*store, vec![sample.create()]).await?;
    claim_until(&*store, sample.id(), "two", 800, 900).await?;
    same("a renewal after it was lost", &held(&*store, &leases, 801, FAR).await?, &vec![false])
}

/// Releasing a lease that is no longer held changes nothing.
///
/// # Errors
/// [`Breach`].
pub async fn release_of_an_old_lease_changes_nothing<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let run = run("r");
    let old = claim(&*store, &run, &worker("one")).await?;
    let new = claim(&*store, &run, &worker("one")).await?;
    store.release(std::slice::from_ref(&old)).await?;
    same("a claim after an old release", &claimed(&*store, &run, "two", 0).await?, &false)?;
    store.release(std::slice::from_ref(&new)).await?;
    store.release(std::slice::from_ref(&new)).await?;
    claim(&*store, &run, &worker("two")).await?;
    store.release(std::slice::from_ref(&new)).await?;
    same("a claim after another's release", &claimed(&*store, &run, "three", 0).await?, &false)
}

/// Many runs can be claimed, renewed and released in one call: each has its own answer, in the order of the call, and a claim
/// says where the journal ends.
///
/// # Errors
/// [`Breach`].
pub async fn claim_answers_many_at_once<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut sample = SampleRun::new("long");
    write(&*store, vec![sample.create(), sample.report(1)]).await?;
    let runs = ["new", "taken", "long"].map(run);
    claim(&*store, &runs[1], &worker("two")).await?;
    let claimed = store.claim(&runs, &worker("one"), Timestamp::ZERO, FAR).await?;
    let told: Vec<_> = claimed.iter().map(|claimed| claimed.as_ref().map(|claimed| claimed.last)).collect();
    let end = sample.last();
    same("where the journals end", &told, &vec![Some(Seq::ZERO), None, Some(end)])?;
    let leases: Vec<_> = claimed.into_iter().flatten().map(|claimed| claimed.lease).collect();
    let named: Vec<_> = leases.iter().map(|lease| lease.run.clone()).collect();
    same("whose leases they are", &named, &vec![runs[0].clone(), runs[2].clone()])?;
    same("a renewal of all", &held(&*store, &leases, 1, FAR).await?, &vec![true, true])?;
    store.release(&leases).await?;
    same("a claim of the first", &claimed_by(&*store, &runs, "three").await?, &vec![true, false, true])
}

async fn claimed_by(store: &dyn Store, runs: &[RunId], name: &str) -> Result<Vec<bool>, Breach> {
    let claimed = store.claim(runs, &worker(name), Timestamp::ZERO, FAR).await?;
    Ok(claimed.iter().map(Option::is_some).collect())
}

/// 4. When workers claim the same runs at the same time, each run goes to at most one of them, and no claim blocks forever.
///
/// # Errors
/// [`Breach`].
pub async fn claim_4_of_many_at_once_each_run_goes_to_one<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let runs: Vec<_> = (0..40).map(|number| run(&format!("r{number}"))).collect();
    let backward: Vec<_> = runs.iter().rev().cloned().collect();
    let (one, two, three) = tokio::try_join!(
        claimed_by(&*store, &runs, "one"),
        claimed_by(&*store, &backward, "two"),
        claimed_by(&*store, &runs, "three")
    )?;
    let backward = two.iter().rev();
    for (((run, one), two), three) in runs.iter().zip(&one).zip(backward).zip(&three) {
        let owners = [one, two, three].into_iter().filter(|claimed| **claimed).count();
        ensure(owners <= 1, || format!("`{run}` was given to {owners} workers"))?;
    }
    // A run that no worker got, because another was just trying, is free.
    let rest = claimed_by(&*store, &runs, "four").await?;
    let owned = |number: usize| one[number] || two[runs.len() - 1 - number] || three[number] || rest[number];
    ensure((0..runs.len()).all(owned), || "a run cannot be claimed by any worker".to_owned())
}

/// Releasing all leases of a worker frees those runs and no others.
///
/// # Errors
/// [`Breach`].
pub async fn release_all_frees_the_runs_of_one_worker<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let runs = ["a", "b", "c"].map(run);
    same("the first claim", &claimed_by(&*store, &runs[..2], "one").await?, &vec![true, true])?;
    same("the second claim", &claimed_by(&*store, &runs[2..], "two").await?, &vec![true])?;
    store.release_all(&worker("one")).await?;
    store.release_all(&worker("nobody")).await?;
    same("a claim of all", &claimed_by(&*store, &runs, "three").await?, &vec![true, true, false])
}

/// Who holds the run at `now`, by worker and epoch, and until when.
async fn holder(store: &dyn Store, run: &RunId, now: u64) -> Result<Option<(String, Epoch, u64)>, Breach> {
    match store.lease(run, Timestamp::from_millis(now)).await? {
        LeaseState::Free => Ok(None),
        LeaseState::Held(lease) => {
            same("whose lease it is", &lease.run, run)?;
            Ok(Some((lease.worker.to_string(), lease.epoch, lease.until.as_millis())))
        }
        unknown => Err(Breach(format!("a store of the suite says who holds a run, this one says {unknown:?}"))),
    }
}

/// 1. The lease that is held is told with its worker, its epoch, and until when it was claimed or renewed last.
///
/// # Errors
/// [`Breach`].
pub async fn lease_1_is_the_one_that_is_held<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (time, mut sample) = (Timestamp::from_millis, SampleRun::new("r"));
    let other = run("other");
    let first = claim_until(&*store, sample.id(), "one", 100, 200).await?;
    let elsewhere = claim_until(&*store, &other, "two", 100, 500).await?;
    let one = |lease: &Lease, until| Some((lease.worker.to_string(), lease.epoch, until));
    same("the lease of a run without a journal", &holder(&*store, sample.id(), 150).await?, &one(&first, 200))?;
    sample.set_epoch(first.epoch);
    write(&*store, vec![sample.create()]).await?;
    same("the lease after a commit", &holder(&*store, sample.id(), 199).await?, &one(&first, 200))?;
    same("a renewal", &held(&*store, std::slice::from_ref(&first), 150, time(300)).await?, &vec![true])?;
    same("the lease after its renewal", &holder(&*store, sample.id(), 299).await?, &one(&first, 300))?;
    let again = claim_until(&*store, sample.id(), "one", 250, 400).await?;
    same("the lease after another claim", &holder(&*store, sample.id(), 250).await?, &one(&again, 400))?;
    let taken = claim_until(&*store, sample.id(), "three", 400, 600).await?;
    same("the lease of the engine that took it over", &holder(&*store, sample.id(), 400).await?, &one(&taken, 600))?;
    same("the lease of another run", &holder(&*store, &other, 400).await?, &one(&elsewhere, 500))
}

/// 2. There is no lease when it was released, has run out, or the run was deleted; looking at it changes nothing.
///
/// # Errors
/// [`Breach`].
pub async fn lease_2_is_none_when_no_engine_holds_the_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let (time, mut sample) = (Timestamp::from_millis, SampleRun::new("r"));
    let none = None;
    same("the lease of a run that does not exist", &holder(&*store, &run("nobody"), 0).await?, &none)?;
    write(&*store, vec![sample.create()]).await?;
    same("the lease of a run that was never claimed", &holder(&*store, sample.id(), 0).await?, &none)?;
    let lease = claim_until(&*store, sample.id(), "one", 100, 200).await?;
    same("the lease when it runs out", &holder(&*store, sample.id(), 200).await?, &none)?;
    same("a renewal too late", &held(&*store, std::slice::from_ref(&lease), 250, time(300)).await?, &vec![true])?;
    store.release(&[lease]).await?;
    same("the lease after its release", &holder(&*store, sample.id(), 250).await?, &none)?;
    claim_until(&*store, sample.id(), "two", 250, 300).await?;
    store.release_all(&worker("two")).await?;
    same("the lease after the release of all", &holder(&*store, sample.id(), 250).await?, &none)?;
    claim_until(&*store, sample.id(), "three", 250, 300).await?;
    store.delete(sample.id()).await?;
    same("the lease of a deleted run", &holder(&*store, sample.id(), 250).await?, &none)
}
