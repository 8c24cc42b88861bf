//! What `due` must do.

use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{Due, DueCursor, DueQuery, Store, claim_one};

use crate::sample::{SampleRun, with_wake_at};

use super::append::{due_ids, write};
use super::report::{ensure, same};
use super::{Breach, StoreFixture, TestResult};

const FAR: Timestamp = Timestamp::from_millis(u64::MAX);

fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn worker() -> WorkerId {
    WorkerId::new("w").expect("a worker's name")
}

/// Creates runs with these wake-up times.
async fn write_runs(store: &dyn Store, times: &[(&str, Option<u64>)]) -> TestResult {
    for (id, at) in times {
        write(store, vec![with_wake_at(SampleRun::new(id).create(), *at)]).await?;
    }
    Ok(())
}

/// `a@10`: the run `a` at 10.
fn shown(due: &Due) -> Vec<String> {
    due.runs.iter().map(|place| format!("{}@{}", place.id, place.wake_at.as_millis())).collect()
}

/// Due runs are returned earliest first, those of the same time by id, up to the limit, with the time of the next run.
///
/// # Errors
/// [`Breach`].
pub async fn due_is_earliest_first_and_names_the_next<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let times =
        [("c", Some(300)), ("a", Some(0)), ("d", Some(70_000)), ("b", Some(255)), ("e", None), ("b2", Some(255))];
    write_runs(&*store, &times).await?;
    let (a, b, b2, c, d) = ("a@0", "b@255", "b2@255", "c@300", "d@70000");
    let cases: [(u64, usize, &[&str], Option<u64>); 8] = [
        (0, 9, &[a], Some(255)),
        (254, 9, &[a], Some(255)),
        (255, 9, &[a, b, b2], Some(300)),
        (69_999, 9, &[a, b, b2, c], Some(70_000)),
        (u64::MAX, 9, &[a, b, b2, c, d], None),
        (u64::MAX, 2, &[a, b], Some(255)),
        (u64::MAX, 3, &[a, b, b2], Some(300)),
        (u64::MAX, 0, &[], Some(0)),
    ];
    for (until, limit, wanted, next) in cases {
        // The current time matters only for leases.
        for now in [Timestamp::ZERO, FAR] {
            let due = store.due(&DueQuery { now, until: time(until), after: None, limit }).await?;
            let what = format!("due until {until}, at most {limit}");
            same(&what, &shown(&due), &wanted.iter().map(ToString::to_string).collect())?;
            same(&format!("the next one, {what}"), &due.next, &next.map(time))?;
        }
    }
    Ok(())
}

/// 1. A run with a live lease is not due, and is not the next one either.
///
/// # Errors
/// [`Breach`].
pub async fn due_1_leaves_out_held_runs<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    write_runs(&*store, &[("a", Some(10)), ("b", Some(20)), ("c", Some(30))]).await?;
    let [a, b] = ["a", "b"].map(|id| RunId::new(id).expect("a run's id"));
    let lease = claim_one(&*store, &a, &worker(), time(1), FAR).await?;
    claim_one(&*store, &b, &worker(), time(1), FAR).await?;
    let query = DueQuery { now: time(15), until: time(15), after: None, limit: 9 };
    let due = store.due(&query).await?;
    same("what is due while it is leased", &due, &Due { runs: Vec::new(), next: Some(time(30)) })?;
    let claimed = lease.ok_or_else(|| Breach("a free run could not be claimed".into()))?;
    store.release(&[claimed.lease]).await?;
    let due = store.due(&query).await?;
    let runs = vec![DueCursor { wake_at: time(10), id: a }];
    same("what is due after it was released", &due, &Due { runs, next: Some(time(30)) })
}

/// 1. A run whose lease has expired is due again; a renewed lease stays live.
///
/// # Errors
/// [`Breach`].
pub async fn due_1_lists_runs_whose_lease_has_expired<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    write_runs(&*store, &[("a", Some(0)), ("b", Some(0))]).await?;
    let mut leases = Vec::new();
    for id in ["a", "b"] {
        let run = RunId::new(id).expect("a run's id");
        leases.extend(claim_one(&*store, &run, &worker(), time(100), time(200)).await?.map(|claimed| claimed.lease));
    }
    let due = async |now| Ok::<_, Breach>(shown(&store.due(&DueQuery::at(time(now), 9)).await?));
    same("what is due before", &due(199).await?, &Vec::new())?;
    store.renew(&leases[1..], time(150), time(300)).await?;
    same("what is due when one has expired", &due(200).await?, &vec!["a@0".into()])?;
    same("what is due when both have", &due(300).await?, &vec!["a@0".into(), "b@0".into()])
}

/// 2. Pages have no gaps and no repeats, also when runs of earlier pages are claimed or end meanwhile, and when the run that the
///    cursor names is deleted.
///
/// # Errors
/// [`Breach`].
pub async fn due_2_is_paged_by_cursor<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let names: Vec<_> = (0..10).map(|number| format!("r{number}")).collect();
    let times: Vec<_> = names.iter().zip([0, 0, 0, 0, 1, 255, 255, 256, 300, 70_000]).collect();
    for (id, at) in &times {
        write_runs(&*store, &[(id, Some(*at))]).await?;
    }
    let wanted: Vec<_> = times.iter().map(|(id, at)| format!("{id}@{at}")).collect();
    for limit in 1..=11 {
        let (mut query, mut all) = (DueQuery::at(FAR, limit), Vec::new());
        loop {
            let due = store.due(&query).await?;
            ensure(due.runs.len() <= limit, || format!("a page of {limit} has {}", due.runs.len()))?;
            all.extend(shown(&due));
            let following = times.get(all.len()).map(|(_, at)| time(*at));
            same("what follows a page", &due.next, &following)?;
            query.after = due.runs.last().cloned().or(query.after);
            if due.next.is_none() {
                break;
            }
        }
        same(&format!("pages of {limit}"), &all, &wanted)?;
    }
    let first = store.due(&DueQuery::at(FAR, 3)).await?;
    claim_one(&*store, &first.runs[0].id, &worker(), FAR, FAR).await?;
    store.delete(&first.runs[2].id).await?;
    let rest = store.due(&DueQuery { after: first.runs.last().cloned(), ..DueQuery::at(time(255), 9) }).await?;
    same("the rest", &shown(&rest), &wanted[3..7].to_vec())?;
    same("what follows the rest", &rest.next, &Some(time(256)))
}

/// Due runs are found after reopening, whether they were leased before or not.
///
/// # Errors
/// [`Breach`].
pub async fn due_is_there_after_reopening<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    write_runs(&*store, &[("a", Some(10)), ("b", Some(20))]).await?;
    let [a, b] = ["a", "b"].map(|id| RunId::new(id).expect("a run's id"));
    claim_one(&*store, &a, &worker(), Timestamp::ZERO, time(1_000)).await?;
    drop(store);
    let store = fixture.open(&place).await;
    same("what is due", &due_ids(&*store).await?, &vec![a, b])
}
