//! How a store on a database is opened.

use std::path::PathBuf;
use std::time::Duration;

use orkestra_core::store::StoreError;

use super::store::PostgresStore;

/// What an acknowledged write survives. It is `synchronous_commit` of each session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostgresDurability {
    /// The end of this process, of the server and of its power: `synchronous_commit = on`. With synchronous replicas it
    /// survives the loss of the server as well. A server that runs with `fsync = off` is refused: it would lose what it
    /// acknowledged, and its other data with it.
    #[default]
    Fsync,
    /// The end of this process, and of every engine: `synchronous_commit = off`. When the server crashes, what was
    /// acknowledged in its last moments (by default up to 0.6 s) is lost; what is left is whole and consistent, and
    /// epochs are safe. For work that can be done again.
    Engine,
}

/// By whose clock leases run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseClock {
    /// The database's: `until - now` is how long a lease lasts, from the moment that the database sees it. Whatever the
    /// clocks of the workers show, a lease lasts as long for each of them.
    #[default]
    Database,
    /// The caller's, as with a store in memory. For tests in virtual time, in which no call is given up either: while the
    /// database answers, virtual time runs ahead.
    Caller,
}

/// Whether the connection is encrypted, and what the server must prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresTls {
    /// What the URL says with `sslmode` and `sslrootcert`; without a word, encrypted if the server can, without proof.
    #[default]
    FromUrl,
    /// Never.
    Disable,
    /// Always, whoever the server is.
    Require,
    /// Always, and the server proves its name with a certificate: of the authority in this PEM file, or of a public one.
    Verify {
        /// A file of certificates to trust beside those of the public authorities.
        root: Option<PathBuf>,
    },
}

/// How a [`PostgresStore`] is opened.
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

/// An engine writes with one connection at a time and reads with a few. A server's default is 100 in all.
const CONNECTIONS: u32 = 8;
/// Longer, and the database is down rather than busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A blob of 64 MiB over a slow line takes a while; everything else takes milliseconds.
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
    /// The same with another durability. The default is [`PostgresDurability::Fsync`].
    #[must_use]
    pub fn with_durability(self, durability: PostgresDurability) -> Self {
        Self { durability, ..self }
    }

    /// The same with leases by another clock. The default is [`LeaseClock::Database`].
    #[must_use]
    pub fn with_lease_clock(self, clock: LeaseClock) -> Self {
        Self { clock, ..self }
    }

    /// The same with other demands on encryption. The default is [`PostgresTls::FromUrl`].
    #[must_use]
    pub fn with_tls(self, tls: PostgresTls) -> Self {
        Self { tls, ..self }
    }

    /// The same in another schema, which is made if it is not there: applications that share a database have one each. The
    /// default is `orkestra`. 1 to 48 lower-case letters, digits or `_`, not beginning with a digit.
    ///
    /// Only to make the schema the role needs `CREATE` on the database; where it is there, `USAGE` and `CREATE` on the schema.
    /// Where this version of the library, or another role, has made all tables, `USAGE` on the schema and its sequences and
    /// `SELECT`, `INSERT`, `UPDATE` and `DELETE` on its tables are enough.
    #[must_use]
    pub fn with_schema(self, schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), ..self }
    }

    /// The same with at most so many connections, at least one; a listener has one more. The default is 8.
    #[must_use]
    pub fn with_connections(self, connections: u32) -> Self {
        Self { connections: connections.max(1), ..self }
    }

    /// The same, waiting at most so long for a free connection or a new one. The default is 10 s.
    #[must_use]
    pub fn with_acquire_timeout(self, timeout: Duration) -> Self {
        Self { acquire_timeout: timeout, ..self }
    }

    /// The same, giving up a statement after so long; a commit's outcome is unknown then. The default is 30 s.
    #[must_use]
    pub fn with_statement_timeout(self, timeout: Duration) -> Self {
        Self { statement_timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// The same with or without `LISTEN` and `NOTIFY`. Without, or on a database that has neither, other processes see a
    /// letter when they next look. The default is with.
    #[must_use]
    pub fn with_notify(self, notify: bool) -> Self {
        Self { notify, ..self }
    }

    /// Connects to the database at `url`, `postgres://user:password@host:port/database`, and makes or upgrades the
    /// schema. A server on this machine is reached by its Unix socket with `postgres:///database?host=/directory`.
    ///
    /// # Errors
    /// By kind: `Io` when the database cannot be reached or refuses, `Version` when a newer version of this library has
    /// upgraded the schema, `Invalid` when the URL or an option makes no sense, or when the server runs with `fsync = off`
    /// and [`PostgresDurability::Fsync`] is asked for.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(self, url).await
    }
}
