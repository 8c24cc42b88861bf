//! Between Rust's types and the database's.

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type};

use orkestra_core::model::{RunId, Timestamp};
use orkestra_core::store::RunRecord;

use super::error::Trouble;

/// A column of a row.
pub(super) fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(row: &'r PgRow, at: usize) -> Result<T, Trouble> {
    row.try_get(at).map_err(|error| Trouble::Damaged(error.to_string()))
}

/// A count or time as the database keeps it. What is higher counts as the highest: the year 292 million.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or time that the database gave.
pub(super) fn unsigned(number: i64) -> Result<u64, Trouble> {
    u64::try_from(number).map_err(|_| Trouble::Damaged(format!("{number} is no count")))
}

/// How many rows to ask for.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A time.
pub(super) fn time(number: i64) -> Result<Timestamp, Trouble> {
    unsigned(number).map(Timestamp::from_millis)
}

/// A run's id.
pub(super) fn run(text: &str) -> Result<RunId, Trouble> {
    RunId::new(text).map_err(|error| Trouble::Damaged(error.to_string()))
}

/// A record as it is kept.
pub(super) fn text_of(record: &RunRecord) -> Result<String, Trouble> {
    serde_json::to_string(record).map_err(|error| Trouble::Invalid(format!("the record of `{}`: {error}", record.id)))
}

/// A record as it was kept.
pub(super) fn record(text: &str) -> Result<RunRecord, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Damaged(format!("a record cannot be read: {error}")))
}
