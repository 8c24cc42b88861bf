//! Runs that are moved into a database and out again, and continue there.

use std::sync::Arc;

use orkestra_core::store::{MemoryStore, Store};
use orkestra_store::PostgresStore;
use orkestra_store::transfer::survey;

use super::support::Database;
use crate::transfer::engine::{StepCounts, claims_below_journal, continues, move_runs, start_both};
use crate::transfer::{add_real_run, imported, lines_of, random_calls, text};

#[tokio::test]
async fn an_export_is_unchanged_after_passing_through_postgres() {
    for seed in 0..3 {
        let Some(database) = Database::new() else { return };
        let (first, store) = (random_calls(seed).await, database.open().await);
        for number in 0..12 {
            add_real_run(&first, seed * 100 + number).await;
        }
        let lines = lines_of(&first).await;
        imported(&store, &lines).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(text(&lines_of(&store).await), text(&lines), "seed {seed}");
        assert_eq!(survey(&store).await.expect("it reads").damage, []);
        let last = MemoryStore::new();
        imported(&last, &lines_of(&store).await).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(text(&lines_of(&last).await), text(&lines), "seed {seed}, back in memory");
    }
}

#[tokio::test]
async fn an_engine_continues_runs_moved_to_postgres_with_lower_epochs() {
    let Some(database) = Database::new() else { return };
    let made = StepCounts::default();
    let from: Arc<dyn Store> = Arc::new(MemoryStore::new());
    claim_often(&*from).await;
    start_both(&from, &made).await;
    let options = PostgresStore::options().with_schema(&database.schema);
    let store: Arc<dyn Store> = Arc::new(database.open_as(options).await);
    move_runs(&*from, &*store).await;
    assert!(claims_below_journal(&*store).await, "the epochs of the journals are higher than those of claims");
    continues(store, &made).await;
}

/// Raises the epochs of the store.
async fn claim_often(store: &dyn Store) {
    use orkestra_core::model::{RunId, Timestamp, WorkerId};
    use orkestra_core::store::claim_one;
    let (run, worker) = (RunId::new("nobody").expect("an id"), WorkerId::new("nobody").expect("a name"));
    for _ in 0..1_000 {
        let claimed = claim_one(store, &run, &worker, Timestamp::ZERO, Timestamp::ZERO).await;
        assert!(claimed.is_ok_and(|claimed| claimed.is_some()));
    }
}
