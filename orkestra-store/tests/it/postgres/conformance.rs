//! The store suite of the test kit, and random calls compared with the in-memory store.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::PostgresDurability;
use orkestra_testkit::differential;
use orkestra_testkit::store::{StoreFixture, suite};

use super::support::Database;

struct PostgresFixture(PostgresDurability);

#[async_trait]
impl StoreFixture for PostgresFixture {
    type Place = Database;

    async fn place(&self) -> Database {
        Database::new().expect("the test has found a server before")
    }

    async fn open(&self, place: &Database) -> Arc<dyn Store> {
        Arc::new(place.open_as(place.options().with_durability(self.0)).await)
    }
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    let Some(_server) = Database::new() else { return };
    suite(&PostgresFixture(PostgresDurability::Fsync)).await.assert_passed();
}

#[tokio::test]
async fn postgres_keeps_the_contract_for_the_engine() {
    let Some(_server) = Database::new() else { return };
    suite(&PostgresFixture(PostgresDurability::Engine)).await.assert_passed();
}

#[tokio::test]
async fn postgres_answers_as_memory_does() {
    let Some(_server) = Database::new() else { return };
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 100 } else { 8 };
    for seed in 0..seeds {
        let fixture = PostgresFixture(PostgresDurability::Engine);
        let postgres = fixture.open(&fixture.place().await).await;
        assert_eq!(differential::compare(seed, 400, &MemoryStore::new(), &*postgres).await, Ok(()));
    }
}
