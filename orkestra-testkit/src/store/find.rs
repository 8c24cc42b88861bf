//! What `list` and `due` must do.

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Name, Timestamp, WorkerId};
use orkestra_core::store::{ListCursor, RunQuery, Store};

use crate::sample::{SampleRun, with_wake_at};

use super::append::write;
use super::report::{ensure, same};
use super::{Breach, StoreFixture, Verdict};

async fn ids(store: &dyn Store, query: &RunQuery) -> Result<Vec<String>, Breach> {
    Ok(store.list(query).await?.items.iter().map(|record| record.id.to_string()).collect())
}

/// All pages of a query, checked to be of the size asked for.
async fn pages(store: &dyn Store, query: &RunQuery) -> Result<Vec<String>, Breach> {
    let (mut all, mut query) = (Vec::new(), query.clone());
    loop {
        let page = store.list(&query).await?;
        ensure(page.items.len() <= query.limit, || format!("a page of {} has {}", query.limit, page.items.len()))?;
        all.extend(page.items.iter().map(|record| record.id.to_string()));
        let Some(next) = page.next else {
            return Ok(all);
        };
        same("items of a page that has a next one", &page.items.len(), &query.limit)?;
        query.cursor = Some(next);
    }
}

/// Lists are newest first, by id where the time is the same, and paged without gap or repeat.
///
/// # Errors
/// [`Breach`].
pub async fn list_is_newest_first_and_paged<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    same("a list of nothing", &store.list(&RunQuery::default()).await?.items, &Vec::new())?;
    let times = [("b", 300), ("a", 300), ("e", 100), ("d", 200), ("c", 256), ("f", 70_000)];
    for (id, at) in times {
        write(&*store, vec![SampleRun::new(id).at(at).create()]).await?;
    }
    let wanted: Vec<_> = ["f", "b", "a", "c", "d", "e"].map(String::from).into();
    same("the list", &ids(&*store, &RunQuery::default()).await?, &wanted)?;
    for limit in 1..=7 {
        let query = RunQuery { limit, ..RunQuery::default() };
        same(&format!("pages of {limit}"), &pages(&*store, &query).await?, &wanted)?;
    }
    let exact = store.list(&RunQuery { limit: 6, ..RunQuery::default() }).await?;
    same("what follows the last page", &exact.next, &None)
}

/// Lists are filtered by status, workflow and labels, all of them together, and paged then too.
///
/// # Errors
/// [`Breach`].
pub async fn list_is_filtered<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    for number in 0..24_u64 {
        let mut run = SampleRun::new(&format!("r{number:02}")).at(1_000 + number);
        run = run.with_label("third", &(number % 3).to_string()).with_label("\u{0}", "odd \"text\"");
        run = if number.is_multiple_of(2) { run.with_workflow("even") } else { run.with_workflow("odd") };
        write(&*store, vec![run.create()]).await?;
        if number >= 12 {
            write(&*store, vec![run.complete()]).await?;
        }
    }
    let all = RunQuery { limit: 2, ..RunQuery::default() };
    let third = |value: &str| [("third".to_owned(), value.to_owned())].into();
    let workflow = |name: &str| Some(Name::new(name).expect("a name"));
    let cases: [(RunQuery, usize); 9] = [
        (all.clone(), 24),
        (RunQuery { status: Some(RunStatus::Running), ..all.clone() }, 12),
        (RunQuery { status: Some(RunStatus::Failed), ..all.clone() }, 0),
        (RunQuery { workflow: workflow("even"), ..all.clone() }, 12),
        (RunQuery { workflow: workflow("none"), ..all.clone() }, 0),
        (RunQuery { labels: third("1"), ..all.clone() }, 8),
        (RunQuery { labels: third("3"), ..all.clone() }, 0),
        (RunQuery { labels: [("\u{0}".into(), "odd \"text\"".into())].into(), ..all.clone() }, 24),
        (
            RunQuery {
                status: Some(RunStatus::Completed),
                workflow: workflow("odd"),
                labels: third("0"),
                ..all.clone()
            },
            2,
        ),
    ];
    for (query, wanted) in cases {
        let found = pages(&*store, &query).await?;
        same(&format!("runs of {query:?}"), &found.len(), &wanted)?;
        ensure(found.is_sorted_by(|newer, older| newer > older), || format!("not newest first: {found:?}"))?;
    }
    Ok(())
}

