//! What `read` must do.

use orkestra_core::model::Seq;

use crate::sample::SampleRun;

use super::append::{journal, write};
use super::report::same;
use super::{StoreFixture, TestResult};

/// A read starts with the commit that contains the position, and returns at most `limit` commits.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn read_begins_with_the_commit_that_holds_the_position<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut run = SampleRun::new("r");
    // The first commit has the positions 1 and 2, the last one two as well, and the others one each.
    write(&*store, vec![run.create(), run.report(1), run.report(2), run.report(3), run.complete()]).await?;
    let cases: [(u64, usize, &[u64]); 9] = [
        (0, 9, &[1, 3, 4, 5, 6]),
        (1, 9, &[1, 3, 4, 5, 6]),
        (2, 9, &[1, 3, 4, 5, 6]),
        (3, 9, &[3, 4, 5, 6]),
        (2, 2, &[1, 3]),
        (5, 1, &[5]),
        (7, 9, &[6]),
        (8, 9, &[]),
        (1, 0, &[]),
    ];
    for (from, limit, wanted) in cases {
        let read = store.read(run.id(), Seq(from), limit).await?;
        let firsts: Vec<_> = read.iter().map(|commit| commit.first.0).collect();
        same(&format!("reading from {from}, at most {limit}"), &firsts, &wanted.to_vec())?;
    }
    same("a read far beyond the end", &store.read(run.id(), Seq(u64::MAX), 9).await?, &Vec::new())
}

/// A run that does not exist has an empty journal and no record.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn read_of_nothing_is_empty<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    let run = SampleRun::new("nobody");
    same("the journal", &journal(&*store, run.id()).await?, &Vec::new())?;
    same("the record", &store.record(run.id()).await?, &None)
}

/// Runs whose ids are prefixes of each other, or differ only slightly, are kept apart.
///
/// # Errors
/// [`Breach`](super::Breach).
pub async fn read_keeps_runs_with_similar_ids_apart<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let long = "r".repeat(200);
    let ids = ["r", "r-", "r1", "r:1", "r/1", "R", "rr", &long];
    let mut runs: Vec<_> = ids.iter().map(|id| SampleRun::new(id)).collect();
    for (number, run) in runs.iter_mut().enumerate() {
        let mut batch = vec![run.create()];
        batch.extend((0..number).map(|_| run.report(number)));
        write(&*store, batch).await?;
    }
    for (number, run) in runs.iter().enumerate() {
        let journal = journal(&*store, run.id()).await?;
        same(&format!("commits of `{}`", run.id()), &journal.len(), &(number + 1))?;
        let others = journal.iter().filter(|commit| commit.run != *run.id()).count();
        same(&format!("commits of others under `{}`", run.id()), &others, &0)?;
    }
    Ok(())
}
