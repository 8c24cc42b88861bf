//! The public Postgres store. Each method of the trait calls the module that implements it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Bell, Claimed, Due, DueQuery, Lease, LeaseState, Letter, LetterId, Listener, Page, Renewed,
    RunQuery, RunRecord, Snapshot, Store, StoreError, Versioned,
};

use super::error::DatabaseError;
use super::lease::LeaseSpan;
use super::listen::DatabaseListener;
use super::options::{LeaseClock, PostgresOptions};
use super::pool::{Pool, Timeouts};
use super::session::Server;
use super::{append, due, inbox, lease, list, migrate, read, remove, session, small};

/// A store in a Postgres database, shared by any number of processes.
///
/// Clones share the connections. A crash of this process leaves nothing half-written, and its leases expire by
/// themselves. An engine with a name that is unique among live processes can reclaim its runs at once when it restarts.
///
/// ```no_run
/// # async fn open(hostname: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use orkestra_core::Engine;
///
/// let store = orkestra_store::PostgresStore::connect("postgres:///app?host=/run/postgresql").await?;
/// let engine = Engine::builder().store(store).worker(hostname).start().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    place: String,
    clock: LeaseClock,
    connect: PgConnectOptions,
    /// The channel that notifies all processes of letters. If it is `None`, `bell` notifies those in this process.
    channel: Option<String>,
    bell: Bell,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.0.place).finish()
    }
}

impl PostgresStore {
    /// Connects to the database at `url` with the default options.
    ///
    /// # Errors
    /// Those of [`PostgresOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::options().connect(url).await
    }

    /// Options for opening a store.
    #[must_use]
    pub fn options() -> PostgresOptions {
        PostgresOptions::default()
    }

    pub(super) async fn open(options: PostgresOptions, url: &str) -> Result<Self, StoreError> {
        let connect = session::connect_options(&options, url).map_err(|error| error.at("postgres"))?;
        let place = place(&connect, &options.schema);
        let server = prepare(&connect, &options).await.map_err(|error| error.at(&place))?;
        let timeouts = Timeouts { acquire: options.acquire_timeout, statement: options.statement_timeout };
        let timeouts = (options.clock == LeaseClock::Database).then_some(timeouts);
        let pool = Pool::new(connect.clone(), server.setup(), options.connections, timeouts);
        let notify = options.notify && server == Server::Postgres;
        let channel = notify.then(|| format!("orkestra_{}", options.schema));
        Ok(Self(Arc::new(Inner { pool, place, clock: options.clock, connect, channel, bell: Bell::default() })))
    }

    fn store_result<T>(&self, answer: Result<T, DatabaseError>) -> Result<T, StoreError> {
        answer.map_err(|error| error.at(&self.0.place))
    }

    /// The caller's time, if its clock counts.
    fn caller(&self, now: Timestamp) -> Option<Timestamp> {
        (self.0.clock == LeaseClock::Caller).then_some(now)
    }

    fn span(&self, begin: Timestamp, until: Timestamp) -> LeaseSpan {
        LeaseSpan { now: self.caller(begin), begin, until }
    }
}

/// Where the database is, without the password.
fn place(connect: &PgConnectOptions, schema: &str) -> String {
    let host = connect.get_socket().map_or_else(|| connect.get_host().to_owned(), |path| path.display().to_string());
    let database = connect.get_database().unwrap_or(connect.get_username());
    format!("postgres at {host}:{}/{database}, schema {schema}", connect.get_port())
}

/// Checks the server and creates the schema, with a connection that is not reused.
async fn prepare(connect: &PgConnectOptions, options: &PostgresOptions) -> Result<Server, DatabaseError> {
    let mut connection = connect.connect().await.map_err(|error| DatabaseError::connecting(&error))?;
    let server = session::inspect(&mut connection, options.durability).await?;
    migrate::migrate(&mut connection, &options.schema, server).await?;
    Ok(server)
}

#[async_trait]
impl Store for PostgresStore {
    fn describe(&self) -> String {
        self.0.place.clone()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        append::append(&self.0.pool, &self.0.place, &batch).await
    }

    async fn read(&self, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, StoreError> {
        self.store_result(read::journal(&self.0.pool, run, from, limit).await)
    }

    async fn record(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store_result(read::of(&self.0.pool, run).await)
    }

    async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, StoreError> {
        self.store_result(list::list(&self.0.pool, query).await)
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        self.store_result(due::due(&self.0.pool, query, self.caller(query.now)).await)
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        self.store_result(lease::claim(&self.0.pool, runs, worker, self.span(now, until)).await)
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        self.store_result(lease::renew(&self.0.pool, leases, self.span(now, until)).await)
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.store_result(lease::release(&self.0.pool, leases).await)
    }

    async fn release_all(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.store_result(lease::release_all(&self.0.pool, worker).await)
    }

    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        self.store_result(lease::of(&self.0.pool, run, now, self.caller(now)).await)
    }

    async fn send(&self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        let sent = self.store_result(inbox::send(&self.0.pool, run, body, self.0.channel.as_deref()).await)?;
        if self.0.channel.is_none() {
            self.0.bell.ring(run);
        }
        Ok(sent)
    }

    async fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, StoreError> {
        self.store_result(inbox::letters(&self.0.pool, run, after, limit).await)
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        self.store_result(inbox::discard(&self.0.pool, run, letters).await)
    }

    fn listen(&self) -> Box<dyn Listener> {
        match &self.0.channel {
            Some(channel) => Box::new(DatabaseListener::new(self.0.connect.clone(), channel.clone())),
            None => self.0.bell.listen(),
        }
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        self.store_result(remove::delete(&self.0.pool, run).await)
    }

    async fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.store_result(small::put_blob(&self.0.pool, run, key, bytes).await)
    }

    async fn blob(&self, run: &RunId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store_result(small::blob(&self.0.pool, run, key).await)
    }

    async fn blob_keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        self.store_result(small::blob_keys(&self.0.pool, run).await)
    }

    async fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.store_result(small::put_snapshot(&self.0.pool, run, snapshot).await)
    }

    async fn snapshot(&self, run: &RunId) -> Result<Option<Snapshot>, StoreError> {
        self.store_result(small::snapshot(&self.0.pool, run).await)
    }

    async fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.store_result(small::get(&self.0.pool, key).await)
    }

    async fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        self.store_result(small::put(&self.0.pool, key, expected, bytes).await)
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store_result(small::keys(&self.0.pool, prefix, limit).await)
    }
}
