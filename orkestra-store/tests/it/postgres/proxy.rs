//! A TCP proxy in front of a server, which counts round trips and can drop answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug, Default)]
struct Counts {
    /// How often the client sent something after an answer of the server.
    round_trips: AtomicUsize,
    connections: AtomicUsize,
    /// Whether answers of the server are dropped and the connection is closed.
    drops_answers: AtomicBool,
}

/// The proxy. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    counts: Arc<Counts>,
    port: u16,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy for the server at `url`, which must use TCP.
    pub(crate) async fn open(url: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, address(url).to_owned(), Arc::clone(&counts)));
        Self { counts, port, _tasks: tasks }
    }

    /// The URL of the same database through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(address(url), &format!("127.0.0.1:{}", self.port))
    }

    pub(crate) fn round_trips(&self) -> usize {
        self.counts.round_trips.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Sets whether answers are dropped: requests reach the server, then the connection is closed.
    pub(crate) fn drop_answers(&self, drops_answers: bool) {
        self.counts.drops_answers.store(drops_answers, Ordering::SeqCst);
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
                    counts.round_trips.fetch_add(1, Ordering::SeqCst);
                }
                client_spoke_last = true;
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                client_spoke_last = false;
                if counts.drops_answers.load(Ordering::SeqCst) { return }
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}
