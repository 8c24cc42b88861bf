//! Reads journals and records.

use orkestra_core::journal::Written;
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::RunRecord;

use super::error::DatabaseError;
use super::pool::Pool;
use super::row::{column, limit, record, signed, unsigned};

/// Begins with the commit that contains the position, if there is one.
const JOURNAL: &str = "SELECT first, last, epoch, body FROM journal
    WHERE run = $1 AND last >= $2 AND first >= coalesce(
        (SELECT first FROM journal WHERE run = $1 AND first <= $2 ORDER BY first DESC LIMIT 1), $2)
    ORDER BY first LIMIT $3";

pub(super) async fn journal(pool: &Pool, run: &RunId, from: Seq, count: usize) -> Result<Vec<Written>, DatabaseError> {
    let rows = pool.read(|| sqlx::query(JOURNAL).bind(run.as_str()).bind(signed(from.0)).bind(limit(count))).await?;
    let commit = |row| {
        Ok(Written {
            run: run.clone(),
            first: Seq(unsigned(column(row, 0)?)?),
            last: Seq(unsigned(column(row, 1)?)?),
            epoch: Epoch(unsigned(column(row, 2)?)?),
            body: column::<&[u8]>(row, 3)?.into(),
        })
    };
    rows.iter().map(commit).collect()
}

pub(super) async fn of(pool: &Pool, run: &RunId) -> Result<Option<RunRecord>, DatabaseError> {
    let sql = "SELECT record FROM records WHERE id = $1";
    let rows = pool.read(|| sqlx::query(sql).bind(run.as_str())).await?;
    rows.first().map(|row| record(column(row, 0)?)).transpose()
}
