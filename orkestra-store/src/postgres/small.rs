//! Small values, blobs and snapshots: rows by key, with opaque content.
//!
//! A project's memory, with the key `project:{id}:state`, has a table of its own, where other programs find it.

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Refusal, Snapshot, Versioned};

use super::error::DatabaseError;
use super::pool::Pool;
use super::row::{column, limit, signed, unsigned};

const PROJECT_PREFIX: &str = "project:";
const PROJECT_SUFFIX: &str = ":state";

/// The id of the project whose memory has this key.
fn project(key: &str) -> Option<&str> {
    key.strip_prefix(PROJECT_PREFIX)?.strip_suffix(PROJECT_SUFFIX)
}

pub(super) async fn get(pool: &Pool, key: &str) -> Result<Option<Versioned>, DatabaseError> {
    let (sql, key) = match project(key) {
        Some(id) => ("SELECT version, state FROM project_memory WHERE project_id = $1", id),
        None => ("SELECT version, bytes FROM small_values WHERE key = $1", key),
    };
    let rows = pool.read(|| sqlx::query(sql).bind(key)).await?;
    let value = |row| Ok(Versioned { version: unsigned(column(row, 0)?)?, bytes: column(row, 1)? });
    rows.first().map(value).transpose()
}

pub(super) async fn put(pool: &Pool, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, DatabaseError> {
    let sql = match (project(key).is_some(), expected) {
        (true, 0) => {
            "INSERT INTO project_memory (project_id, version, state) VALUES ($1, $2 + 1, $3)
            ON CONFLICT (project_id) DO NOTHING RETURNING version"
        }
        (true, _) => {
            "UPDATE project_memory SET version = $2 + 1, state = $3 WHERE project_id = $1 AND version = $2
            RETURNING version"
        }
        (false, 0) => {
            "INSERT INTO small_values (key, version, bytes) VALUES ($1, $2 + 1, $3)
            ON CONFLICT (key) DO NOTHING RETURNING version"
        }
        (false, _) => {
            "UPDATE small_values SET version = $2 + 1, bytes = $3 WHERE key = $1 AND version = $2 RETURNING version"
        }
    };
    let Some(expected) = i64::try_from(expected).ok().filter(|expected| *expected < i64::MAX) else {
        return Ok(None);
    };
    let statement = sqlx::query(sql).bind(project(key).unwrap_or(key)).bind(expected).bind(bytes);
    let rows = pool.write(statement).await?;
    rows.first().map(|row| unsigned(column(row, 0)?)).transpose()
}

/// All keys with a prefix, read from the first possible one.
const KEYS: &str = "SELECT key FROM small_values WHERE key >= $1 AND starts_with(key, $1) ORDER BY key LIMIT $2";
const KEYS_AND_PROJECTS: &str = "SELECT key FROM (
        (SELECT key FROM small_values WHERE key >= $1 AND starts_with(key, $1) ORDER BY key LIMIT $2)
        UNION ALL
        SELECT 'project:' || project_id || ':state' FROM project_memory
        WHERE project_id >= $3 AND starts_with('project:' || project_id || ':state', $1)
    ) AS k (key) ORDER BY key COLLATE \"C\" LIMIT $2";

pub(super) async fn keys(pool: &Pool, prefix: &str, count: usize) -> Result<Vec<String>, DatabaseError> {
    let count = limit(count);
    // Whether a project's memory can have such a key.
    let id = prefix.strip_prefix(PROJECT_PREFIX).or_else(|| PROJECT_PREFIX.starts_with(prefix).then_some(""));
    let rows = match id {
        // The beginning of the project id, without what may be the end of a key.
        Some(id) => {
            let id = id.split(':').next().unwrap_or_default();
            pool.read(|| sqlx::query(KEYS_AND_PROJECTS).bind(prefix).bind(count).bind(id)).await?
        }
        None => pool.read(|| sqlx::query(KEYS).bind(prefix).bind(count)).await?,
    };
    rows.iter().map(|row| column(row, 0)).collect()
}

pub(super) async fn put_blob(pool: &Pool, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), DatabaseError> {
    Refusal::check_blob_key(run, key)?;
    let sql = "INSERT INTO blobs (run, key, bytes) VALUES ($1, $2, $3)
        ON CONFLICT (run, key) DO UPDATE SET bytes = excluded.bytes";
    pool.write(sqlx::query(sql).bind(run.as_str()).bind(key).bind(bytes)).await.map(drop)
}

pub(super) async fn blob(pool: &Pool, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, DatabaseError> {
    let sql = "SELECT bytes FROM blobs WHERE run = $1 AND key = $2";
    let rows = pool.read(|| sqlx::query(sql).bind(run.as_str()).bind(key)).await?;
    rows.first().map(|row| column(row, 0)).transpose()
}

pub(super) async fn blob_keys(pool: &Pool, run: &RunId) -> Result<Vec<String>, DatabaseError> {
    let sql = "SELECT key FROM blobs WHERE run = $1 ORDER BY key";
    let rows = pool.read(|| sqlx::query(sql).bind(run.as_str())).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Locks the run against deletion, because a later run with the same id would get the snapshot. It is a cache, so it is
/// not synced.
const PUT_SNAPSHOT: &str = "WITH head AS MATERIALIZED (
    SELECT id FROM runs WHERE id = $1 AND last > 0 FOR KEY SHARE
)
INSERT INTO snapshots (run, last, bytes) SELECT id, $2, $3 FROM head
ON CONFLICT (run) DO UPDATE SET last = excluded.last, bytes = excluded.bytes
RETURNING set_config('synchronous_commit', 'off', true)";

pub(super) async fn put_snapshot(pool: &Pool, run: &RunId, snapshot: &Snapshot) -> Result<(), DatabaseError> {
    let statement = sqlx::query(PUT_SNAPSHOT).bind(run.as_str()).bind(signed(snapshot.last.0)).bind(&*snapshot.bytes);
    pool.write(statement).await.map(drop)
}

pub(super) async fn snapshot(pool: &Pool, run: &RunId) -> Result<Option<Snapshot>, DatabaseError> {
    let sql = "SELECT last, bytes FROM snapshots WHERE run = $1";
    let rows = pool.read(|| sqlx::query(sql).bind(run.as_str())).await?;
    let snapshot = |row| {
        let bytes = column::<&[u8]>(row, 1)?.into();
        Ok(Snapshot { last: Seq(unsigned(column(row, 0)?)?), bytes })
    };
    rows.first().map(snapshot).transpose()
}
