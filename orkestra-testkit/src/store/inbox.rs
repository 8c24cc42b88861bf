//! What `send`, `letters` and `discard` must do, and how letters affect other methods.

use orkestra_core::model::limits::{LETTER_BYTES_MAX, LETTERS_MAX};
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Append, Claimed, DueQuery, LetterId, Refusal, RunRecord, Store, claim_one};

use crate::sample::{SampleRun, with_wake_at};

use super::append::write;
use super::report::{ensure, refused, same};
use super::{Breach, StoreFixture, TestResult};

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

async fn bodies(store: &dyn Store, run: &RunId, after: LetterId) -> Result<Vec<String>, Breach> {
    let letters = store.letters(run, after, usize::MAX).await?;
    Ok(letters.iter().map(|letter| String::from_utf8_lossy(&letter.body).into_owned()).collect())
}

/// `a@0` means that run `a` is due at 0, `-@9` that the next one is due at 9.
async fn due(store: &dyn Store) -> Result<Vec<String>, Breach> {
    let due = store.due(&DueQuery { until: Timestamp::ZERO, ..DueQuery::at(Timestamp::from_millis(5), 9) }).await?;
    let runs = due.runs.iter().map(|place| format!("{}@{}", place.id, place.wake_at.as_millis()));
    Ok(runs.chain(due.next.map(|next| format!("-@{}", next.as_millis()))).collect())
}

async fn claim(store: &dyn Store, run: &RunId) -> Result<Claimed, Breach> {
    let worker = WorkerId::new("w").expect("a worker's name");
    let claimed = claim_one(store, run, &worker, Timestamp::from_millis(5), FAR).await?;
    claimed.ok_or_else(|| Breach("a free run could not be claimed".into()))
}

/// 1. Letters are durable and kept in the order in which they were sent, separately for each run; they can be read from any
///    position.
///
/// # Errors
/// [`Breach`].
pub async fn send_1_is_durable_and_in_order<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut runs = ["r", "r1"].map(SampleRun::new);
    for run in &mut runs {
        write(&*store, vec![run.create()]).await?;
    }
    let (r, r1) = (runs[0].id(), runs[1].id());
    let first = store.send(r, b"one").await?;
    store.send(r1, b"other").await?;
    let second = store.send(r, b"two").await?;
    store.send(r, b"").await?;
    ensure(second > first && first > LetterId::ZERO, || format!("{second} after {first}"))?;
    drop(store);
    let store = fixture.open(&place).await;
    same("the letters", &bodies(&*store, r, LetterId::ZERO).await?, &["one", "two", ""].map(String::from).to_vec())?;
    same("the rest", &bodies(&*store, r, first).await?, &["two", ""].map(String::from).to_vec())?;
    same("the other's", &bodies(&*store, r1, LetterId::ZERO).await?, &vec!["other".to_owned()])?;
    same("a read of two letters", &store.letters(r, LetterId::ZERO, 2).await?.len(), &2)?;
    let again = store.send(r, b"three").await?;
    ensure(again > second, || format!("{again} after {second} and reopening"))
}

/// 2. A letter is refused when the run does not exist, when its inbox is full, or when the letter is too long.
///
/// # Errors
/// [`Breach`].
pub async fn send_2_is_refused<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    let id = run.id().clone();
    refused("a letter to a run that does not exist", store.send(&id, b"x").await, Refusal::NoRun(id.clone()))?;
    write(&*store, vec![run.create()]).await?;
    same("what was kept of it", &bodies(&*store, run.id(), LetterId::ZERO).await?, &Vec::new())?;
    let long = vec![b'x'; LETTER_BYTES_MAX + 1];
    let too_long = Refusal::LongLetter { run: id.clone(), bytes: long.len() };
    refused("a letter too long", store.send(&id, &long).await, too_long)?;
    let longest = store.send(run.id(), &long[1..]).await?;
    for _ in 1..LETTERS_MAX {
        store.send(run.id(), b"x").await?;
    }
    refused("one too many", store.send(&id, b"x").await, Refusal::FullInbox(id.clone()))?;
    let all = store.letters(run.id(), LetterId::ZERO, usize::MAX).await?;
    same("how many wait", &all.len(), &LETTERS_MAX)?;
    ensure(all[0].body[..] == long[1..], || "the longest letter is another one".to_owned())?;
    store.discard(run.id(), &[longest]).await?;
    store.send(run.id(), b"x").await?;
    Ok(())
}

