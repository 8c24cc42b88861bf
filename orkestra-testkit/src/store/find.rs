//! What `list` must do.

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Name, Timestamp};
use orkestra_core::store::{ListCursor, RunQuery, Store};

use crate::sample::SampleRun;

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

/// Lists of a range of creation times hold its beginning and not its end, together with other filters and paged too.
///
/// # Errors
/// [`Breach`].
pub async fn list_of_a_range_of_creation_times<F: StoreFixture>(fixture: &F) -> Verdict {
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
