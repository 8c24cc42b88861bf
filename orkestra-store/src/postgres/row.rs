//! Converts between Rust's types and the database's.

use std::sync::Arc;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type};

use orkestra_core::model::{RunId, Timestamp};
use orkestra_core::store::RunRecord;

use super::error::DatabaseError;

pub(super) fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    at: usize,
) -> Result<T, DatabaseError> {
    row.try_get(at).map_err(|error| DatabaseError::Damaged(error.to_string()))
}

/// A count or time as stored. Larger values are capped: as a time, the year 292 million.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or time read from the database.
pub(super) fn unsigned(number: i64) -> Result<u64, DatabaseError> {
    u64::try_from(number).map_err(|_| DatabaseError::Damaged(format!("a stored count is negative: {number}")))
}

/// A limit for a number of rows.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn time(number: i64) -> Result<Timestamp, DatabaseError> {
    unsigned(number).map(Timestamp::from_millis)
}

pub(super) fn run(text: &str) -> Result<RunId, DatabaseError> {
    RunId::new(text).map_err(|error| DatabaseError::Damaged(error.to_string()))
}

/// The stored form of a record.
pub(super) fn record_text(record: &RunRecord) -> Result<String, DatabaseError> {
    serde_json::to_string(record)
        .map_err(|error| DatabaseError::Unencodable { run: record.id.clone(), source: Arc::new(error) })
}

/// Decodes a stored record.
pub(super) fn record(text: &str) -> Result<RunRecord, DatabaseError> {
    serde_json::from_str(text).map_err(|error| DatabaseError::Record(Arc::new(error)))
}
