//! The schema, made and upgraded. Many workers may start at once: the version is a row with a primary key, so that one of
//! them does it, and the others see that it is done. No locks but those of the rows, nothing that outlives a transaction.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::error::Trouble;
use super::session::Server;

/// Each once, in this order, for ever: a released one is never changed. The second part is for Postgres alone.
const MIGRATIONS: &[(&str, &str)] = &[(include_str!("sql/0001.sql"), include_str!("sql/0001_postgres.sql"))];

/// Others may be at it; whoever meets them looks again.
const TRIES_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// Brings the schema to what this library expects.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str, server: Server) -> Result<(), Trouble> {
    let mut tries = 0;
    loop {
        let done = version(connection, schema).await?;
        let Some((all, postgres)) = MIGRATIONS.get(done) else {
            if done == MIGRATIONS.len() {
                return Ok(());
            }
            return Err(Trouble::Version(format!(
                "the schema `{schema}` is of version {done}, this library knows {}: use a newer one",
                MIGRATIONS.len()
            )));
        };
        let parts = if server == Server::Postgres { [*all, postgres] } else { [*all, ""] };
        match step(connection, schema, done + 1, parts).await.map_err(|error| Trouble::sent(&error)) {
            Ok(()) => tracing::info!(schema, version = done + 1, "the schema was upgraded"),
            Err(trouble) if is_collision(&trouble) && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(trouble) => return Err(trouble),
        }
    }
}

/// How many migrations are done.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<usize, Trouble> {
    // Not the information schema: it hides what the role has no right to, which is not to be made anew.
    let there = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations'";
    let read = async {
        if !is_there(&mut *connection, there, schema).await? {
            return Ok(0);
        }
        let row = connection.fetch_one("SELECT coalesce(max(number), 0) FROM migrations").await?;
        row.try_get::<i64, _>(0)
    };
    let done = read.await.map_err(|error| Trouble::sent(&error))?;
    usize::try_from(done).map_err(|_| Trouble::Damaged(format!("the schema `{schema}` is of version {done}")))
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
    // Even where it is there, `IF NOT EXISTS` wants the right to create one.
    if !is_there(&mut transaction, there, schema).await? {
        // The name was checked: it holds nothing but letters, digits and `_`.
        transaction.execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"))).await?;
    }
    if number == 1 {
        transaction.execute("CREATE TABLE IF NOT EXISTS migrations (number bigint PRIMARY KEY)").await?;
    }
    // Whoever comes second waits here for the first, and is told that it came second.
    let claim = format!("INSERT INTO migrations (number) VALUES ({number})");
    transaction.execute(AssertSqlSafe(claim)).await?;
    for sql in parts {
        transaction.execute(sql).await?;
    }
    transaction.commit().await
}

/// Whether this is what a session is told that came second: something is there already, or is changed by another one.
fn is_collision(trouble: &Trouble) -> bool {
    let there = ["23505", "42P06", "42P07", "42710", "40001", "40P01"];
    match trouble {
        Trouble::Refused { code, .. } => there.contains(&code.as_str()),
        // Postgres has no code of its own for "tuple concurrently updated".
        Trouble::Unknown(message) => message.contains("concurrently"),
        _ => false,
    }
}
