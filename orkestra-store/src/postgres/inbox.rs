//! Letters: what any process sends to a run. The run's row counts them under its lock, so that the index of wake-up
//! times finds every run with letters.

use orkestra_core::model::RunId;
use orkestra_core::model::limits::LETTERS_MAX;
use orkestra_core::store::{Letter, LetterId, Refusal};

use super::error::DatabaseError;
use super::pool::Pool;
use super::row::{column, limit, signed, unsigned};

/// IMPORTANT: no commit may notify, because sessions that notify commit one after the other. Letters are rarer than
/// commits.
macro_rules! send {
    ($notify:literal) => {
        concat!(
            "WITH head AS MATERIALIZED (
                SELECT id, last, mail, sent FROM runs WHERE id = $1 FOR NO KEY UPDATE
            ), letter AS (
                INSERT INTO letters (run, id, body)
                SELECT id, sent + 1, $2 FROM head WHERE last > 0 AND mail < $3
                RETURNING id
            ), counted AS (
                UPDATE runs SET mail = runs.mail + 1, sent = runs.sent + 1
                FROM letter WHERE runs.id = $1
            )
            SELECT h.last > 0, l.id, ",
            $notify,
            " FROM head h LEFT JOIN letter l ON true"
        )
    };
}

const SEND: &str = send!("$4::text");
const SEND_AND_NOTIFY: &str = send!("CASE WHEN l.id IS NULL THEN '' ELSE pg_notify($4, $1)::text END");

/// Stores a letter, and notifies the listeners on `channel`.
pub(super) async fn send(
    pool: &Pool,
    run: &RunId,
    body: &[u8],
    channel: Option<&str>,
) -> Result<LetterId, DatabaseError> {
    Refusal::check_letter(run, body)?;
    let statement = sqlx::query(if channel.is_some() { SEND_AND_NOTIFY } else { SEND });
    let statement = statement.bind(run.as_str()).bind(body).bind(limit(LETTERS_MAX)).bind(channel);
    let rows = pool.write(statement).await?;
    let Some(row) = rows.first() else {
        return Err(Refusal::NoRun(run.clone()).into());
    };
    match (column::<bool>(row, 0)?, column::<Option<i64>>(row, 1)?) {
        (_, Some(id)) => Ok(LetterId(unsigned(id)?)),
        (true, None) => Err(Refusal::FullInbox(run.clone()).into()),
        (false, None) => Err(Refusal::NoRun(run.clone()).into()),
    }
}

pub(super) async fn letters(
    pool: &Pool,
    run: &RunId,
    after: LetterId,
    count: usize,
) -> Result<Vec<Letter>, DatabaseError> {
    let sql = "SELECT id, body FROM letters WHERE run = $1 AND id > $2 ORDER BY id LIMIT $3";
    let (after, count) = (signed(after.0), limit(count));
    let rows = pool.read(|| sqlx::query(sql).bind(run.as_str()).bind(after).bind(count)).await?;
    let letter = |row| {
        let body = column::<&[u8]>(row, 1)?.into();
        Ok(Letter { id: LetterId(unsigned(column(row, 0)?)?), body })
    };
    rows.iter().map(letter).collect()
}

const DISCARD: &str = "WITH head AS MATERIALIZED (
    SELECT id FROM runs WHERE id = $1 FOR NO KEY UPDATE
), gone AS (
    DELETE FROM letters l USING head WHERE l.run = head.id AND l.run = $1 AND l.id = ANY ($2::int8[]) RETURNING l.id
)
UPDATE runs SET mail = runs.mail - (SELECT count(*) FROM gone) WHERE id = $1 AND EXISTS (SELECT FROM gone)";

pub(super) async fn discard(pool: &Pool, run: &RunId, letters: &[LetterId]) -> Result<(), DatabaseError> {
    let ids: Vec<_> = letters.iter().map(|id| signed(id.0)).collect();
    pool.write(sqlx::query(DISCARD).bind(run.as_str()).bind(ids)).await.map(drop)
}
