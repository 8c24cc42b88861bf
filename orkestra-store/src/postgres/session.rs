//! What a session with the database is set to, so that nothing depends on how the server is configured.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Executor, Row};

use super::error::Trouble;
use super::options::{PostgresDurability, PostgresOptions, PostgresTls};

/// Plans are made once per session, for arrays of any length and tables of any size: always by index. A plan that was made
/// while a table was empty would else be kept as it grows. Compiling a plan takes longer than any statement here.
///
/// A client that is gone without a word is noticed within half a minute, not within hours: until then its session counts among
/// those that the server allows, and may hold locks, should its last statement have arrived but for its end.
///
/// Distributed databases that speak the same language plan by themselves and do not know all of these words.
const POSTGRES: &str =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_mergejoin = off; SET random_page_cost = 1.1; SET jit = off;
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 25000;";

/// CockroachDB refuses a statement that writes to a table in two places unless it is told that no row is written twice.
const COCKROACH: &str = "SET enable_multiple_modifications_of_table = on;";

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Postgres itself, or what is built from its source.
    Postgres,
    /// CockroachDB: no `LISTEN`.
    Cockroach,
}

impl Server {
    /// What is said to each session.
    pub(super) const fn setup(self) -> &'static str {
        match self {
            Self::Postgres => POSTGRES,
            Self::Cockroach => COCKROACH,
        }
    }
}

/// How to connect, whatever the server is.
pub(super) fn connect_options(options: &PostgresOptions, url: &str) -> Result<PgConnectOptions, Trouble> {
    check_schema(&options.schema)?;
    // NOTE: sqlx repeats the URL in no message; its password must not stand in one of ours either.
    let why = |error: sqlx::Error| Trouble::Invalid(format!("this is no URL of a Postgres database: {error}"));
    let connect = PgConnectOptions::from_str(url).map_err(why)?;
    let synchronous_commit = match options.durability {
        PostgresDurability::Fsync => "on",
        PostgresDurability::Engine => "off",
    };
    let connect = connect.disable_statement_logging().options([
        ("search_path", options.schema.as_str()),
        ("synchronous_commit", synchronous_commit),
        // Weaker than what a database may be set to, and what the statements are written for.
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", &millis(options.statement_timeout)),
        // A session that is lost between two statements holds its locks no longer than that.
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
    // What the server takes at most; zero would be no limit.
    timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into()).to_string()
}

fn check_schema(schema: &str) -> Result<(), Trouble> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = |c: char| fits(c) && !c.is_ascii_digit();
    if schema.len() <= 48 && schema.starts_with(first) && schema.chars().all(fits) && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(Trouble::Invalid(format!(
        "`{schema}` is no name of a schema: 1 to 48 lower-case letters, digits or `_`, not beginning with a digit or `pg_`"
    )))
}

/// Looks at what has answered.
pub(super) async fn look(connection: &mut PgConnection, durability: PostgresDurability) -> Result<Server, Trouble> {
    let version = word(connection, "SELECT version()").await?;
    if version.starts_with("CockroachDB") {
        return Ok(Server::Cockroach);
    }
    let fsync = word(connection, "SHOW fsync").await?;
    if durability == PostgresDurability::Fsync && fsync == "off" {
        return Err(Trouble::Invalid(
            "the server runs with fsync = off: nothing that it acknowledges is durable. Turn it on, or ask for \
             PostgresDurability::Engine"
                .into(),
        ));
    }
    if word(connection, "SHOW full_page_writes").await? == "off" {
        tracing::warn!("the database runs with full_page_writes = off: a power loss may damage what it keeps");
    }
    Ok(Server::Postgres)
}

async fn word(connection: &mut PgConnection, sql: &'static str) -> Result<String, Trouble> {
    let row = connection.fetch_one(sql).await.map_err(|error| Trouble::sent(&error))?;
    row.try_get(0).map_err(|error| Trouble::sent(&error))
}
