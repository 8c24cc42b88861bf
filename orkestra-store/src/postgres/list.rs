//! Lists of runs, newest first, read from one index and paged by key. Only additional filters read more than a page.

use std::fmt::Write;

use sqlx::AssertSqlSafe;

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Name, RunId, Timestamp};
use orkestra_core::store::{ListCursor, Page, RunQuery, RunRecord};

use super::error::DatabaseError;
use super::labels::{DIGEST_BYTES, digest};
use super::pool::{Pool, Statement};
use super::row::{column, limit, record, signed};

/// One page of runs, read by the most selective index: label, parent, workflow or status.
pub(super) async fn list(pool: &Pool, query: &RunQuery) -> Result<Page<RunRecord>, DatabaseError> {
    let labels: Vec<_> = query.labels.iter().map(|(key, value)| digest(key, value)).collect();
    let statuses: Vec<_> = query.wanted_statuses().into_iter().map(RunStatus::name).collect();
    let sql = text(query, !statuses.is_empty(), labels.len());
    let rows = pool.read(|| bind(&sql, query, &statuses, &labels)).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(record(column(row, 0)?)?);
    }
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last: &RunRecord| ListCursor { created_at: last.created_at, id: last.id.clone() });
    Ok(Page { items, next })
}

/// The newest runs of each wanted status, then the newest of all of those. For each status, at most one page of index
/// entries is read.
const BY_STATUS: &str = "(
        SELECT r.id, r.created_at FROM unnest($6::text[]) AS s (status) CROSS JOIN LATERAL (
            SELECT id, created_at FROM runs
            WHERE status = s.status AND created_at >= $2 AND created_at <= $3 AND (created_at, id) < ($4, $5)
            ORDER BY created_at DESC, id DESC LIMIT $1
        ) AS r ORDER BY r.created_at DESC, r.id DESC LIMIT $1
    )";

/// The text of a query. Values are passed only as parameters, never in the text.
///
/// Parameters: limit, from, until, time and run of the cursor, statuses, workflow, parent, labels.
fn text(query: &RunQuery, statuses: bool, labels: usize) -> String {
    let (table, id) = match (labels, query.parent.is_some() || query.workflow.is_some(), statuses) {
        (1.., _, _) => ("labels", "run"),
        (0, false, true) => (BY_STATUS, "id"),
        _ => ("records", "id"),
    };
    let mut sql = format!(
        "SELECT o.record FROM {table} AS p JOIN records AS o ON o.id = p.{id}
        WHERE p.created_at >= $2 AND p.created_at <= $3 AND (p.created_at, p.{id}) < ($4, $5)"
    );
    if table == "labels" {
        // An index entry of labels that have changed since leads to a record of another time, or none.
        sql.push_str(" AND o.created_at = p.created_at");
    }
    match (table, statuses) {
        (BY_STATUS, _) => {}
        (_, true) => sql.push_str(" AND (SELECT status FROM runs WHERE id = o.id) = ANY ($6)"),
        (_, false) => sql.push_str(" AND $6::text[] IS NULL"),
    }
    sql.push_str(if query.workflow.is_some() { " AND o.workflow = $7" } else { " AND $7::text IS NULL" });
    sql.push_str(if query.parent.is_some() { " AND o.parent = $8" } else { " AND $8::text IS NULL" });
    for number in 0..labels {
        let at = number + 9;
        if number == 0 {
            let _ = write!(sql, " AND p.label = ${at}");
        }
        let _ = write!(
            sql,
            " AND EXISTS (SELECT FROM generate_series(1, octet_length(o.labels), {DIGEST_BYTES}) AS l (at)
                WHERE substring(o.labels FROM l.at FOR {DIGEST_BYTES}) = ${at})"
        );
    }
    let _ = write!(sql, " ORDER BY p.created_at DESC, p.{id} DESC LIMIT $1");
    sql
}

fn bind<'q>(sql: &str, query: &RunQuery, statuses: &[&str], labels: &[Vec<u8>]) -> Statement<'q> {
    let time = |time: Option<Timestamp>| time.map(|time| signed(time.as_millis()));
    // Without a cursor: the latest time, and a text greater than every run id.
    let cursor = query.cursor.as_ref().map(|cursor| (signed(cursor.created_at.as_millis()), cursor.id.as_str()));
    let (at, id) = cursor.unwrap_or((i64::MAX, "~"));
    let statement = sqlx::query(AssertSqlSafe(sql))
        .bind(limit(query.limit.saturating_add(1)))
        .bind(time(query.created_from).unwrap_or(0))
        // The last millisecond before it.
        .bind(time(query.created_until).map_or(i64::MAX, |until| until - 1))
        .bind(at)
        .bind(id)
        .bind((!statuses.is_empty()).then(|| statuses.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>()))
        .bind(query.workflow.as_ref().map(Name::as_str))
        .bind(query.parent.as_ref().map(RunId::as_str));
    labels.iter().fold(statement, Statement::bind)
}
