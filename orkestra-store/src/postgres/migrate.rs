//! Creates and upgrades the schema. Many workers may start at once: each version is a row with a primary key, so that
//! one worker upgrades and the others see it. Uses only row locks, and nothing that outlives a transaction.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::error::DatabaseError;
use super::session::Server;

/// Applied once each, in this order. A released migration never changes. The second part is only for Postgres.
const MIGRATIONS: &[(&str, &str)] = &[(include_str!("sql/0001.sql"), include_str!("sql/0001_postgres.sql"))];

/// How often to look again when another worker is upgrading.
const TRIES_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// Upgrades the schema to the version this library expects.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str, server: Server) -> Result<(), DatabaseError> {
    let mut tries = 0;
    loop {
        let done = version(connection, schema).await?;
        let Some((all, postgres)) = MIGRATIONS.get(done) else {
            if done == MIGRATIONS.len() {
                return Ok(());
            }
            return Err(DatabaseError::Version(format!(
                "cannot open the schema `{schema}`: it has version {done}, this library supports up to {}; use a newer version of the library",
                MIGRATIONS.len()
            )));
        };
        let parts = if server == Server::Postgres { [*all, postgres] } else { [*all, ""] };
        match step(connection, schema, done + 1, parts).await.map_err(|error| DatabaseError::sent(&error)) {
            Ok(()) => tracing::info!(schema, version = done + 1, "upgraded the schema"),
            Err(error) if is_collision(&error) && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Number of migrations applied.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<usize, DatabaseError> {
    // Not the information schema: it hides tables that the role has no rights on, which must not be created again.
    let there = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations'";
    let read = async {
        if !is_there(&mut *connection, there, schema).await? {
            return Ok(0);
        }
        let row = connection.fetch_one("SELECT coalesce(max(number), 0) FROM migrations").await?;
        row.try_get::<i64, _>(0)
    };
    let done = read.await.map_err(|error| DatabaseError::sent(&error))?;
    usize::try_from(done).map_err(|_| DatabaseError::Damaged(format!("the schema `{schema}` has version {done}")))
}

async fn is_there(connection: &mut PgConnection, sql: &'static str, schema: &str) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(sql).bind(schema).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}

async fn step(
    connection: &mut PgConnection,
    schema: &str,
    number: usize,
    parts: [&'static str; 2],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let there = "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1";
    // `IF NOT EXISTS` requires the right to create a schema even if it exists.
    if !is_there(&mut transaction, there, schema).await? {
        // The name was validated: it contains only letters, digits and `_`.
        transaction.execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"))).await?;
    }
    if number == 1 {
        transaction.execute("CREATE TABLE IF NOT EXISTS migrations (number bigint PRIMARY KEY)").await?;
    }
    // A second worker waits here for the first, then gets a duplicate key error.
    let claim = format!("INSERT INTO migrations (number) VALUES ({number})");
    transaction.execute(AssertSqlSafe(claim)).await?;
    for sql in parts {
        transaction.execute(sql).await?;
    }
    transaction.commit().await
}

/// Whether another worker is upgrading: something exists already, or is being changed.
fn is_collision(error: &DatabaseError) -> bool {
    let there = ["23505", "42P06", "42P07", "42710", "40001", "40P01"];
    match error {
        DatabaseError::Refused { code, .. } => there.contains(&code.as_str()),
        // Postgres reports "tuple concurrently updated" without a code of its own.
        DatabaseError::Unknown(message) => message.contains("concurrently"),
        _ => false,
    }
}
