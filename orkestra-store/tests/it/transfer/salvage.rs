//! Damaged runs: found by a survey, they fail an export, or are left out of one that salvages.

use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::transfer::survey;
use orkestra_testkit::sample::SampleRun;

use super::*;

/// A store with one intact run, and one whose second commit is garbage. Stores do not look inside commits.
async fn half_damaged() -> MemoryStore {
    let store = MemoryStore::new();
    let (mut whole, mut broken) = (SampleRun::new("whole"), SampleRun::new("broken"));
    let created = broken.create();
    let mut garbage = broken.report(1);
    garbage.commit.body = Arc::from(&b"\xffgarbage"[..]);
    let appends = vec![whole.create(), created, whole.complete(), garbage];
    let answers = store.append(appends).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    store.put("a", 0, b"7").await.expect("it is written");
    store
}

#[tokio::test]
async fn damaged_runs_are_exported_unchanged_on_request() {
    let store = half_damaged().await;
    let (lines, done) = exported(&store, &options().with_damaged(true)).await.expect("it is exported");
    let [damage] = &done.damage[..] else { panic!("one is damaged: {done:?}") };
    assert_eq!((done.counts.runs, done.counts.commits, damage.saved), (2, 4, true));
    let garbage = "/2dhcmJhZ2U="; // base64 of the garbage
    assert!(text(&lines).contains(garbage) && !text(&lines).contains("skipped\":\"broken"), "{}", text(&lines));
    imported(&MemoryStore::new(), &lines).await.expect_err("an import replays every journal");
}

#[tokio::test]
async fn readable_runs_are_reported_and_salvaged() {
    let store = half_damaged().await;
    let found = survey(&store).await.expect("it reads");
    assert_eq!((found.whole.runs, found.whole.commits, found.whole.values), (1, 2, 1));
    let [damage] = &found.damage[..] else { panic!("one is damaged: {found:?}") };
    assert_eq!((damage.run.as_ref(), damage.commits, damage.saved), (Some(&id("broken")), 1, false));
    assert!(
        damage.what.starts_with("cannot read the commit at 3 of run `broken`: the commit is damaged"),
        "{}",
        damage.what
    );

    let refused = exported(&store, &options()).await;
    assert!(matches!(&refused, Err(TransferError::Journal { run, .. }) if *run == id("broken")), "{refused:?}");
    let (lines, done) = exported(&store, &options().with_salvage(true)).await.expect("it is exported");
    assert_eq!((done.counts.runs, &done.damage[..]), (1, &found.damage[..]));
    assert!(text(&lines).contains("{\"skipped\":\"broken\"}"), "{}", text(&lines));
    let other = MemoryStore::new();
    imported(&other, &lines).await.expect("it is imported");
    assert!(other.record(&id("whole")).await.expect("it reads").is_some());
}
