//! A door in front of a server, which counts what goes through it and can be slammed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug, Default)]
struct Counts {
    /// How often the client has spoken since the server last did.
    flights: AtomicUsize,
    connections: AtomicUsize,
    /// What the server answers is thrown away from now on, and the line is cut.
    deaf: AtomicBool,
}

/// The door. Dropped, it closes.
#[derive(Debug)]
pub(crate) struct Proxy {
    counts: Arc<Counts>,
    port: u16,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens a door to the server at `url`, which is of TCP.
    pub(crate) async fn open(url: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, address(url).to_owned(), Arc::clone(&counts)));
        Self { counts, port, _tasks: tasks }
    }

    /// The URL of the same database through the door.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(address(url), &format!("127.0.0.1:{}", self.port))
    }

    pub(crate) fn flights(&self) -> usize {
        self.counts.flights.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// From now on no answer comes through: whatever is asked reaches the server, and then the line is cut.
    pub(crate) fn be_deaf(&self, deaf: bool) {
        self.counts.deaf.store(deaf, Ordering::SeqCst);
    }
}

/// `host:port` of a URL.
fn address(url: &str) -> &str {
    let rest = url.split_once('@').expect("a user").1;
    rest.split('/').next().expect("an address")
}

async fn accept(listener: TcpListener, server: String, counts: Arc<Counts>) {
    let mut lines = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        lines.spawn(carry(client, server, Arc::clone(&counts)));
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, counts: Arc<Counts>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut client_spoke_last = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if !client_spoke_last {
                    counts.flights.fetch_add(1, Ordering::SeqCst);
                }
                client_spoke_last = true;
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                client_spoke_last = false;
                if counts.deaf.load(Ordering::SeqCst) { return }
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}
