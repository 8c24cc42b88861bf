//! What `put_blob` and `blob` must do.

use orkestra_core::model::RunId;
use orkestra_core::model::limits::BLOB_KEY_BYTES_MAX;
use orkestra_core::store::{Refusal, Store};

use crate::sample::SampleRun;

use super::append::write;
use super::report::{ensure, refused, same};
use super::{Breach, StoreFixture, TestResult};

fn run(id: &str) -> RunId {
    RunId::new(id).expect("a run's id")
}

fn bytes(size: u32, seed: u8) -> Vec<u8> {
    (0..size).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ seed).collect()
}

async fn is(store: &dyn Store, run: &RunId, key: &str, wanted: Option<&[u8]>) -> TestResult {
    let found = store.blob(run, key).await?;
    ensure(found.as_deref() == wanted, || {
        let length = |bytes: Option<&[u8]>| bytes.map_or("nothing".into(), |bytes| format!("{} bytes", bytes.len()));
        format!("`{key}` of `{run}`: {} instead of {}", length(found.as_deref()), length(wanted))
    })
}

/// 1. A blob is durable, whatever its size, also for a run that does not exist yet.
///
/// # Errors
/// [`Breach`].
pub async fn blob_1_is_durable<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (run, longest) = (run(&"r".repeat(200)), "ü".repeat(BLOB_KEY_BYTES_MAX / 2));
    is(&*store, &run, "0", None).await?;
    let sizes = [0, 1, 5_119, 5_120, 5_121, 130_000, 3_000_000];
    for size in sizes {
        store.put_blob(&run, &size.to_string(), &bytes(size, 1)).await?;
    }
    store.put_blob(&run, &longest, b"long").await?;
    drop(store);
    let store = fixture.open(&place).await;
    for size in sizes {
        is(&*store, &run, &size.to_string(), Some(&bytes(size, 1))).await?;
    }
    is(&*store, &run, &longest, Some(b"long")).await?;
    is(&*store, &run, "00", None).await?;
    for (key, what) in [("", "no key"), (&*"k".repeat(BLOB_KEY_BYTES_MAX + 1), "a key too long")] {
        let wanted = Refusal::BlobKey { run: run.clone(), bytes: key.len() };
        refused(what, store.put_blob(&run, key, b"x").await, wanted)?;
    }
    Ok(())
}

/// 2. Writing a key again replaces the whole blob, whether it shrinks or grows.
///
/// # Errors
/// [`Breach`].
pub async fn blob_2_is_replaced<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let run = run("r");
    for (round, size) in [10, 300_000, 20_000, 20_001, 0, 5].into_iter().enumerate() {
        let store = fixture.open(&place).await;
        let new = bytes(size, u8::try_from(round).map_err(|error| Breach(error.to_string()))?);
        store.put_blob(&run, "k", &new).await?;
        is(&*store, &run, "k", Some(&new)).await?;
        drop(store);
        is(&*fixture.open(&place).await, &run, "k", Some(&new)).await?;
    }
    Ok(())
}

/// 3. A blob is kept until its run is deleted, and then deleted with it. Blobs of other runs are kept, however similar their ids
///    are.
///
/// # Errors
/// [`Breach`].
pub async fn blob_3_goes_with_its_run<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let mut sample = SampleRun::new("r");
    let others = [("r-", "a"), ("r1", "a"), ("R", "a"), ("rr", "a")].map(|(id, key)| (run(id), key));
    for (other, key) in &others {
        store.put_blob(other, key, other.as_bytes()).await?;
    }
    store.put_blob(sample.id(), "a", b"small").await?;
    write(&*store, vec![sample.create()]).await?;
    store.put_blob(sample.id(), "b", &bytes(200_000, 0)).await?;
    write(&*store, vec![sample.complete()]).await?;
    is(&*store, sample.id(), "a", Some(b"small")).await?;
    is(&*store, sample.id(), "b", Some(&bytes(200_000, 0))).await?;
    store.delete(sample.id()).await?;
    // A blob written for a run that was never created.
    store.delete(&others[3].0).await?;
    drop(store);
    let store = fixture.open(&place).await;
    is(&*store, sample.id(), "a", None).await?;
    is(&*store, sample.id(), "b", None).await?;
    is(&*store, &others[3].0, "a", None).await?;
    for (other, key) in &others[..3] {
        is(&*store, other, key, Some(other.as_bytes())).await?;
    }
    same("the small values", &store.keys("", 9).await?, &Vec::new())
}

/// The blob keys of a run are listed in order, each once, whatever the sizes; a run without blobs has none.
///
/// # Errors
/// [`Breach`].
pub async fn blob_keys_are_those_of_the_run_in_order<F: StoreFixture>(fixture: &F) -> TestResult {
    let place = fixture.place().await;
    let store = fixture.open(&place).await;
    let (one, other) = (run("r"), run("r1"));
    for key in ["b", "a/b", "ü", "a", "Z", "a"] {
        store.put_blob(&one, key, &bytes(200_000, 0)).await?;
    }
    store.put_blob(&other, "c", b"small").await?;
    same("the keys", &store.blob_keys(&one).await?, &["Z", "a", "a/b", "b", "ü"].map(str::to_owned).to_vec())?;
    same("the other's keys", &store.blob_keys(&other).await?, &vec!["c".to_owned()])?;
    same("the keys of a run without blobs", &store.blob_keys(&run("R")).await?, &Vec::new())
}
