//! The suite of the test kit on each backend in each durability, and each against the in-memory store.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::{Durability, SledStore};
use orkestra_testkit::differential;
use orkestra_testkit::store::{MemoryFixture, StoreFixture, suite};
use tempfile::TempDir;

struct SledFixture(Durability);

#[async_trait]
impl StoreFixture for SledFixture {
    type Place = TempDir;

    async fn place(&self) -> TempDir {
        tempfile::tempdir().expect("a directory for a test")
    }

    async fn open(&self, place: &TempDir) -> Arc<dyn Store> {
        let options = SledStore::options().with_durability(self.0).with_cache_bytes(8 * 1024 * 1024);
        Arc::new(options.open(place.path().join("store")).expect("the store opens"))
    }
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    suite(&MemoryFixture).await.assert_passed();
}

#[tokio::test]
async fn sled_keeps_the_contract_with_fsync() {
    suite(&SledFixture(Durability::Fsync)).await.assert_passed();
}

#[tokio::test]
async fn sled_keeps_the_contract_for_the_process() {
    suite(&SledFixture(Durability::Process)).await.assert_passed();
}

#[tokio::test]
async fn sled_answers_as_memory_does() {
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 8 };
    for seed in 0..seeds {
        let fixture = SledFixture(Durability::Process);
        let place = fixture.place().await;
        let sled = fixture.open(&place).await;
        assert_eq!(differential::compare(seed, 400, &MemoryStore::new(), &*sled).await, Ok(()));
    }
}
