//! The settings of a session, so that nothing depends on the server's configuration.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Executor, Row};

use super::error::DatabaseError;
use super::options::{PostgresDurability, PostgresOptions, PostgresTls};

/// Plans are made once per session, for arrays of any length and tables of any size, and always use indexes. Otherwise
/// a plan made for an empty table would be kept as the table grows. JIT compilation takes longer than any statement
/// here.
///
/// A client that vanished is noticed within half a minute instead of hours. Until then its session counts against the
/// server's limit, and may hold locks if only the end of its last statement is missing.
///
/// Compatible distributed databases do their own planning and do not support all of these settings.
const POSTGRES: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_mergejoin = off; SET random_page_cost = 1.1; SET jit = off;
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 25000;";

/// CockroachDB rejects a statement that writes to a table in two places, unless this setting promises distinct rows.
const COCKROACH: &str = "SET enable_multiple_modifications_of_table = on;";

/// The kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Postgres, or a derivative of its source.
    Postgres,
    /// CockroachDB: no `LISTEN`.
    Cockroach,
}

impl Server {
    /// The statements that set up a session.
    pub(super) const fn setup(self) -> &'static str {
        match self {
            Self::Postgres => POSTGRES,
            Self::Cockroach => COCKROACH,
        }
    }
}

/// The connection options, independent of the server.
pub(super) fn connect_options(options: &PostgresOptions, url: &str) -> Result<PgConnectOptions, DatabaseError> {
    check_schema(&options.schema)?;
    // NOTE: sqlx never includes the URL in a message. Ours must not either, because of the password.
    let why = |error: sqlx::Error| DatabaseError::Invalid(format!("cannot connect to Postgres: invalid URL: {error}"));
    let connect = PgConnectOptions::from_str(url).map_err(why)?;
    let synchronous_commit = match options.durability {
        PostgresDurability::Fsync => "on",
        PostgresDurability::Engine => "off",
    };
    let connect = connect.disable_statement_logging().options([
        ("search_path", options.schema.as_str()),
        ("synchronous_commit", synchronous_commit),
        // A database may default to a stronger level. The statements are written for this one.
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", &millis(options.statement_timeout)),
        // Bounds how long a session that vanished between two statements holds its locks.
        ("idle_in_transaction_session_timeout", &millis(options.statement_timeout)),
    ]);
    Ok(match &options.tls {
        PostgresTls::FromUrl => connect,
        PostgresTls::Disable => connect.ssl_mode(PgSslMode::Disable),
        PostgresTls::Require => connect.ssl_mode(PgSslMode::Require),
        PostgresTls::Verify { root: None } => connect.ssl_mode(PgSslMode::VerifyFull),
        PostgresTls::Verify { root: Some(root) } => connect.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(root),
    })
}

fn millis(timeout: Duration) -> String {
    // The server's maximum; zero would mean no limit.
    timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into()).to_string()
}

fn check_schema(schema: &str) -> Result<(), DatabaseError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = |c: char| fits(c) && !c.is_ascii_digit();
    if schema.len() <= 48 && schema.starts_with(first) && schema.chars().all(fits) && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(DatabaseError::Invalid(format!(
        "invalid schema name `{schema}`: use 1 to 48 lower-case letters, digits or `_`, not beginning with a digit or `pg_`"
    )))
}

/// Finds out which server answered, and checks its durability.
pub(super) async fn inspect(
    connection: &mut PgConnection,
    durability: PostgresDurability,
) -> Result<Server, DatabaseError> {
    let version = word(connection, "SELECT version()").await?;
    if version.starts_with("CockroachDB") {
        return Ok(Server::Cockroach);
    }
    let fsync = word(connection, "SHOW fsync").await?;
    if durability == PostgresDurability::Fsync && fsync == "off" {
        return Err(DatabaseError::Invalid(
            "cannot use the database with PostgresDurability::Fsync: the server runs with fsync = off, so nothing is durable; \
             turn fsync on, or choose PostgresDurability::Engine"
                .into(),
        ));
    }
    if word(connection, "SHOW full_page_writes").await? == "off" {
        tracing::warn!("the database runs with full_page_writes = off: a power failure may damage its data");
    }
    Ok(Server::Postgres)
}

async fn word(connection: &mut PgConnection, sql: &'static str) -> Result<String, DatabaseError> {
    let row = connection.fetch_one(sql).await.map_err(|error| DatabaseError::sent(&error))?;
    row.try_get(0).map_err(|error| DatabaseError::sent(&error))
}
