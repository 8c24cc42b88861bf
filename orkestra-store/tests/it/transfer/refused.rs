//! Exports and imports that are refused with an error, without writing anything.

use orkestra_core::store::{MemoryStore, Store, claim_one};
use orkestra_testkit::sample::SampleRun;

use super::*;

/// Two runs, a blob, a letter and a value.
async fn small_store() -> MemoryStore {
    let store = MemoryStore::new();
    let (mut one, mut two) = (SampleRun::new("one"), SampleRun::new("two"));
    let appends = vec![one.create(), two.create(), one.report(10), one.complete(), two.report(3)];
    assert!(store.append(appends).await.iter().all(Result::is_ok));
    store.put_blob(one.id(), "k", b"blob \xff").await.expect("it is kept");
    store.send(two.id(), br#"{"v":1,"sent":"Resume"}"#).await.expect("it is sent");
    store.put("a", 0, b"value").await.expect("it is written");
    store
}

/// The error of an import that must write nothing.
async fn refused(lines: &[u8]) -> String {
    let store = MemoryStore::new();
    let refused = imported(&store, lines).await;
    let nothing = lines_of(&store).await;
    assert_eq!(text(&nothing).lines().count(), 2, "something was written: {}", text(&nothing));
    match refused {
        Ok(_) => panic!("it was imported: {}", text(lines)),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_truncated_export_is_refused_wherever_it_ends() {
    let lines = lines_of(&small_store().await).await;
    for length in 0..lines.len() {
        let why = refused(&lines[..length]).await;
        assert!(why.starts_with("line ") && why.contains("the export is incomplete"), "cut at {length}: {why}");
    }
    // Missing lines are detected by the totals, or by a gap in a journal.
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for left_out in 0..all.len() {
        let kept: Vec<u8> =
            all.iter().enumerate().filter(|(at, _)| *at != left_out).flat_map(|(_, line)| *line).copied().collect();
        assert!(refused(&kept).await.starts_with("line "));
    }
}

#[tokio::test]
async fn a_changed_byte_is_refused_with_its_line() {
    let lines = lines_of(&small_store().await).await;
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        changed[at] ^= 1;
        let why = refused(&changed).await;
        assert!(why.starts_with("line ") || why.contains("newer version"), "byte {at}: {why}");
    }
}

#[tokio::test]
async fn invalid_lines_and_other_versions_are_refused() {
    let lines = text(&lines_of(&small_store().await).await);
    for (lines, why) in [
        (
            lines.replace("\"version\":1}", "\"version\":2}"),
            "cannot import: the export has format 2, this version reads up to 1; use a newer version",
        ),
        (lines.replace("\"version\":1}", "\"version\":0}"), "line 1: invalid format version 0"),
        (lines.replace("orkestra-export", "something"), "line 1: not an export of a store"),
        (lines.clone() + "\n", "line 15: data after the last line"),
        (lines.replacen("{\"commit\"", "{\"commit\n\"", 1), "line 3: invalid line"),
        (lines.replacen("{\"letter\"", "{\"postcard\"", 1), "line 5: invalid line: unknown variant `postcard`"),
        (
            lines.replacen(
                "{\"run\":",
                "{\"value\":{\"key\":\"x\",\"version\":0,\"content\":{\"bytes\":0}}}\n{\"run\":",
                1,
            ),
            "line 2: invalid version 0 of a value: versions begin at 1",
        ),
        (
            lines.replacen("{\"commit\"", "{\"part\":\"AA==\"}\n{\"commit\"", 1),
            "line 3: this kind of line must not follow the previous one",
        ),
        (
            lines.replacen("{\"bytes\":6}", "{\"bytes\":600000000}", 1),
            "line 7: 600000000 bytes announced, more than the 536870912 allowed",
        ),
        (lines.replacen("{\"bytes\":6}", "{\"bytes\":7}", 1), "line 9: a part of the announced bytes is missing"),
        (lines.replacen("{\"bytes\":6}", "{\"bytes\":5}", 1), "line 8: the part does not have the announced length"),
        (lines.replacen("YmxvYiD/", "YmxvYiD", 1), "line 8: invalid base64"),
        (
            lines.replacen("\"status\":\"completed\"", "\"status\":\"failed\"", 1),
            "line 11: run `one` is Failed in its record, but Completed in its journal",
        ),
        (
            lines.replacen("\"id\":\"one\",\"record\"", "\"id\":\"three\",\"record\"", 1),
            "line 6: run `three` has the record of `one`",
        ),
        (
            lines.replacen("\"first\":3,\"last\":3", "\"first\":4,\"last\":4", 1),
            "line 4: the journal of run `two` has a gap: expected a commit at 3, found one at 4",
        ),
        (lines.replacen("\"events\"", "\"evnts\"", 1), "line 3: cannot read the commit at 1 of run `two`"),
        ("x".repeat(3_000_000), "line 1: the line has more than 2097152 bytes"),
        (String::new(), "line 1: the export is incomplete: its end is missing"),
    ] {
        let message = refused(lines.as_bytes()).await;
        assert!(message.starts_with(why), "{message}, wanted: {why}\n{}", &lines[..lines.len().min(4_000)]);
    }
}

#[tokio::test]
async fn a_change_between_the_two_readings_is_refused() {
    /// Returns another export from the second reading on.
    struct Two([Cursor<Vec<u8>>; 2], usize);

    impl std::io::Read for Two {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            self.0[self.1].read(bytes)
        }
    }

    impl std::io::Seek for Two {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            if to == std::io::SeekFrom::Start(0) {
                self.1 = 1;
            }
            self.0[self.1].seek(to)
        }
    }

    let lines = lines_of(&small_store().await).await;
    let mut two = Two([Cursor::new(lines), Cursor::new(lines_of(&MemoryStore::new()).await)], 0);
    let changed = import(&MemoryStore::new(), &mut two, ImportOptions::default()).await;
    assert!(matches!(changed, Err(TransferError::Changed)), "{changed:?}");
}