/// 3. A run with letters is due at once, whatever its record says, and listed once. Claims and renewals report the letters. After
///    the last letter, the record counts again.
///
/// # Errors
/// [`Breach`].
pub async fn send_3_makes_the_run_due<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut runs = ["never", "later", "now", "ended"].map(SampleRun::new);
    for (run, at) in runs.iter_mut().zip([None, Some(9), Some(0), None]) {
        write(&*store, vec![with_wake_at(run.create(), at)]).await?;
    }
    let ended = runs[3].complete();
    write(&*store, vec![ended]).await?;
    same("what is due before", &due(&*store).await?, &vec!["now@0".to_owned(), "-@9".to_owned()])?;
    let mut first = Vec::new();
    for run in &runs {
        first.push(store.send(run.id(), b"one").await?);
        store.send(run.id(), b"two").await?;
    }
    let all = ["ended@0", "later@0", "never@0", "now@0"].map(String::from).to_vec();
    same("what is due with letters", &due(&*store).await?, &all)?;
    drop(store);
    let store = fixture.open(&place).await;
    same("what is due after reopening", &due(&*store).await?, &all)?;
    let claimed = claim(&*store, runs[1].id()).await?;
    same("whether a claim reports letters", &claimed.mail, &true)?;
    let leases = [claimed.lease];
    let told = store.renew(&leases, Timestamp::from_millis(5), FAR).await?;
    same("whether a renewal reports letters", &told[0].mail, &true)?;
    store.release(&leases).await?;
    for (run, first) in runs.iter().zip(first) {
        store.discard(run.id(), &[first]).await?;
        store.discard(run.id(), &[first]).await?;
    }
    same("what is due with one letter each", &due(&*store).await?, &all)?;
    for run in &runs {
        let rest = store.letters(run.id(), LetterId::ZERO, 9).await?;
        store.discard(run.id(), &[rest[0].id]).await?;
    }
    same("what is due at last", &due(&*store).await?, &vec!["now@0".to_owned(), "-@9".to_owned()])?;
    same("whether a claim without letters reports some", &claim(&*store, runs[1].id()).await?.mail, &false)
}

/// A record that is written while the inbox has letters counts once they are gone.
///
/// # Errors
/// [`Breach`].
pub async fn send_3_records_written_meanwhile_count_later<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    let created = run.id().clone();
    let letter = store.send(&created, b"x").await?;
    let record = RunRecord { wake_at: Some(Timestamp::from_millis(7)), ..run.record() };
    let waiting = Append { record: Some(record), ..run.report(1) };
    write(&*store, vec![waiting]).await?;
    same("what is due with a letter", &due(&*store).await?, &vec!["r@0".to_owned()])?;
    store.discard(&created, &[letter]).await?;
    same("what is due without", &due(&*store).await?, &vec!["-@7".to_owned()])
}

/// Append 8. A commit removes the letters that it names, and only those; a refused or repeated commit removes none.
///
/// # Errors
/// [`Breach`].
pub async fn append_8_takes_letters_with_its_commit<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![with_wake_at(run.create(), None)]).await?;
    let mut ids = Vec::new();
    for body in ["one", "two", "three"] {
        ids.push(store.send(run.id(), body.as_bytes()).await?);
    }
    let (next, after) = (run.report(1), run.report(1));
    let early = Append { taken: ids.clone(), ..after };
    ensure(store.append(vec![early.clone()]).await[0].is_err(), || {
        "a commit that does not follow was accepted".into()
    })?;
    same("the letters after it", &bodies(&*store, run.id(), LetterId::ZERO).await?.len(), &3)?;
    let taking = Append { taken: vec![ids[0], ids[2], LetterId(u64::MAX / 2)], ..next };
    write(&*store, vec![taking.clone()]).await?;
    same("the letters that are left", &bodies(&*store, run.id(), LetterId::ZERO).await?, &vec!["two".to_owned()])?;
    write(&*store, vec![Append { taken: ids.clone(), ..taking }]).await?;
    same("the letters after a repeat", &bodies(&*store, run.id(), LetterId::ZERO).await?, &vec!["two".to_owned()])?;
    same("what is still due", &due(&*store).await?, &vec!["r@0".to_owned()])?;
    write(&*store, vec![early]).await?;
    same("what is due at last", &due(&*store).await?, &Vec::new())?;
    drop(store);
    let store = fixture.open(&place).await;
    same("the letters after reopening", &bodies(&*store, run.id(), LetterId::ZERO).await?, &Vec::new())?;
    same("the journal's end", &claim(&*store, run.id()).await?.last, &run.last())
}

/// 1. Letters are deleted with their run; a new run with the same id starts with an empty inbox.
///
/// # Errors
/// [`Breach`].
pub async fn send_1_letters_go_with_their_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    store.send(run.id(), b"old").await?;
    store.delete(run.id()).await?;
    let mut run = SampleRun::new("r");
    let created = with_wake_at(run.create(), None);
    same("where its journal begins", &created.commit.first, &Seq(1))?;
    write(&*store, vec![created]).await?;
    same("the letters of the new run", &bodies(&*store, run.id(), LetterId::ZERO).await?, &Vec::new())?;
    same("what is due", &due(&*store).await?, &Vec::new())
}

/// 4. Listeners are notified of runs that letters are sent to.
///
/// # Errors
/// [`Breach`].
pub async fn send_4_notifies_listeners<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let mut run = SampleRun::new("r");
    write(&*store, vec![run.create()]).await?;
    let mut listener = store.listen();
    // A listener may start late and miss letters, which are then found through `due`. So send until one is noticed.
    for _ in 0..LETTERS_MAX {
        store.send(run.id(), b"x").await?;
        let patience = std::time::Duration::from_millis(50);
        if let Ok(Some(heard)) = tokio::time::timeout(patience, listener.next()).await {
            return same("who is named", &heard, run.id());
        }
    }
    Err(Breach("no letter was reported to the listener".into()))
}
