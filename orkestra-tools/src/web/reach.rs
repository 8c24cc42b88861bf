//! What the browser of one agent may connect to: the servers of its own sandbox, and what its sandbox's way out allows. The only
//! place that decides this, for Chromium and for pages over HTTP.
//!
//! ```text
//! loopback -> the sandbox (a server of its own), or a port that the operator opened
//! others   -> WayOut::Closed: refused | WayOut::Proxy: the run's egress proxy decides | WayOut::Global: the guard decides
//! ```

use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
#[cfg(all(unix, feature = "chromium"))]
use url::Url;

use super::error::FetchError;
use super::guard::Guard;
use super::policy::is_loopback_host;
use super::untrusted::one_line;
use crate::limits::FETCH_CONNECT_TIMEOUT;
use crate::sandbox::{Connection, Sandbox, SandboxError, WayOut};

/// Longest head and text of an answer of the egress proxy, bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Longest reason of a refusal, bytes.
const REASON_BYTES_MAX: usize = 500;

/// Cheap to clone; clones share the sandbox.
#[derive(Clone)]
pub(crate) struct Reach {
    guard: Guard,
    /// Weak: an open page must not keep a sandbox alive. A scope's sandbox lives as long as the scope; see [`Self::renew`].
    sandbox: Arc<Mutex<Weak<dyn Sandbox>>>,
}

impl Reach {
    pub(crate) fn new(guard: &Guard, sandbox: &Arc<dyn Sandbox>) -> Self {
        Self { guard: guard.clone(), sandbox: Arc::new(Mutex::new(Arc::downgrade(sandbox))) }
    }

    /// Sets the sandbox of the agent's present scope.
    pub(crate) fn renew(&self, sandbox: &Arc<dyn Sandbox>) {
        *self.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(sandbox);
    }

    /// As [`Guard::parse`], with every port of the loopback address: whether a server of the sandbox listens there is known when
    /// it is connected to.
    #[cfg(all(unix, feature = "chromium"))]
    pub(crate) fn parse(&self, text: &str) -> Result<Url, FetchError> {
        self.url_guard().parse(text)
    }

    /// The guard for addresses in URLs. IMPORTANT: not for connections, of which [`Self::connect`] makes all.
    pub(crate) fn url_guard(&self) -> Guard {
        self.guard.with_own_servers()
    }

    /// Connects, once the rules allow it.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Connection>, FetchError> {
        let is_loopback = is_loopback_host(host);
        if is_loopback && self.guard.policy().opens_loopback(port) {
            return self.connect_guarded(host, port).await;
        }
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(sandbox) = sandbox else {
            return Err(refused(host, port, "the sandbox of this page is closed; open the page again"));
        };
        if is_loopback {
            let connected = timeout(FETCH_CONNECT_TIMEOUT, sandbox.connect(port)).await;
            let connected = connected.unwrap_or_else(|_| Err(SandboxError::Process("it does not answer".to_owned())));
            return connected.map_err(|error| refused(host, port, &error.to_string()));
        }
        match sandbox.way_out() {
            WayOut::Closed => Err(refused(
                host,
                port,
                "this run has no network, and its browser reaches only servers that the run itself has started \
                 (start_process); work without this host, or ask a person to allow it in a run with the network `registries`",
            )),
            WayOut::Proxy(socket) => through_proxy(&socket, host, port).await,
            WayOut::Global => self.connect_guarded(host, port).await,
        }
    }

    async fn connect_guarded(&self, host: &str, port: u16) -> Result<Box<dyn Connection>, FetchError> {
        let addresses = self.guard.resolve(host, port).await?;
        let unreachable = |reason: String| FetchError::Unreachable { host: host.to_owned(), reason };
        let connected = timeout(FETCH_CONNECT_TIMEOUT, TcpStream::connect(addresses.as_slice())).await;
        let connected = connected.map_err(|_| unreachable("connecting timed out".to_owned()))?;
        Ok(Box::new(connected.map_err(|error| unreachable(error.to_string()))?))
    }
}

/// Asks the egress proxy of the run for a tunnel.
async fn through_proxy(socket: &Path, host: &str, port: u16) -> Result<Box<dyn Connection>, FetchError> {
    let failed =
        |error: std::io::Error| refused(host, port, &format!("the egress proxy of this run does not answer ({error})"));
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let to = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        stream
            .write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut head = Vec::new();
        // NOTE: byte by byte, because what follows the head belongs to the tunnel.
        while !head.ends_with(b"\r\n\r\n") && head.len() < ANSWER_BYTES_MAX {
            head.push(stream.read_u8().await?);
        }
        if head.starts_with(b"HTTP/1.1 200 ") {
            return Ok(Ok(stream));
        }
        let mut text = Vec::new();
        let _ = (&mut stream).take(ANSWER_BYTES_MAX as u64).read_to_end(&mut text).await;
        Ok(Err(String::from_utf8_lossy(&text).into_owned()))
    };
    // The proxy itself needs time to resolve the name and to connect.
    let asked = timeout(FETCH_CONNECT_TIMEOUT * 2, ask).await;
    match asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(failed)? {
        Ok(stream) => Ok(Box::new(stream)),
        Err(text) => Err(FetchError::Refused(one_line(&text, REASON_BYTES_MAX))),
    }
}

fn refused(host: &str, port: u16, reason: &str) -> FetchError {
    FetchError::Refused(one_line(&format!("cannot connect to {host}:{port}: {reason}"), REASON_BYTES_MAX))
}
