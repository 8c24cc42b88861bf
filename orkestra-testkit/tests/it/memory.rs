//! The in-memory store keeps the contract, and the suite detects a store that does not.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_testkit::store::{MemoryFixture, StoreFixture, append_2_ok_means_durable, suite};
use orkestra_testkit::{Fault, FaultyStore, differential};

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    let report = suite(&MemoryFixture).await;
    report.assert_passed();
    assert!(report.tests() > 30, "{report}");
}

#[tokio::test]
async fn two_memory_stores_answer_the_same() {
    for seed in 0..20 {
        let same = differential::compare(seed, 400, &MemoryStore::new(), &MemoryStore::new()).await;
        assert_eq!(same, Ok(()));
    }
}

/// Acknowledges writes and forgets them.
struct Forgetful;

#[async_trait]
impl StoreFixture for Forgetful {
    type Place = ();

    async fn place(&self) {}

    async fn open(&self, (): &()) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }
}

#[tokio::test]
async fn the_suite_detects_a_store_that_forgets() {
    let breach = append_2_ok_means_durable(&Forgetful).await.expect_err("it forgets");
    assert!(breach.to_string().starts_with("the journal: [] instead of"), "{breach}");
    let report = suite(&Forgetful).await;
    assert!(report.breaches().count() >= 5, "{report}");
}

#[tokio::test]
async fn a_difference_is_reported_with_its_seed() {
    let faulty = FaultyStore::new(Arc::new(MemoryStore::new())).with_fault(20, Fault::UnknownLost);
    let difference = differential::compare(7, 400, &MemoryStore::new(), &faulty).await.expect_err("it lost a batch");
    assert!(difference.starts_with("seed 7, call "), "{difference}");
}