#[tokio::test]
async fn a_store_with_data_is_refused_without_merge() {
    let store = small_store().await;
    let lines = lines_of(&store).await;
    let refused = imported(&store, &lines).await;
    assert!(matches!(&refused, Err(TransferError::NotEmpty(name)) if name == "memory"), "{refused:?}");
    let only_a_value = MemoryStore::new();
    only_a_value.put("other", 0, b"").await.expect("it is written");
    assert!(matches!(imported(&only_a_value, &lines).await, Err(TransferError::NotEmpty(_))));

    let merged_into_itself = merged(&store, &lines).await.expect("it is all there");
    assert_eq!((merged_into_itself.already, merged_into_itself.counts.runs), (2, 2));
    assert!(lines_of(&store).await == lines, "nothing has changed");

    let mut third = SampleRun::new("three");
    assert_eq!(only_a_value.append(vec![third.create()]).await, [Ok(())]);
    let merged_into_other = merged(&only_a_value, &lines).await.expect("there is nothing like it");
    assert_eq!(merged_into_other.already, 0);
    let both = lines_of(&only_a_value).await;
    assert!(text(&both).contains("\"runs\":3,"), "{}", text(&both));
}

#[tokio::test]
async fn differing_data_is_reported_and_nothing_is_written() {
    let lines = lines_of(&small_store().await).await;
    for (what, why) in [
        ("gone on", "cannot import run `two`: it has continued in the store, to a commit at 4"),
        ("other commit", "cannot import run `two`: it has another commit at 1 in the store"),
        ("other blob", "cannot import run `one`: it has another blob \"k\" in the store"),
        ("other letter", "cannot import run `two`: it has other letters in the store"),
        ("other record", "cannot import run `one`: it has another record in the store"),
        ("other value", "cannot import the value \"a\": the store has another one"),
    ] {
        let store = MemoryStore::new();
        if what != "other commit" && what != "other record" {
            imported(&store, &lines).await.expect("it is imported");
        }
        let two = id("two");
        match what {
            "gone on" => {
                let journal = store.read(&two, Seq(1), 99).await.expect("it reads");
                let mut run = SampleRun::resume("two", &journal).expect("it resumes");
                assert_eq!(store.append(vec![run.report(1)]).await, [Ok(())]);
            }
            "other commit" => {
                let mut run = SampleRun::new("two").with_label("an", "other");
                assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
            }
            "other record" => {
                let (mut run, mut last) = (SampleRun::new("one"), Vec::new());
                last.extend([run.create(), run.report(10), run.complete()]);
                if let Some(record) = &mut last[2].record {
                    record.labels.insert("an".into(), "other".into());
                }
                assert!(store.append(last).await.iter().all(Result::is_ok));
            }
            "other blob" => store.put_blob(&id("one"), "k", b"other").await.expect("it is kept"),
            "other letter" => {
                let letters = store.letters(&two, orkestra_core::store::LetterId::ZERO, 9).await.expect("they read");
                store.discard(&two, &[letters[0].id]).await.expect("it is gone");
                store.send(&two, b"other").await.expect("it is sent");
            }
            _ => assert_eq!(store.put("a", 1, b"other").await, Ok(Some(2))),
        }
        let before = lines_of(&store).await;
        let refused = merged(&store, &lines).await;
        let message = refused.as_ref().map_err(ToString::to_string).expect_err("it is refused");
        assert!(matches!(refused, Err(TransferError::Differs(_))), "{refused:?}");
        assert_eq!(message, why);
        assert!(lines_of(&store).await == before, "{what}: something was written");
    }
}

