//! A database for a test: the one that `scripts/test` has started, or a throw-away server of this process.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use orkestra_store::{LeaseClock, PostgresOptions, PostgresStore};
use orkestra_testkit::postgres::Server;

/// Names a server that is there already.
const GIVEN: &str = "ORKESTRA_TEST_POSTGRES";

/// A schema that nobody else uses, and what keeps its server alive.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) schema: String,
    server: Option<Arc<Server>>,
}

impl Database {
    /// None when this machine has no Postgres: the test is then skipped loudly, and in CI it fails.
    pub(crate) fn new() -> Option<Self> {
        if let Ok(url) = std::env::var(GIVEN) {
            return Some(Self { url, schema: schema(), server: None });
        }
        let server = shared()?;
        Some(Self { url: server.socket_url(), schema: schema(), server: Some(server) })
    }

    /// On a server that no other test uses.
    pub(crate) fn alone(server: Server) -> Self {
        Self { url: server.url(), schema: schema(), server: Some(Arc::new(server)) }
    }

    /// The same, by its Unix socket.
    pub(crate) fn beside(server: Server) -> Self {
        Self { url: server.socket_url(), schema: schema(), server: Some(Arc::new(server)) }
    }

    /// The server, if it is one of this process.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of this process")
    }

    /// Leases by the caller's clock, as the suite asks for.
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

/// A database that is reached by TCP, for a test that listens on the way.
pub(crate) fn over_tcp() -> Option<Database> {
    let database = Database::new()?;
    let url = match &database.server {
        Some(server) => server.url(),
        // By a Unix socket there is no way to listen on.
        None if database.url.contains("host=/") => return own().map(Database::alone),
        None => database.url.clone(),
    };
    Some(Database { url, ..database })
}

/// The server that the tests of this process share, until the last of them has ended.
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

/// A server for a test alone, which may do to it what it likes.
pub(crate) fn own() -> Option<Server> {
    usable(Server::start())
}

/// The server, if this machine can have one.
pub(crate) fn usable(server: io::Result<Server>) -> Option<Server> {
    match server {
        Ok(server) => Some(server),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "this is CI, and {error}");
            eprintln!("\n=== SKIPPED: {error}; this test shows nothing ===\n");
            None
        }
        Err(error) => panic!("a throw-away server does not start: {error}"),
    }
}

fn schema() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("t_{:016x}", RandomState::new().hash_one((std::process::id(), number)))
}
