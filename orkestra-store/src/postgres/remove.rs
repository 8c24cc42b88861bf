//! Deletes a run and everything stored for it.
//!
//! IMPORTANT: two statements in one transaction. The first locks the run, the second sees everything committed before.
//! A single statement would leave behind what a commit wrote between its snapshot and its lock.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use orkestra_core::model::RunId;

use super::error::DatabaseError;
use super::pool::Pool;

const LOCK: &str = "SELECT id FROM runs WHERE id = $1 FOR UPDATE";

const DELETE: &str = "WITH journal AS (DELETE FROM journal WHERE run = $1),
    letters AS (DELETE FROM letters WHERE run = $1),
    blobs AS (DELETE FROM blobs WHERE run = $1),
    snapshots AS (DELETE FROM snapshots WHERE run = $1),
    gone AS (DELETE FROM records WHERE id = $1 RETURNING created_at, labels),
    labels AS (
        DELETE FROM labels l WHERE l.run = $1 AND l.created_at = (SELECT created_at FROM gone) AND l.label = ANY (ARRAY(
            SELECT substring(gone.labels FROM at FOR 16) FROM gone, generate_series(1, octet_length(gone.labels), 16) AS at))
    )
    DELETE FROM runs WHERE id = $1";

pub(super) async fn delete(pool: &Pool, run: &RunId) -> Result<(), DatabaseError> {
    let mut tries = 1;
    loop {
        let mut taken = pool.take().await?;
        let answer = pool.with_timeout(transaction(&mut taken.connection, run)).await;
        match pool.give_back(taken, answer) {
            // Deleting is idempotent.
            Err(error) if tries < 3 && (error.is_transient() || error.breaks_connection()) => tries += 1,
            answer => return answer,
        }
    }
}

async fn transaction(connection: &mut PgConnection, run: &RunId) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK).bind(run.as_str()).fetch_all(&mut *transaction).await?;
    sqlx::query(DELETE).bind(run.as_str()).execute(&mut *transaction).await?;
    transaction.commit().await
}
