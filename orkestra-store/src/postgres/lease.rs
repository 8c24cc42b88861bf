//! Leases. A claim never waits for another session: rows locked by others are skipped.
//!
//! `until` is NULL when no worker holds the run. The worker stays in the row, so that releasing changes no index.

use std::collections::HashMap;
use std::time::Duration;

use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Claimed, Lease, LeaseState, Renewed};

use super::error::DatabaseError;
use super::pool::{Pool, Statement};
use super::row::{column, signed, unsigned};

/// The time span of a lease, by the clock that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseSpan {
    /// `None` when the database's clock counts.
    pub(super) now: Option<Timestamp>,
    pub(super) begin: Timestamp,
    pub(super) until: Timestamp,
}

impl LeaseSpan {
    /// Binds now, the end and the duration.
    fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        // The longest duration that can be added to any time of the database without overflow.
        let lasts = signed(self.until.as_millis().saturating_sub(self.begin.as_millis())).min(i64::MAX / 2);
        let now = self.now.map(|now| signed(now.as_millis()));
        statement.bind(now).bind(now.map(|_| signed(self.until.as_millis()))).bind(lasts)
    }
}

/// IMPORTANT: a claim is synced whatever the session's durability: a lost one might reissue its epoch.
const CLAIM: &str = "WITH moment AS MATERIALIZED (
    SELECT now, coalesce($2, now + $3) AS until FROM (
        SELECT coalesce($1, floor(extract(epoch FROM statement_timestamp()) * 1000)::int8) AS now) AS m
), free AS MATERIALIZED (
    SELECT id FROM runs
    WHERE id = ANY ($4::text[]) AND (until IS NULL OR until <= (SELECT now FROM moment) OR worker = $5)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE runs SET epoch = nextval('epochs'), worker = $5, until = (SELECT until FROM moment)
    FROM free WHERE runs.id = free.id
    RETURNING runs.id, epoch, last, mail > 0
), born AS (
    INSERT INTO runs (id, epoch, worker, until)
    SELECT asked.id, nextval('epochs'), $5, (SELECT until FROM moment)
    FROM (SELECT DISTINCT id FROM unnest($4) AS a (id)) AS asked
    WHERE NOT EXISTS (SELECT FROM runs r WHERE r.id = asked.id)
    ORDER BY asked.id
    ON CONFLICT (id) DO NOTHING
    RETURNING id, epoch, last, false
)
SELECT c.*, set_config('synchronous_commit', 'on', true) FROM (SELECT * FROM taken UNION ALL SELECT * FROM born) AS c";

pub(super) async fn claim(
    pool: &Pool,
    runs: &[RunId],
    worker: &WorkerId,
    span: LeaseSpan,
) -> Result<Vec<Option<Claimed>>, DatabaseError> {
    let mut ids: Vec<_> = runs.iter().map(RunId::as_str).collect();
    ids.sort_unstable();
    let rows = pool.write(span.bind(sqlx::query(CLAIM)).bind(ids).bind(worker.as_str())).await?;
    let mut claimed = HashMap::new();
    for row in &rows {
        let (epoch, last) = (Epoch(unsigned(column(row, 1)?)?), Seq(unsigned(column(row, 2)?)?));
        claimed.insert(column::<&str>(row, 0)?, (epoch, last, column::<bool>(row, 3)?));
    }
    let answer = |run: &RunId| {
        let (epoch, last, mail) = *claimed.get(run.as_str())?;
        let lease = Lease { run: run.clone(), worker: worker.clone(), epoch, until: span.until };
        Some(Claimed { lease, last, mail })
    };
    Ok(runs.iter().map(answer).collect())
}

/// Not synced: if the server crashes, a lost renewal ends the lease early, and the epoch protects the run.
const RENEW: &str = "WITH held AS MATERIALIZED (
    SELECT r.id, r.epoch FROM runs r JOIN unnest($4::text[], $5::int8[]) AS l (id, epoch) ON r.id = l.id AND r.epoch = l.epoch
    WHERE r.id = ANY ($4) AND r.until IS NOT NULL
    ORDER BY r.id FOR NO KEY UPDATE OF r
)
UPDATE runs SET until = coalesce($2,
    coalesce($1, floor(extract(epoch FROM statement_timestamp()) * 1000)::int8) + $3)
