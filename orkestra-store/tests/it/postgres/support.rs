//! A database for a test: on the server started by `scripts/test`, or on a temporary server of this process.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use orkestra_store::{LeaseClock, PostgresOptions, PostgresStore};
use orkestra_testkit::postgres::Server;

/// The URL of an existing server.
const GIVEN: &str = "ORKESTRA_TEST_POSTGRES";

/// A schema for one test, and a handle that keeps its server alive.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) schema: String,
    server: Option<Arc<Server>>,
}

impl Database {
    /// `None` when Postgres is not installed: the test is skipped with a note, and fails in CI.
    pub(crate) fn new() -> Option<Self> {
        if let Ok(url) = std::env::var(GIVEN) {
            return Some(Self { url, schema: schema(), server: None });
        }
        let server = shared()?;
        Some(Self { url: server.socket_url(), schema: schema(), server: Some(server) })
    }

    /// A schema on a server of its own.
    pub(crate) fn alone(server: Server) -> Self {
        Self { url: server.url(), schema: schema(), server: Some(Arc::new(server)) }
    }

    /// The same, over its Unix socket.
    pub(crate) fn beside(server: Server) -> Self {
        Self { url: server.socket_url(), schema: schema(), server: Some(Arc::new(server)) }
    }

    /// The server, if it belongs to this process.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of this process")
    }

    /// Leases by the caller's clock, as the suite requires.
    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresStore::options().with_schema(&self.schema).with_lease_clock(LeaseClock::Caller)
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        self.open_as(self.options()).await
    }

    pub(crate) async fn open_as(&self, options: PostgresOptions) -> PostgresStore {
        options.connect(&self.url).await.expect("the store opens")
    }
}

/// A database over TCP, for a test with a proxy.
pub(crate) fn over_tcp() -> Option<Database> {
    let database = Database::new()?;
    let url = match &database.server {
        Some(server) => server.url(),
        // A Unix socket cannot be proxied.
        None if database.url.contains("host=/") => return own().map(Database::alone),
        None => database.url.clone(),
    };
    Some(Database { url, ..database })
}

/// The server shared by the tests of this process, until the last one has ended.
fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(own()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server for one test, which may change its configuration and crash it.
pub(crate) fn own() -> Option<Server> {
    usable(Server::start())
}

/// The server; `None` if Postgres is not installed.
pub(crate) fn usable(server: io::Result<Server>) -> Option<Server> {
    match server {
        Ok(server) => Some(server),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Postgres is required in CI: {error}");
            eprintln!("\n=== SKIPPED: {error}; this test shows nothing ===\n");
            None
        }
        Err(error) => panic!("cannot start a temporary server: {error}"),
    }
}

fn schema() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("t_{:016x}", RandomState::new().hash_one((std::process::id(), number)))
}
