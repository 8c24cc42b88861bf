//! What `append` must do.

use orkestra_core::journal::Written;
use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Append, AppendError, DueQuery, Refusal, RunQuery, RunRecord, Store, claim_one};

use crate::sample::{SampleRun, with_wake_at};

use super::report::{ensure, same};
use super::{Breach, StoreFixture, TestResult};

/// Appends commits that must all be accepted.
pub(super) async fn write(store: &dyn Store, batch: Vec<Append>) -> TestResult {
    let count = batch.len();
    let answers = store.append(batch).await;
    same("answers", &answers.len(), &count)?;
    answers.into_iter().try_for_each(|answer| answer.map_err(Breach::from))
}

/// The whole journal of a run.
pub(super) async fn journal(store: &dyn Store, run: &RunId) -> Result<Vec<Written>, Breach> {
    Ok(store.read(run, Seq(1), usize::MAX).await?)
}

/// The runs that are due at the end of time, at most nine.
pub(super) async fn due_ids(store: &dyn Store) -> Result<Vec<RunId>, Breach> {
    let due = store.due(&DueQuery::at(Timestamp::from_millis(u64::MAX), 9)).await?;
    Ok(due.runs.into_iter().map(|place| place.id).collect())
}

fn commits(appends: &[Append]) -> Vec<Written> {
    appends.iter().map(|append| append.commit.clone()).collect()
}

/// 1. All events of a commit become durable, or none.
///
/// Tests that a commit of several events is read as one, complete, before and after reopening. That a crash leaves all of it
/// or none must be tested by killing a process, which each store does in its own tests.
///
/// # Errors
/// [`Breach`].
pub async fn append_1_all_events_of_a_commit_are_there_or_none<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let all = vec![run.create(), run.report(10), run.complete()];
    ensure(all[0].commit.last > Seq(1), || "the sample's first commit should have several events".into())?;
    write(&*store, all.clone()).await?;
    same("the journal", &journal(&*store, run.id()).await?, &commits(&all))?;
    drop(store);
    let store = fixture.open(&place).await;
    same("the journal after reopening", &journal(&*store, run.id()).await?, &commits(&all))
}

/// 2. `Ok` means durable: what was acknowledged is there after reopening, with its record and indexes.
///
/// # Errors
/// [`Breach`].
pub async fn append_2_ok_means_durable<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let mut run = SampleRun::new("r").with_label("org", "o1");
    let mut all = Vec::new();
    for _ in 0..5 {
        let store = fixture.open(&place).await;
        same("the journal", &journal(&*store, run.id()).await?, &commits(&all))?;
        let append = if all.is_empty() { run.create() } else { run.report(100) };
        write(&*store, vec![append.clone()]).await?;
        all.push(append);
        drop(store);
    }
    let store = fixture.open(&place).await;
    same("the journal", &journal(&*store, run.id()).await?, &commits(&all))?;
    same("the record", &store.record(run.id()).await?, &Some(run.record()))?;
    let query = RunQuery { labels: [("org".into(), "o1".into())].into(), ..RunQuery::default() };
    same("the list", &store.list(&query).await?.items, &vec![run.record()])
}

/// 3. A commit that does not follow the last position of its run is a `Conflict`; the first commit of a run is at 1.
///
/// # Errors
/// [`Breach`].
pub async fn append_3_a_commit_that_does_not_follow_is_a_conflict<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let (created, second, third) = (run.create(), run.report(1), run.report(2));
    let conflict = |last: Seq| vec![Err(AppendError::Conflict { last })];
    same("a run whose first commit is missing", &store.append(vec![second.clone()]).await, &conflict(Seq::ZERO))?;
    write(&*store, vec![created.clone()]).await?;
    let last = created.commit.last;
    same("a gap", &store.append(vec![third.clone()]).await, &conflict(last))?;
    let mut other = SampleRun::new("r").with_label("another", "start");
    same("another first commit", &store.append(vec![other.create()]).await, &conflict(last))?;
    let inside = Append {
        commit: Written { first: Seq(2), last: Seq(2), ..second.commit.clone() },
        record: None,
        taken: Vec::new(),
    };
    same("a commit inside another", &store.append(vec![inside]).await, &conflict(last))?;
    write(&*store, vec![second.clone()]).await?;
    let again = Append {
        commit: Written { body: third.commit.body.clone(), ..second.commit.clone() },
        record: None,
        taken: Vec::new(),
    };
    same("another body in its place", &store.append(vec![again]).await, &conflict(second.commit.last))?;
    same("the journal", &journal(&*store, run.id()).await?, &commits(&[created, second]))
}

