//! The store suite of the test kit on each backend and durability, and each backend compared with the in-memory store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::Durability;
use orkestra_testkit::differential;
use orkestra_testkit::store::{MemoryFixture, StoreFixture, suite};
use tempfile::TempDir;

use crate::support::backend::{Backend, Opened, Options};

/// A backend with fixed options.
struct Embedded {
    backend: Backend,
    options: Options,
    /// IMPORTANT: here, not in the place: the suite may drop a place while its store is open, and a store without its
    /// directory cannot create files.
    directories: TempDir,
    made: AtomicUsize,
}

const FEW: u64 = 6_000;
const MANY: u64 = 8_000_000;

impl Embedded {
    fn new(backend: Backend, durability: Durability, gathered_bytes: u64) -> Self {
        let options = Options { durability, gathered_bytes, check: false };
        let directories = tempfile::tempdir().expect("a directory for a test");
        Self { backend, options, directories, made: AtomicUsize::new(0) }
    }

    fn open(&self, place: &Path) -> Opened {
        self.backend.open_with(place, self.options).expect("the store opens")
    }
}

#[async_trait]
impl StoreFixture for Embedded {
    type Place = PathBuf;

    async fn place(&self) -> PathBuf {
        self.directories.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string())
    }

    async fn open(&self, place: &PathBuf) -> Arc<dyn Store> {
        self.open(place).shared()
    }
}

async fn keeps_the_contract(backend: Backend, durability: Durability, gathered_bytes: u64) {
    suite(&Embedded::new(backend, durability, gathered_bytes)).await.assert_passed();
}

async fn answers_as_memory_does(backend: Backend) {
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 8 };
    for seed in 0..seeds {
        let fixture = Embedded::new(backend, Durability::Process, if seed % 2 == 0 { FEW } else { MANY });
        let place = fixture.place().await;
        let store = fixture.open(&place);
        assert_eq!(differential::compare(seed, 400, &MemoryStore::new(), &*store).await, Ok(()));
    }
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    suite(&MemoryFixture).await.assert_passed();
}

#[cfg(feature = "sled")]
mod sled {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract_with_fsync() {
        keeps_the_contract(Backend::Sled, Durability::Fsync, MANY).await;
    }

    #[tokio::test]
    async fn keeps_the_contract_for_the_process() {
        keeps_the_contract(Backend::Sled, Durability::Process, MANY).await;
    }

    #[tokio::test]
    async fn keeps_the_contract_with_a_checkpoint_every_few_commits() {
        keeps_the_contract(Backend::Sled, Durability::Fsync, FEW).await;
    }

    #[tokio::test]
    async fn answers_as_memory() {
        answers_as_memory_does(Backend::Sled).await;
    }
}

#[cfg(feature = "fjall")]
mod fjall {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract_with_fsync() {
        keeps_the_contract(Backend::Fjall, Durability::Fsync, MANY).await;
    }

    #[tokio::test]
    async fn keeps_the_contract_for_the_process() {
        keeps_the_contract(Backend::Fjall, Durability::Process, MANY).await;
    }

    #[tokio::test]
    async fn keeps_the_contract_with_a_table_every_few_commits() {
        keeps_the_contract(Backend::Fjall, Durability::Process, FEW).await;
    }

    #[tokio::test]
    async fn answers_as_memory() {
        answers_as_memory_does(Backend::Fjall).await;
    }
}
