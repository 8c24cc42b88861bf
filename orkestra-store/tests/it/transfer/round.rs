//! Round trips through stores: the lines stay the same, byte for byte.

use std::collections::BTreeMap;

use orkestra_core::store::{DueQuery, MemoryStore, RunQuery, Store};
use orkestra_store::transfer::{LINE_BYTES_MAX, VALUE_VERSION_MAX, survey};
use orkestra_testkit::sample::{SampleRun, with_wake_at};

use super::*;

#[tokio::test]
async fn an_export_is_unchanged_after_passing_through_every_store() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 6 };
    for seed in 0..seeds {
        let first = random_calls(seed).await;
        for number in 0..12 {
            add_real_run(&first, seed * 100 + number).await;
        }
        let lines = lines_of(&first).await;
        let copy = MemoryStore::new();
        imported(&copy, &lines).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(text(&lines_of(&copy).await), text(&lines), "seed {seed}, in memory");
        let mut before = lines.clone();
        for backend in BACKENDS {
            let directory = tempfile::tempdir().expect("a directory");
            let store = opened(*backend, &directory);
            imported(&*store, &before).await.unwrap_or_else(|error| panic!("seed {seed}, {backend:?}: {error}"));
            drop(store);
            let store = opened(*backend, &directory);
            before = lines_of(&*store).await;
            assert_eq!(text(&before), text(&lines), "seed {seed}, by way of {backend:?}");
            assert!(store.check().await.is_ok(), "seed {seed}, {backend:?}: records and indexes fit");
            assert_eq!(survey(&*store).await.expect("it reads").damage, []);
            let due = DueQuery::at(Timestamp::from_millis(u64::MAX), usize::MAX);
            assert_eq!(first.due(&due).await, store.due(&due).await, "seed {seed}, {backend:?}: wake-up times");
        }
        let last = MemoryStore::new();
        imported(&last, &before).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(text(&lines_of(&last).await), text(&lines), "seed {seed}, back in memory");

        for record in first.list(&RunQuery { limit: usize::MAX, ..RunQuery::default() }).await.expect("a list").items {
            *seen.entry(format!("{:?}", record.status)).or_default() += 1;
            *seen.entry(format!("woken {}", record.wake_at.is_some())).or_default() += 1;
        }
        for kind in ["\"commit\"", "\"letter\"", "\"blob\"", "\"value\"", "\"part\"", "\"json\""] {
            *seen.entry(kind.into()).or_default() += text(&lines).matches(kind).count() as u64;
        }
    }
    println!("{seen:?}");
    for kind in ["Running", "Completed", "woken true", "woken false", "\"letter\"", "\"blob\"", "\"value\"", "\"part\""]
    {
        assert!(seen.get(kind).is_some_and(|count| *count > 0), "there was no {kind}: {seen:?}");
    }
}

#[tokio::test]
async fn lines_match_the_documentation() {
    let store = MemoryStore::new();
    let mut run = SampleRun::new("r").with_label("tenant", "acme");
    assert_eq!(store.append(vec![with_wake_at(run.create(), Some(7))]).await, [Ok(())]);
    store.put_blob(run.id(), "k", b"\x00\x01").await.expect("it is kept");
    store.send(run.id(), b" 7").await.expect("it is sent");
    store.put("a", 0, b"7").await.expect("it is written");
    let lines = text(&lines_of(&store).await);
    let sums = lines.lines().last().expect("a last line").split_once("\"sha256\":\"").expect("a hash");
    let wanted = [
        r#"{"format":"orkestra-export","version":1}"#,
        r#"{"blob":{"key":"k","content":{"bytes":2}}}"#,
        r#"{"part":"AAE="}"#,
        r#"{"letter":{"body":{"bytes":2}}}"#,
        r#"{"part":"IDc="}"#,
        r#"{"value":{"key":"a","version":1,"content":{"json":7}}}"#,
    ];
    for line in wanted {
        assert!(lines.lines().any(|found| found == line), "{line} is not in {lines}");
    }
    assert!(lines.contains(r#"{"run":{"id":"r","record":{"json":{"id":"r","workflow":"sample","#), "{lines}");
    assert!(lines.contains(r#"{"commit":{"first":1,"#), "{lines}");
    assert_eq!(sums.0, r#"{"end":{"runs":1,"commits":1,"letters":1,"blobs":1,"values":1,"skipped":0,"#);
}

#[tokio::test]
async fn large_contents_are_split_into_parts() {
    let store = MemoryStore::new();
    let mut run = SampleRun::new("large");
    let appends = vec![run.create(), run.report(1_100_000), run.complete_with(1_100_000)];
    assert!(store.append(appends).await.iter().all(Result::is_ok));
    store.put_blob(run.id(), "k", &vec![b'7'; 1_100_000]).await.expect("it is kept");
    store.put_blob(run.id(), "none", b"").await.expect("it is kept");
    let lines = lines_of(&store).await;
    let longest = lines.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest.is_some_and(|longest| longest < LINE_BYTES_MAX), "{longest:?}");
    let other = MemoryStore::new();
    imported(&other, &lines).await.expect("it is imported");
    assert_eq!(other.blob(run.id(), "none").await.expect("it reads"), Some(Vec::new()));
    assert!(lines_of(&other).await == lines, "the lines differ");
}

#[tokio::test]
async fn versions_of_values_are_restored_up_to_a_limit() {
    let (store, other) = (MemoryStore::new(), MemoryStore::new());
    for (key, version) in [("three", 3), ("many", VALUE_VERSION_MAX + 3)] {
        for expected in 0..version {
            store.put(key, expected, key.as_bytes()).await.expect("it is written").expect("no other writer");
        }
    }
    imported(&other, &lines_of(&store).await).await.expect("it is imported");
    for (key, version) in [("three", 3), ("many", VALUE_VERSION_MAX)] {
        let value = other.get(key).await.expect("it reads").expect("it is there");
        assert_eq!((value.version, &*value.bytes), (version, key.as_bytes()));
    }
}