/// 3. Earlier commits in the same batch count, if they were accepted.
///
/// # Errors
/// [`Breach`].
pub async fn append_3_commits_before_it_in_the_batch_count<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let (created, second, third, fourth) = (run.create(), run.report(1), run.report(2), run.report(3));
    let last = second.commit.last;
    let batch = vec![created.clone(), second.clone(), fourth.clone(), third.clone()];
    let wanted = vec![Ok(()), Ok(()), Err(AppendError::Conflict { last }), Ok(())];
    same("a batch with one too early", &store.append(batch).await, &wanted)?;
    write(&*store, vec![fourth.clone()]).await?;
    same("the journal", &journal(&*store, run.id()).await?, &commits(&[created, second, third, fourth]))
}

/// 4. A commit of an older epoch than that of the last claim is `Fenced`, also if it follows the last position.
///
/// # Errors
/// [`Breach`].
pub async fn append_4_an_older_epoch_is_fenced<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (mut run, now, until) = (SampleRun::new("r"), Timestamp::ZERO, Timestamp::from_millis(u64::MAX));
    let [one, two] = ["one", "two"].map(|name| WorkerId::new(name).expect("a worker's name"));
    let missing = || Breach("a free run could not be claimed".into());
    let old = claim_one(&*store, run.id(), &one, now, until).await?.ok_or_else(missing)?.lease;
    run.set_epoch(old.epoch);
    write(&*store, vec![run.create()]).await?;
    store.release(std::slice::from_ref(&old)).await?;
    let new = claim_one(&*store, run.id(), &two, now, until).await?.ok_or_else(missing)?.lease;
    let stale = run.report(1);
    let fenced = vec![Err(AppendError::Fenced { held: new.epoch })];
    same("a commit of the old epoch", &store.append(vec![stale.clone()]).await, &fenced)?;
    let mut never = stale.clone();
    never.commit.epoch = Epoch(0);
    same("a commit of no epoch", &store.append(vec![never]).await, &fenced)?;
    let mut fresh = stale;
    fresh.commit.epoch = new.epoch;
    write(&*store, vec![fresh]).await?;
    store.release(&[new]).await?;
    let mut late = run.report(2);
    late.commit.epoch = old.epoch;
    same("a commit of the old epoch after the new one was released", &store.append(vec![late]).await, &fenced)
}

/// 4. Only claims fence. A journal from another store has that store's epochs, which may be higher than any in this store: it
///    is accepted, and a worker that claims the run can continue it.
///
/// # Errors
/// [`Breach`].
pub async fn append_4_the_epochs_of_a_journal_do_not_fence<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (mut run, now, until) = (SampleRun::new("r"), Timestamp::ZERO, Timestamp::from_millis(u64::MAX));
    let worker = WorkerId::new("one").expect("a worker's name");
    run.set_epoch(Epoch(1 << 62));
    let mut all = vec![run.create(), run.report(1)];
    write(&*store, all.clone()).await?;
    let mut open = Some(store);
    for _ in 0..2 {
        let store = open.take().expect("it is opened again below");
        let missing = || Breach("a free run could not be claimed".into());
        let lease = claim_one(&*store, run.id(), &worker, now, until).await?.ok_or_else(missing)?.lease;
        run.set_epoch(lease.epoch);
        let append = run.report(2);
        write(&*store, vec![append.clone()]).await?;
        all.push(append);
        store.release(&[lease]).await?;
        drop(store);
        open = Some(fixture.open(&place).await);
    }
    let store = open.expect("it is opened again above");
    same("the journal", &journal(&*store, run.id()).await?, &commits(&all))
}

/// 5. A commit that already exists with the same body is answered with `Ok` and not written again.
///
/// # Errors
/// [`Breach`].
pub async fn append_5_a_repeated_commit_is_there_already<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let (created, second, third) = (run.create(), run.report(1), run.report(2));
    write(&*store, vec![created.clone(), second.clone()]).await?;
    write(&*store, vec![second.clone()]).await?;
    write(&*store, vec![created.clone(), second.clone()]).await?;
    write(&*store, vec![third.clone(), third.clone(), created.clone()]).await?;
    drop(store);
    let store = fixture.open(&place).await;
    write(&*store, vec![third.clone()]).await?;
    same("the journal", &journal(&*store, run.id()).await?, &commits(&[created, second, third]))
}