/// A page stays where it is when runs are added or deleted, even the one that its cursor names.
///
/// # Errors
/// [`Breach`].
pub async fn list_pages_stay_good_when_runs_come_and_go<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut runs: Vec<_> = (1..=6).map(|number| SampleRun::new(&format!("r{number}")).at(number * 10)).collect();
    write(&*store, runs.iter_mut().map(SampleRun::create).collect()).await?;
    let first = store.list(&RunQuery { limit: 2, ..RunQuery::default() }).await?;
    let cursor = first.next.ok_or_else(|| Breach("there should be a second page".into()))?;
    same("the cursor", &cursor.id.to_string(), &"r5".to_owned())?;
    write(&*store, vec![SampleRun::new("newest").at(1_000).create()]).await?;
    store.delete(runs[4].id()).await?;
    let text = serde_json::to_string(&cursor).expect("a cursor is plain data");
    let cursor: ListCursor = serde_json::from_str(&text).expect("a cursor reads back");
    let rest = ids(&*store, &RunQuery { cursor: Some(cursor), ..RunQuery::default() }).await?;
    same("the second page", &rest, &["r4", "r3", "r2", "r1"].map(String::from).into())
}

/// Runs that are due come earliest first, up to the limit; the earliest of those that follow is named.
///
/// # Errors
/// [`Breach`].
pub async fn due_is_earliest_first_and_names_the_next<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let times = [("c", Some(300)), ("a", Some(0)), ("d", Some(70_000)), ("b", Some(255)), ("e", None)];
    for (id, at) in times {
        write(&*store, vec![with_wake_at(SampleRun::new(id).create(), at)]).await?;
    }
    let time = Timestamp::from_millis;
    let cases: [(u64, usize, &[&str], Option<u64>); 7] = [
        (0, 9, &["a"], Some(255)),
        (254, 9, &["a"], Some(255)),
        (255, 9, &["a", "b"], Some(300)),
        (69_999, 9, &["a", "b", "c"], Some(70_000)),
        (u64::MAX, 9, &["a", "b", "c", "d"], None),
        (u64::MAX, 2, &["a", "b"], Some(300)),
        (u64::MAX, 0, &[], Some(0)),
    ];
    for (until, limit, wanted, next) in cases {
        let due = store.due(time(until), limit).await?;
        let ids: Vec<_> = due.runs.iter().map(ToString::to_string).collect();
        let what = format!("due until {until}, at most {limit}");
        same(&what, &ids, &wanted.iter().map(ToString::to_string).collect())?;
        same(&format!("the next of what is {what}"), &due.next, &next.map(time))?;
    }
    Ok(())
}

/// A run that a lease holds is not due, nor is it the next one.
///
/// # Errors
/// [`Breach`].
pub async fn due_leaves_out_held_runs<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (time, worker) = (Timestamp::from_millis, WorkerId::new("w").expect("a worker's name"));
    let mut runs = ["a", "b", "c"].map(SampleRun::new);
    for (run, at) in runs.iter_mut().zip([10, 20, 30]) {
        write(&*store, vec![with_wake_at(run.create(), Some(at))]).await?;
    }
    let far = time(u64::MAX);
    let lease = store.claim(runs[0].id(), &worker, far).await?;
    store.claim(runs[1].id(), &worker, far).await?;
    let due = store.due(time(15), 9).await?;
    same("what is due while it is held", &due.runs, &Vec::new())?;
    same("what follows", &due.next, &Some(time(30)))?;
    let lease = lease.ok_or_else(|| Breach("a free run could not be claimed".into()))?;
    store.release(&lease).await?;
    let due = store.due(time(15), 9).await?;
    same("what is due when it was released", &due.runs, &vec![runs[0].id().clone()])?;
    same("what follows then", &due.next, &Some(time(30)))
}

/// What is due is found again after reopening, held before or not.
///
/// # Errors
/// [`Breach`].
pub async fn due_is_there_after_reopening<F: StoreFixture>(fixture: &F) -> Verdict {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut runs = ["a", "b"].map(SampleRun::new);
    for (run, at) in runs.iter_mut().zip([10, 20]) {
        write(&*store, vec![with_wake_at(run.create(), Some(at))]).await?;
    }
    let worker = WorkerId::new("w").expect("a worker's name");
    store.claim(runs[0].id(), &worker, Timestamp::ZERO).await?;
    drop(store);
    let store = fixture.open(&place).await;
    let due = store.due(Timestamp::from_millis(u64::MAX), 9).await?;
    same("what is due", &due.runs, &runs.map(|run| run.id().clone()).into())
}
