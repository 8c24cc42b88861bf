//! Which runs need a driver. One statement, which reads only the index of wake-up times, from the cursor on.

use sqlx::postgres::PgRow;

use orkestra_core::model::Timestamp;
use orkestra_core::store::{Due, DueCursor, DueQuery};

use super::error::DatabaseError;
use super::pool::Pool;
use super::row::{column, limit, run, signed, time};

/// Reads one more than requested, to know what follows; or, if the page is not full, the first run that is not due yet.
const DUE: &str = "WITH moment AS (
    SELECT coalesce($1, floor(extract(epoch FROM statement_timestamp()) * 1000)::int8) AS now
), due AS MATERIALIZED (
    SELECT due_at, id FROM runs
    WHERE due_at IS NOT NULL AND due_at <= $2 AND (due_at, id) > ($3, $4)
        AND (until IS NULL OR until <= (SELECT now FROM moment))
    ORDER BY due_at, id LIMIT $5
), later AS (
    SELECT due_at, id FROM runs
    WHERE due_at IS NOT NULL AND due_at > $2 AND (due_at, id) > ($3, $4)
        AND (until IS NULL OR until <= (SELECT now FROM moment))
    ORDER BY due_at, id LIMIT CASE WHEN (SELECT count(*) FROM due) < $5 THEN 1 ELSE 0 END
)
SELECT due_at, id, true FROM due UNION ALL SELECT due_at, id, false FROM later ORDER BY 1, 2";

/// `now` is `None` when leases expire by the database's clock.
pub(super) async fn due(pool: &Pool, query: &DueQuery, now: Option<Timestamp>) -> Result<Due, DatabaseError> {
    let (at, id) =
        query.after.as_ref().map_or((-1, ""), |after| (signed(after.wake_at.as_millis()), after.id.as_str()));
    let (now, until) = (now.map(|now| signed(now.as_millis())), signed(query.until.as_millis()));
    let count = limit(query.limit.saturating_add(1));
    let rows = pool.read(|| sqlx::query(DUE).bind(now).bind(until).bind(at).bind(id).bind(count)).await?;
    let mut due = Due::default();
    for row in &rows {
        let is_due = column::<bool>(row, 2)? && due.runs.len() < query.limit;
        if is_due {
            due.runs.push(cursor(row)?);
        } else {
            due.next = Some(time(column(row, 0)?)?);
            break;
        }
    }
    Ok(due)
}

fn cursor(row: &PgRow) -> Result<DueCursor, DatabaseError> {
    Ok(DueCursor { wake_at: time(column(row, 0)?)?, id: run(column(row, 1)?)? })
}
