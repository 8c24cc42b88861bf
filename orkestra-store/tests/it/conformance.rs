//! The suite of the test kit on each backend in each durability, and each against the in-memory store.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::{Durability, SledStore};
use orkestra_testkit::differential;
use orkestra_testkit::store::{MemoryFixture, StoreFixture, suite};
use tempfile::TempDir;

/// A durability, and how much is gathered before it is brought into sled.
struct SledFixture(Durability, u64);

const FEW: u64 = 6_000;
const MANY: u64 = 8_000_000;

#[async_trait]
impl StoreFixture for SledFixture {
    type Place = TempDir;

    async fn place(&self) -> TempDir {
        tempfile::tempdir().expect("a directory for a test")
    }

    async fn open(&self, place: &TempDir) -> Arc<dyn Store> {
        let options = SledStore::options().with_durability(self.0).with_cache_bytes(8 * 1024 * 1024);
        let options = options.with_write_ahead_bytes(self.1);
        Arc::new(options.open(place.path().join("store")).expect("the store opens"))
    }
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    suite(&MemoryFixture).await.assert_passed();
}

#[tokio::test]
async fn sled_keeps_the_contract_with_fsync() {
    suite(&SledFixture(Durability::Fsync, MANY)).await.assert_passed();
}

#[tokio::test]
async fn sled_keeps_the_contract_for_the_process() {
    suite(&SledFixture(Durability::Process, MANY)).await.assert_passed();
}

#[tokio::test]
async fn sled_keeps_the_contract_with_a_checkpoint_every_few_commits() {
    suite(&SledFixture(Durability::Fsync, FEW)).await.assert_passed();
}

#[tokio::test]
async fn sled_answers_as_memory_does() {
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 8 };
    for seed in 0..seeds {
        let fixture = SledFixture(Durability::Process, if seed % 2 == 0 { FEW } else { MANY });
        let place = fixture.place().await;
        let sled = fixture.open(&place).await;
        assert_eq!(differential::compare(seed, 400, &MemoryStore::new(), &*sled).await, Ok(()));
    }
}
