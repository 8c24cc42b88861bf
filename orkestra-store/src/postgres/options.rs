//! Options of a store in Postgres.

use std::path::PathBuf;
use std::time::Duration;

use orkestra_core::store::StoreError;

use super::store::PostgresStore;

/// What an acknowledged write survives. Sets `synchronous_commit` of each session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostgresDurability {
    /// A crash of this process or of the server, and a power failure of the server: `synchronous_commit = on`. With
    /// synchronous replicas also the loss of the server. A server that runs with `fsync = off` is refused, because it
    /// could lose acknowledged writes and damage its other data.
    #[default]
    Fsync,
    /// A crash of this process and of every engine: `synchronous_commit = off`. When the server crashes, the writes
    /// acknowledged last (by default up to 0.6 s) are lost. What remains is consistent, and epochs are never reused.
    /// For work that can be repeated.
    Engine,
}

/// The clock by which leases expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseClock {
    /// The database's clock. A lease lasts `until - now` from the moment the database processes the call, whatever the
    /// workers' clocks show.
    #[default]
    Database,
    /// The caller's clock, as in a store in memory. For tests in virtual time. Calls then have no timeouts, because
    /// virtual time runs ahead while the database answers.
    Caller,
}

/// Whether connections are encrypted, and how the server is authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresTls {
    /// As the URL says with `sslmode` and `sslrootcert`. By default encrypted if the server supports it, without
    /// authentication.
    #[default]
    FromUrl,
    /// Never encrypted.
    Disable,
    /// Always encrypted, without authenticating the server.
    Require,
    /// Always encrypted. The server must have a certificate for its name, signed by a public authority or one in
    /// `root`.
    Verify {
        /// A PEM file of certificates to trust in addition to the public authorities.
        root: Option<PathBuf>,
    },
}

/// How to open a [`PostgresStore`].
///
/// ```no_run
/// use orkestra_store::{PostgresDurability, PostgresStore};
///
/// # async fn open() -> Result<(), orkestra_core::store::StoreError> {
/// let options = PostgresStore::options().with_schema("billing").with_connections(8);
/// let store = options.with_durability(PostgresDurability::Engine).connect("postgres://app@db.example/app").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) durability: PostgresDurability,
    pub(super) clock: LeaseClock,
    pub(super) tls: PostgresTls,
    pub(super) schema: String,
    pub(super) connections: u32,
    pub(super) acquire_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) notify: bool,
}

/// An engine writes with one connection at a time and reads with a few. A server allows 100 in all by default.
const CONNECTIONS: u32 = 8;
/// After a longer wait, the database is down rather than busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A blob of 64 MiB over a slow connection takes a while; everything else takes milliseconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            durability: PostgresDurability::default(),
            clock: LeaseClock::default(),
            tls: PostgresTls::default(),
            schema: "orkestra".into(),
            connections: CONNECTIONS,
            acquire_timeout: ACQUIRE_TIMEOUT,
            statement_timeout: STATEMENT_TIMEOUT,
            notify: true,
        }
    }
}

impl PostgresOptions {
    /// Sets the durability. The default is [`PostgresDurability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: PostgresDurability) -> Self {
        Self { durability, ..self }
    }

    /// Sets the clock by which leases expire. The default is [`LeaseClock::Database`].
    #[must_use]
    pub fn with_lease_clock(self, clock: LeaseClock) -> Self {
        Self { clock, ..self }
    }

    /// Sets the encryption. The default is [`PostgresTls::FromUrl`].
    #[must_use]
    pub fn with_tls(self, tls: PostgresTls) -> Self {
        Self { tls, ..self }
    }

    /// Sets the schema, which is created if it does not exist. Applications that share a database use one schema each.
    /// The default is `orkestra`. A name has 1 to 48 lower-case letters, digits or `_`, and begins with neither a digit
    /// nor `pg_`.
    ///
    /// To create the schema, the role needs `CREATE` on the database. If the schema exists, it needs `USAGE` and
    /// `CREATE` on the schema. If this version of the library has already created all tables, `USAGE` on the schema and
    /// its sequences and `SELECT`, `INSERT`, `UPDATE` and `DELETE` on its tables suffice.
    #[must_use]
    pub fn with_schema(self, schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), ..self }
    }

    /// Sets the most connections, at least one. Each listener uses one more. The default is 8.
    #[must_use]
    pub fn with_connections(self, connections: u32) -> Self {
        Self { connections: connections.max(1), ..self }
    }

    /// Sets how long to wait for a free or new connection. The default is 10 s.
    #[must_use]
    pub fn with_acquire_timeout(self, timeout: Duration) -> Self {
        Self { acquire_timeout: timeout, ..self }
    }

    /// Sets the time limit of a statement. The outcome of a commit that exceeds it is unknown. The default is 30 s, the
    /// minimum 1 ms.
    #[must_use]
    pub fn with_statement_timeout(self, timeout: Duration) -> Self {
        Self { statement_timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// Sets whether to use `LISTEN` and `NOTIFY`. Without them, or on a database that has neither, other processes see
    /// a letter the next time they look. The default is `true`.
    #[must_use]
    pub fn with_notify(self, notify: bool) -> Self {
        Self { notify, ..self }
    }

    /// Connects to the database at `url`, `postgres://user:password@host:port/database`, and creates or upgrades the
    /// schema. To use the Unix socket of a local server, write `postgres:///database?host=/directory`.
    ///
    /// # Errors
    /// By kind:
    ///
    /// - `Io`: the database cannot be reached, or rejects a statement.
    /// - `Version`: a newer version of this library has upgraded the schema.
    /// - `Invalid`: the URL or an option is invalid, or the server runs with `fsync = off` and the durability is
    ///   [`PostgresDurability::Fsync`].
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(self, url).await
    }
}