FROM held WHERE runs.id = held.id
RETURNING runs.id, runs.epoch, runs.mail > 0, set_config('synchronous_commit', 'off', true)";

pub(super) async fn renew(pool: &Pool, leases: &[Lease], span: LeaseSpan) -> Result<Vec<Renewed>, DatabaseError> {
    let rows = pool.write(bind(span.bind(sqlx::query(RENEW)), leases)).await?;
    let mut held = HashMap::new();
    for row in &rows {
        held.insert((column::<&str>(row, 0)?, Epoch(unsigned(column(row, 1)?)?)), column::<bool>(row, 2)?);
    }
    let answer = |lease: &Lease| {
        let mail = held.get(&(lease.run.as_str(), lease.epoch));
        Renewed { held: mail.is_some(), mail: mail.copied().unwrap_or_default() }
    };
    Ok(leases.iter().map(answer).collect())
}

/// Not synced: if the server crashes, a lost release leaves a lease that expires by itself.
const RELEASE: &str = "WITH held AS MATERIALIZED (
    SELECT r.id FROM runs r JOIN unnest($1::text[], $2::int8[]) AS l (id, epoch) ON r.id = l.id AND r.epoch = l.epoch
    WHERE r.id = ANY ($1) AND r.until IS NOT NULL
    ORDER BY r.id FOR NO KEY UPDATE OF r
)
UPDATE runs SET until = NULL FROM held WHERE runs.id = held.id
RETURNING set_config('synchronous_commit', 'off', true)";

pub(super) async fn release(pool: &Pool, leases: &[Lease]) -> Result<(), DatabaseError> {
    pool.write(bind(sqlx::query(RELEASE), leases)).await.map(drop)
}

const RELEASE_ALL: &str = "WITH held AS MATERIALIZED (
    SELECT id FROM runs WHERE worker = $1 AND until IS NOT NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE runs SET until = NULL WHERE id = ANY (ARRAY(SELECT id FROM held))";

pub(super) async fn release_all(pool: &Pool, worker: &WorkerId) -> Result<(), DatabaseError> {
    pool.write(sqlx::query(RELEASE_ALL).bind(worker.as_str())).await.map(drop)
}

/// How long the lease still lasts tells both clocks when it ends.
const LEASE: &str = "WITH moment AS (
    SELECT coalesce($2, floor(extract(epoch FROM statement_timestamp()) * 1000)::int8) AS now
)
SELECT worker, epoch, until - (SELECT now FROM moment) FROM runs
WHERE id = $1 AND until > (SELECT now FROM moment)";

/// Who holds `run`; `clock` is none when leases run out by the database's.
pub(super) async fn of(
    pool: &Pool,
    run: &RunId,
    now: Timestamp,
    clock: Option<Timestamp>,
) -> Result<LeaseState, DatabaseError> {
    let clock = clock.map(|now| signed(now.as_millis()));
    let rows = pool.read(|| sqlx::query(LEASE).bind(run.as_str()).bind(clock)).await?;
    let lease = |row| {
        let lasts = Duration::from_millis(unsigned(column(row, 2)?)?);
        let worker =
            WorkerId::new(column::<&str>(row, 0)?).map_err(|error| DatabaseError::Damaged(error.to_string()))?;
        let epoch = Epoch(unsigned(column(row, 1)?)?);
        Ok(LeaseState::Held(Lease { run: run.clone(), worker, epoch, until: now.saturating_add(lasts) }))
    };
    rows.first().map_or(Ok(LeaseState::Free), lease)
}

/// Binds runs and epochs, ordered by run.
fn bind<'q>(statement: Statement<'q>, leases: &[Lease]) -> Statement<'q> {
    let mut pairs: Vec<_> = leases.iter().map(|lease| (lease.run.as_str(), signed(lease.epoch.0))).collect();
    pairs.sort_unstable();
    let (runs, epochs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    statement.bind(runs).bind(epochs)
}
