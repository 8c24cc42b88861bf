//! What `list` must do.

use std::sync::Arc;

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Name, Timestamp};
use orkestra_core::store::{ListCursor, Pager, RunQuery, Store};

use crate::sample::SampleRun;

use super::append::write;
use super::report::{ensure, same};
use super::{Breach, StoreFixture, TestResult};

async fn ids(store: &dyn Store, query: &RunQuery) -> Result<Vec<String>, Breach> {
    Ok(store.list(query).await?.items.iter().map(|record| record.id.to_string()).collect())
}

/// All pages of a query; checks that each has the requested size.
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

/// Lists are newest first, by id where the time is the same, and paged without gaps or repeats.
///
/// # Errors
/// [`Breach`].
pub async fn list_is_newest_first_and_paged<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    same("the list of an empty store", &store.list(&RunQuery::default()).await?.items, &Vec::new())?;
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

/// Lists are filtered by status, workflow and labels, also combined, and paged.
///
/// # Errors
/// [`Breach`].
pub async fn list_is_filtered<F: StoreFixture>(fixture: &F) -> TestResult {
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
        (RunQuery { statuses: [RunStatus::Running].into(), ..all.clone() }, 12),
        (RunQuery { statuses: [RunStatus::Failed].into(), ..all.clone() }, 0),
        (RunQuery { workflow: workflow("even"), ..all.clone() }, 12),
        (RunQuery { workflow: workflow("none"), ..all.clone() }, 0),
        (RunQuery { labels: third("1"), ..all.clone() }, 8),
        (RunQuery { labels: third("3"), ..all.clone() }, 0),
        (RunQuery { labels: [("\u{0}".into(), "odd \"text\"".into())].into(), ..all.clone() }, 24),
        (
            RunQuery {
                statuses: [RunStatus::Completed].into(),
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

/// Lists of runs with one of several statuses are newest first and paged across the statuses, also with other filters.
///
/// # Errors
/// [`Breach`].
pub async fn list_of_several_statuses<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut written = Vec::new();
    for number in 0..36_usize {
        // Two runs at each time; neither times nor ids are in the order of the statuses.
        let id = format!("r{:02}", number * 7 % 36);
        let mut run = SampleRun::new(&id).at(1_000 + number as u64 / 2);
        run = run.with_label("half", if number < 18 { "old" } else { "new" });
        run = run.with_workflow(if number.is_multiple_of(2) { "even" } else { "odd" });
        let mut append = run.create();
        let record = append.record.as_mut().ok_or_else(|| Breach("a first commit without a record".into()))?;
        record.status = RunStatus::ALL[number * 5 % RunStatus::ALL.len()];
        written.push(record.clone());
        write(&*store, vec![append]).await?;
    }
    written.sort_by_key(|record| (record.created_at, record.id.clone()));
    let all = RunQuery { limit: 4, ..RunQuery::default() };
    let even = || Some(Name::new("even").expect("a name"));
    let old = || [("half".to_owned(), "old".to_owned())].into();
    let (from, until) = (Some(Timestamp::from_millis(1_003)), Some(Timestamp::from_millis(1_011)));
    for statuses in [&[][..], &RunStatus::LIVE, &RunStatus::FINAL, &RunStatus::ALL, &[RunStatus::Paused]] {
        let some = RunQuery { statuses: statuses.iter().copied().collect(), ..all.clone() };
        for query in [
            some.clone(),
            RunQuery { limit: 100, ..some.clone() },
            RunQuery { created_from: from, created_until: until, ..some.clone() },
            RunQuery { workflow: even(), ..some.clone() },
            RunQuery { labels: old(), ..some.clone() },
            RunQuery { labels: old(), workflow: even(), created_from: from, ..some.clone() },
        ] {
            let wanted = written.iter().rev().filter(|record| query.matches(record));
            let wanted: Vec<_> = wanted.map(|record| record.id.to_string()).collect();
            same(&format!("runs of {query:?}"), &pages(&*store, &query).await?, &wanted)?;
        }
    }
    Ok(())
}

/// A pager finds every matching run once, also beyond one page and beyond what a store scans at once.
///
/// # Errors
/// [`Breach`].
pub async fn pager_walks_all_runs<F: StoreFixture>(fixture: &F) -> TestResult {
    const RUNS: usize = 1_200;
    let place = fixture.place().await;
    let store: Arc<dyn Store> = fixture.open(&place).await;
    let ids: Vec<_> = (0..RUNS).map(|number| format!("r{number:04}")).collect();
    let live = |number: usize| !number.is_multiple_of(3);
    for some in (0..RUNS).collect::<Vec<_>>().chunks(100) {
        let creations = some.iter().map(|number| {
            let mut append = SampleRun::new(&ids[*number]).at(1_000 + *number as u64).create();
            if let Some(record) = append.record.as_mut().filter(|_| !live(*number)) {
                record.status = RunStatus::Cancelled;
            }
            append
        });
        write(&*store, creations.collect()).await?;
    }
    for limit in [0, 7, 100, usize::MAX] {
        let query = RunQuery { statuses: RunStatus::LIVE.into(), limit, ..RunQuery::default() };
        let found = Pager::new(Arc::clone(&store), query).collect().await?;
        let found: Vec<_> = found.iter().map(|record| record.id.to_string()).collect();
        let wanted: Vec<_> = (0..RUNS).rev().filter(|number| live(*number)).map(|number| ids[number].clone()).collect();
        ensure(found == wanted, || format!("{} of {} live runs in pages of {limit}", found.len(), wanted.len()))?;
    }
    Ok(())
}

/// A range of creation times includes its start and excludes its end, also with other filters and paged.
///
/// # Errors
/// [`Breach`].
pub async fn list_of_a_range_of_creation_times<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let times = [("a", 10), ("b", 255), ("c", 256), ("d", 256), ("e", 70_000)];
    for (id, at) in times {
        let shard = if id < "d" { "1" } else { "2" };
        write(&*store, vec![SampleRun::new(id).at(at).with_label("shard", shard).create()]).await?;
    }
    let cases: [(Option<u64>, Option<u64>, &str); 9] = [
        (None, None, "edcba"),
        (Some(0), Some(u64::MAX), "edcba"),
        (Some(256), None, "edc"),
        (Some(257), None, "e"),
        (None, Some(256), "ba"),
        (None, Some(257), "dcba"),
        (Some(255), Some(70_000), "dcb"),
        (Some(300), Some(300), ""),
        (Some(300), Some(200), ""),
    ];
    for (from, until, wanted) in cases {
        for (shard, labels) in [(None, "edcba"), (Some("1"), "cba"), (Some("2"), "ed")] {
            let query = RunQuery {
                created_from: from.map(Timestamp::from_millis),
                created_until: until.map(Timestamp::from_millis),
                labels: shard.map(|shard| ("shard".to_owned(), shard.to_owned())).into_iter().collect(),
                limit: 2,
                ..RunQuery::default()
            };
            let wanted: Vec<_> = wanted.chars().filter(|id| labels.contains(*id)).map(String::from).collect();
            same(&format!("runs from {from:?} until {until:?} of {shard:?}"), &pages(&*store, &query).await?, &wanted)?;
        }
    }
    Ok(())
}

/// A cursor stays valid when runs are added or deleted, even the run that it names.
///
/// # Errors
/// [`Breach`].
pub async fn list_cursors_stay_valid_when_runs_change<F: StoreFixture>(fixture: &F) -> TestResult {
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