/// 5. A repeated commit is not written again, and neither is its record, which may be outdated.
///
/// # Errors
/// [`Breach`].
pub async fn append_5_a_repeat_changes_no_record<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let created = run.create();
    write(&*store, vec![created.clone(), run.complete()]).await?;
    write(&*store, vec![created]).await?;
    same("the record", &store.record(run.id()).await?, &Some(run.record()))?;
    same("runs that are due", &due_ids(&*store).await?, &Vec::new())
}

/// 8. The record changes together with its commit, and so does every index made from it.
///
/// # Errors
/// [`Breach`].
pub async fn append_8_record_and_indexes_change_with_their_commit<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![with_wake_at(run.create(), Some(50))]).await?;
    let created: Option<RunRecord> = store.record(run.id()).await?;
    same("when it is due", &created.and_then(|record| record.wake_at), &Some(Timestamp::from_millis(50)))?;
    same("runs that are due", &due_ids(&*store).await?, &vec![run.id().clone()])?;
    let running = RunQuery { statuses: [run.record().status].into(), ..RunQuery::default() };
    same("running runs", &store.list(&running).await?.items.len(), &1)?;
    write(&*store, vec![run.report(1)]).await?;
    same("runs that are still due", &due_ids(&*store).await?, &vec![run.id().clone()])?;
    // Two records of one run in one batch: the last one counts, and the other leaves nothing behind.
    let mut middle = run.report(1);
    middle.record = Some(RunRecord { wake_at: Some(Timestamp::from_millis(70)), ..run.record() });
    write(&*store, vec![middle, run.complete()]).await?;
    same("the record", &store.record(run.id()).await?, &Some(run.record()))?;
    same("runs that are due at last", &due_ids(&*store).await?, &Vec::new())?;
    same("running runs at last", &store.list(&running).await?.items, &Vec::new())?;
    let ended = RunQuery { statuses: [run.record().status].into(), ..RunQuery::default() };
    same("ended runs", &store.list(&ended).await?.items, &vec![run.record()])
}

/// 8. A commit that is refused changes no record and no index.
///
/// # Errors
/// [`Breach`].
pub async fn append_8_nothing_changes_with_a_refused_commit<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    let before = store.record(run.id()).await?;
    run.report(1);
    let answers = store.append(vec![run.complete()]).await;
    ensure(matches!(answers[..], [Err(AppendError::Conflict { .. })]), || format!("a gap: {answers:?}"))?;
    same("the record", &store.record(run.id()).await?, &before)?;
    let mut other = SampleRun::new("other");
    other.create();
    let answers = store.append(vec![other.complete()]).await;
    ensure(matches!(answers[..], [Err(AppendError::Conflict { .. })]), || {
        format!("a run whose first commit is missing: {answers:?}")
    })?;
    same("a record of a run that was never created", &store.record(other.id()).await?, &None)?;
    let headless = Append { record: None, ..SampleRun::new("headless").create() };
    let answers = store.append(vec![headless]).await;
    ensure(matches!(answers[..], [Err(AppendError::Failed(_))]), || {
        format!("a first commit without record: {answers:?}")
    })?;
    let foreign = Append { record: Some(run.record()), ..SampleRun::new("third").create() };
    let answers = store.append(vec![foreign]).await;
    ensure(matches!(answers[..], [Err(AppendError::Failed(_))]), || format!("another run's record: {answers:?}"))?;
    same("all runs", &store.list(&RunQuery::default()).await?.items.len(), &1)
}

/// 9. A refused commit does not fail other runs' commits in the same batch.
///
/// # Errors
/// [`Breach`].
pub async fn append_9_a_refused_commit_fails_no_other<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (mut good, mut bad) = (SampleRun::new("good"), SampleRun::new("bad"));
    let (created, reported) = (good.create(), good.report(1));
    bad.create();
    let headless = Append { record: None, ..SampleRun::new("headless").create() };
    let answers = store.append(vec![bad.report(1), created.clone(), headless, reported.clone()]).await;
    let taken: Vec<_> = answers.iter().map(Result::is_ok).collect();
    same("which were accepted", &taken, &vec![false, true, false, true])?;
    same("the good journal", &journal(&*store, good.id()).await?, &commits(&[created, reported]))?;
    same("the bad journal", &journal(&*store, bad.id()).await?, &Vec::new())
}

