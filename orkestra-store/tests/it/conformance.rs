//! The suite of the test kit on each backend in each durability, and each against the in-memory store.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::Durability;
use orkestra_testkit::differential;
use orkestra_testkit::store::{MemoryFixture, StoreFixture, suite};
use tempfile::TempDir;

use crate::support::backend::{BACKENDS, Backend, Opened, Options};

/// A backend, a durability, and how much is gathered before it goes where it stays.
struct Embedded(Backend, Durability, u64);

const FEW: u64 = 6_000;
const MANY: u64 = 8_000_000;

impl Embedded {
    fn open(&self, place: &TempDir) -> Opened {
        let &Self(backend, durability, gathered_bytes) = self;
        let options = Options { durability, gathered_bytes, check: false };
        backend.open_with(place.path().join("store"), options).expect("the store opens")
    }
}

#[async_trait]
impl StoreFixture for Embedded {
    type Place = TempDir;

    async fn place(&self) -> TempDir {
        tempfile::tempdir().expect("a directory for a test")
    }

    async fn open(&self, place: &TempDir) -> Arc<dyn Store> {
        self.open(place).shared()
    }
}

async fn keeps_the_contract(durability: Durability, gathered_bytes: u64) {
    for backend in BACKENDS {
        println!("{backend:?}");
        suite(&Embedded(*backend, durability, gathered_bytes)).await.assert_passed();
    }
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    suite(&MemoryFixture).await.assert_passed();
}

#[tokio::test]
async fn embedded_backends_keep_the_contract_with_fsync() {
    keeps_the_contract(Durability::Fsync, MANY).await;
}

#[tokio::test]
async fn embedded_backends_keep_the_contract_for_the_process() {
    keeps_the_contract(Durability::Process, MANY).await;
}

#[tokio::test]
async fn embedded_backends_keep_the_contract_when_little_is_gathered() {
    keeps_the_contract(Durability::Fsync, FEW).await;
}

#[tokio::test]
async fn embedded_backends_answer_as_memory_does() {
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 8 };
    for backend in BACKENDS {
        for seed in 0..seeds {
            let fixture = Embedded(*backend, Durability::Process, if seed % 2 == 0 { FEW } else { MANY });
            let place = fixture.place().await;
            let store = fixture.open(&place);
            let compared = differential::compare(seed, 400, &MemoryStore::new(), &*store).await;
            assert_eq!(compared, Ok(()), "{backend:?}");
        }
    }
}