#[tokio::test]
async fn an_interrupted_import_can_be_completed() {
    let lines = lines_of(&small_store().await).await;
    // Every prefix of an import's writes before it was killed.
    for kept in 0..=9 {
        let store = MemoryStore::new();
        let mut two = SampleRun::new("two");
        let mut one = SampleRun::new("one");
        let mut waiting = two.create();
        if let Some(record) = &mut waiting.record {
            record.wake_at = None;
        }
        let (second, first) = (two.report(3), one.create());
        let second = Append { record: Some(two.record()), ..second };
        for step in 0..kept {
            let append = match step {
                0 => waiting.clone(),
                1 => second.clone(),
                2 => {
                    store.send(two.id(), br#"{"v":1,"sent":"Resume"}"#).await.expect("it is sent");
                    continue;
                }
                3 => {
                    store.put_blob(one.id(), "k", b"blob \xff").await.expect("it is kept");
                    continue;
                }
                4 => first.clone(),
                5 => one.report(10),
                6 => one.complete(),
                _ => {
                    store.put("a", 0, b"value").await.expect("it is written");
                    continue;
                }
            };
            assert_eq!(store.append(vec![append]).await, [Ok(())], "step {step}");
        }
        merged(&store, &lines).await.unwrap_or_else(|error| panic!("after {kept} writes: {error}"));
        assert_eq!(text(&lines_of(&store).await), text(&lines), "after {kept} writes");
    }
}

#[tokio::test]
async fn busy_runs_are_refused_or_skipped() {
    let store = small_store().await;
    let two = id("two");
    let (now, later) = (Timestamp::from_millis(900), Timestamp::from_millis(2_000));
    let lease = claim_one(&store, &two, &worker("somebody"), now, later).await.expect("a claim").expect("free").lease;
    let refused = exported(&store, &options()).await;
    assert!(matches!(&refused, Err(TransferError::Busy(runs)) if *runs == [two.clone()]), "{refused:?}");
    let (lines, done) = exported(&store, &options().with_skip_busy(true)).await.expect("it is exported");
    assert_eq!((done.busy, done.counts.runs), (vec![two.clone()], 1));
    assert!(text(&lines).contains("{\"skipped\":\"two\"}\n{\"end\":"));
    imported(&MemoryStore::new(), &lines).await.expect("it is imported");

    // The export takes no lease from other workers, and releases its own.
    assert!(store.renew(&[lease], now, later).await.expect("renewed")[0].held);
    assert!(claim_one(&store, &id("one"), &worker("else"), now, later).await.expect("a claim").is_some());
    // A run whose driver has disappeared is exported.
    let after = options().with_clock(FixedClock(2_000));
    assert_eq!(exported(&store, &after).await.expect("it is exported").1.counts.runs, 2);
}

#[tokio::test]
async fn a_slow_export_renews_its_leases_or_fails_when_it_loses_them() {
    /// A clock that advances by a minute and a half with each reading.
    struct Slow(std::sync::atomic::AtomicU64);

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.fetch_add(90_000, std::sync::atomic::Ordering::Relaxed))
        }
    }

    /// Takes over a run as soon as something is written.
    struct LeaseThief(MemoryStore, bool);

    impl std::io::Write for LeaseThief {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let robbed = bytes.starts_with(b"{\"run\"") && self.1;
            if robbed {
                let (store, two) = (self.0.clone(), id("two"));
                let far = Timestamp::from_millis(u64::MAX);
                let claim = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                    runtime.block_on(claim_one(&store, &two, &worker("robber"), far, far)).expect("it answers")
                });
                assert!(claim.join().expect("it ends").is_some(), "the lease had run out");
                self.1 = false;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let store = small_store().await;
    for robbed in [false, true] {
        let slow = ExportOptions::new(worker("export")).with_clock(Slow(1.into()));
        let done = export(&store, &mut LeaseThief(store.clone(), robbed), &slow).await;
        match (robbed, done) {
            (false, Ok(done)) => assert_eq!(done.counts.runs, 2),
            (true, Err(TransferError::Busy(runs))) => assert_eq!(runs, [id("two")]),
            (_, done) => panic!("robbed: {robbed}, {done:?}"),
        }
    }
}
