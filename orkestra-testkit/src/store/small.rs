//! What `get`, `put` and `keys` must do.

use std::sync::Arc;

use orkestra_core::store::{Store, Versioned};

use super::report::same;
use super::{Breach, StoreFixture, TestResult};

/// A value is written only if its version is the expected one, and is durable.
///
/// # Errors
/// [`Breach`].
pub async fn small_values_are_compared_and_set<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    same("a value that does not exist", &store.get("k").await?, &None)?;
    same("a first write that expects version 1", &store.put("k", 1, b"x").await?, &None)?;
    same("the first write", &store.put("k", 0, b"one").await?, &Some(1))?;
    same("a second write that expects no value", &store.put("k", 0, b"two").await?, &None)?;
    same("the second write", &store.put("k", 1, b"two").await?, &Some(2))?;
    same("a write that expects an old version", &store.put("k", 1, b"three").await?, &None)?;
    same("a write of the same bytes", &store.put("k", 2, b"two").await?, &Some(3))?;
    let value = Some(Versioned { version: 3, bytes: b"two".to_vec() });
    same("the value", &store.get("k").await?, &value)?;
    same("a key with the same prefix", &store.get("k2").await?, &None)?;
    drop(store);
    let store = fixture.open(&place).await;
    same("the value after reopening", &store.get("k").await?, &value)
}

/// Values may be empty or large, and may shrink.
///
/// # Errors
/// [`Breach`].
pub async fn small_values_of_any_size_survive<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let mut version = 0;
    for size in [0, 1, 5_112, 5_113, 300_000, 20_000, 5_120, 0, 100] {
        let store = fixture.open(&place).await;
        let bytes: Vec<u8> = (0..size).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        same("a write", &store.put("k", version, &bytes).await?, &Some(version + 1))?;
        version += 1;
        drop(store);
        let store = fixture.open(&place).await;
        let read = store.get("k").await?.ok_or_else(|| Breach(format!("{size} bytes are gone")))?;
        same("its version", &read.version, &version)?;
        same("its length", &read.bytes.len(), &bytes.len())?;
        same("whether its bytes are the same", &(read.bytes == bytes), &true)?;
        same("the keys", &store.keys("", 9).await?, &vec!["k".to_owned()])?;
    }
    Ok(())
}

/// Keys are found by prefix, in order, at most `limit` of them.
///
/// # Errors
/// [`Breach`].
pub async fn small_keys_are_found_by_prefix<F: StoreFixture>(fixture: &F) -> TestResult {
    let store = fixture.open(&fixture.place().await).await;
    for key in ["b/2", "b/10", "a", "b/1", "c", "b", "ü"] {
        same("a write", &store.put(key, 0, b"x").await?, &Some(1))?;
    }
    let cases: [(&str, usize, &[&str]); 6] = [
        ("b/", 9, &["b/1", "b/10", "b/2"]),
        ("b", 2, &["b", "b/1"]),
        ("", 9, &["a", "b", "b/1", "b/10", "b/2", "c", "ü"]),
        ("ü", 9, &["ü"]),
        ("d", 9, &[]),
        ("", 0, &[]),
    ];
    for (prefix, limit, wanted) in cases {
        let keys = store.keys(prefix, limit).await?;
        same(&format!("keys of `{prefix}`"), &keys, &wanted.iter().map(ToString::to_string).collect())?;
    }
    Ok(())
}

/// With many writers at once, each write is either counted or refused; none is lost.
///
/// # Errors
/// [`Breach`].
pub async fn small_writes_of_many_at_once_are_all_counted<F: StoreFixture>(fixture: &F) -> TestResult {
    const WRITERS: u64 = 8;
    const WRITES: u64 = 10;
    let store = fixture.open(&fixture.place().await).await;
    let writers = (0..WRITERS).map(|_| tokio::spawn(count_up(Arc::clone(&store), WRITES)));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.map_err(|error| Breach(format!("a writer panicked: {error}")))??;
    }
    let value = store.get("counter").await?.ok_or_else(|| Breach("the counter is gone".into()))?;
    same("the counter's version", &value.version, &(WRITERS * WRITES))?;
    same("the counter", &value.bytes, &(WRITERS * WRITES).to_be_bytes().to_vec())
}

async fn count_up(store: Arc<dyn Store>, times: u64) -> TestResult {
    for _ in 0..times {
        loop {
            let current = store.get("counter").await?;
            let version = current.as_ref().map_or(0, |value| value.version);
            // The value equals the version, so a lost write is noticed.
            if store.put("counter", version, &(version + 1).to_be_bytes()).await?.is_some() {
                break;
            }
        }
    }
    Ok(())
}