/// 10. A commit without events, a first commit without record, and a commit with the record of another run are refused, and change
///     nothing.
///
/// # Errors
/// [`Breach`].
pub async fn append_10_invalid_commits_are_refused<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    let created = run.create();
    let (id, mut other) = (run.id().clone(), SampleRun::new("other"));
    other.create();
    let empty = |mut append: Append| {
        append.commit.last = Seq(append.commit.first.0 - 1);
        append
    };
    let headless = Append { record: None, ..created.clone() };
    let foreign = |append: &Append| Append { record: Some(other.record()), ..append.clone() };
    let to_other = Refusal::OtherRecord { run: id.clone(), other: other.id().clone() };
    refuse(&*store, "a first commit without events", empty(created.clone()), Refusal::NoEvents(id.clone())).await?;
    refuse(&*store, "a first commit without record", headless, Refusal::NoRecord(id.clone())).await?;
    refuse(&*store, "a first commit with another run's record", foreign(&created), to_other.clone()).await?;
    same("the journal", &journal(&*store, &id).await?, &Vec::new())?;
    write(&*store, vec![created.clone()]).await?;
    let second = run.report(1);
    refuse(&*store, "a second commit without events", empty(second.clone()), Refusal::NoEvents(id.clone())).await?;
    refuse(&*store, "a second commit with another run's record", foreign(&second), to_other).await?;
    same("the journal after it", &journal(&*store, &id).await?, &commits(std::slice::from_ref(&created)))?;
    write(&*store, vec![second.clone()]).await?;
    same("the journal at last", &journal(&*store, &id).await?, &commits(&[created, second]))
}

async fn refuse(store: &dyn Store, what: &str, append: Append, wanted: Refusal) -> TestResult {
    same(what, &store.append(vec![append]).await, &vec![Err(wanted.into())])
}

/// The answers are in the order of the batch, however large it is.
///
/// # Errors
/// [`Breach`].
pub async fn append_answers_in_the_order_of_a_large_batch<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut runs: Vec<_> = (0..200).map(|number| SampleRun::new(&format!("r{number}"))).collect();
    let creations = runs.iter_mut().map(SampleRun::create).collect();
    write(&*store, creations).await?;
    // Every third run skips a commit.
    let late = |number: usize| number.is_multiple_of(3);
    let mut batch = Vec::new();
    for (number, run) in runs.iter_mut().enumerate() {
        if late(number) {
            run.report(1);
        }
        batch.push(run.report(5));
        batch.push(run.report(6));
    }
    let answers = store.append(batch).await;
    for (number, pair) in answers.chunks(2).enumerate() {
        let taken: Vec<_> = pair.iter().map(Result::is_ok).collect();
        same(&format!("the answers for run {number}"), &taken, &vec![!late(number); 2])?;
    }
    Ok(())
}

/// Commits and records of every size that the engine makes are accepted, in one batch and one after the other.
///
/// # Errors
/// [`Breach`].
pub async fn append_takes_commits_of_any_size<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    let mut all = vec![run.create()];
    for bytes in [0, 5_000, 5_200, 70_000, 2_000_000, 1] {
        all.push(run.report(bytes));
    }
    all.push(run.complete_with(1_500_000));
    write(&*store, all.clone()).await?;
    same("the journal's length", &journal(&*store, run.id()).await?.len(), &all.len())?;
    drop(store);
    let store = fixture.open(&place).await;
    for (read, written) in journal(&*store, run.id()).await?.iter().zip(&all) {
        let place = format!("the commit at {} of {} bytes", written.commit.first, written.commit.body.len());
        ensure(*read == written.commit, || format!("{place} is another one after reopening"))?;
    }
    let record = store.record(run.id()).await?;
    ensure(record == Some(run.record()), || "a large record is another one after reopening".into())
}

/// An empty batch has no answers.
///
/// # Errors
/// [`Breach`].
pub async fn append_an_empty_batch_has_no_answers<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    same("answers", &store.append(Vec::new()).await.len(), &0)
}
