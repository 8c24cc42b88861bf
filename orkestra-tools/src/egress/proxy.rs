//! The proxy of one run: its socket, its connections, and what it has seen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::cache::Cache;
use super::client::{self, LOCAL, SOCKET};
use super::digest::Signer;
use super::mirror::Mirror;
use super::record::{HostUse, Record};
use super::upstream::{Names, Upstream};
use super::{EgressError, EgressOptions, serve, tunnel};
use crate::limits::{EGRESS_CONNECT_TIMEOUT, EGRESS_CONNECTIONS_MAX, EGRESS_HEAD_BYTES_MAX, EGRESS_PREPARED_MAX};
use crate::sandbox::Owner;

/// The beginning of the name of every proxy's directory.
const PREFIX: &str = "orkestra-egress-";
/// The file in it that names its process.
const OWNER: &str = "owner";

/// Serves one run's way out on a Unix socket until it is dropped, which ends every connection and removes the socket.
///
/// A crash of this process leaves a directory `orkestra-egress-*` in the system's temporary directory, which the next start on
/// this host removes, and whole entries in the cache.
pub struct EgressProxy {
    shared: Arc<Shared>,
    directory: TempDir,
    accepting: JoinHandle<()>,
}

/// What all connections use.
pub(super) struct Shared {
    pub(super) options: EgressOptions,
    /// The place of each registry of the options.
    pub(super) prefixes: Vec<String>,
    pub(super) upstream: Upstream,
    pub(super) names: Names,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) signer: Signer,
    pub(super) record: Record,
    /// Index pages may be large, and take many times their size while they are read.
    pub(super) preparing: Arc<Semaphore>,
}

impl Shared {
    /// The mirror of the registry with this index.
    pub(super) fn mirror(&self, index: usize) -> Mirror<'_> {
        let (registry, prefix) = (&self.options.registries[index], &self.prefixes[index]);
        Mirror { registry, prefix, local: LOCAL, signer: &self.signer }
    }

    /// What to say about a host that is a registry's: it is reached through its mirror.
    pub(super) fn mirrored(&self, host: &str) -> Option<String> {
        let place = self.options.registries.iter().zip(&self.prefixes).find(|(registry, _)| {
            registry.host() == host || registry.files.iter().any(|files| files.host_str() == Some(host))
        });
        let (registry, prefix) = place?;
        let name = registry.ecosystem.name();
        Some(format!(
            "{} is served by a read-only mirror in this sandbox, {LOCAL}/{prefix}/; use {name} with its configured registry, \
             without an address of your own",
            super::reply::printable(host)
        ))
    }
}

impl std::fmt::Debug for EgressProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EgressProxy").field("directory", &self.directory.path()).finish_non_exhaustive()
    }
}

impl EgressProxy {
    /// Opens the socket and begins to serve.
    ///
    /// # Errors
    /// [`EgressError`] when the cache, the socket or the client of registries cannot be set up.
    pub async fn start(options: EgressOptions) -> Result<Self, EgressError> {
        Self::start_with(options, Names::System).await
    }

    pub(super) async fn start_with(options: EgressOptions, names: Names) -> Result<Self, EgressError> {
        let upstream = Upstream::new(&options, names.clone())?;
        let place = options.cache.clone();
        let registries = options.registries.clone();
        let prepare = move || {
            let cache = place.as_ref().map(Cache::open).transpose();
            let cache = cache.map_err(|source| EgressError::Io { what: "the cache of packages".to_owned(), source })?;
            let key = key(cache.as_ref().map(Cache::directory))
                .map_err(|source| EgressError::Io { what: "the key of the cache".to_owned(), source })?;
            let directory = directory(&registries)
                .map_err(|source| EgressError::Io { what: "the directory of the socket".to_owned(), source })?;
            Ok((cache, key, directory))
        };
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let (cache, key, directory) = prepared.map_err(|error| EgressError::Options(error.to_string()))??;
        let socket = mounted(directory.path()).join(SOCKET);
        let failed = |source| EgressError::Io { what: format!("the socket {}", socket.display()), source };
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        // The user of the container is another one; the directory above, which only we may enter, keeps others out.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).map_err(failed)?;
        let prefixes = client::prefixes(&options.registries);
        let (cache, signer, record) = (cache.map(Arc::new), Signer::new(key), Record::default());
        let preparing = Arc::new(Semaphore::new(EGRESS_PREPARED_MAX));
        let shared = Shared { options, prefixes, upstream, names, cache, signer, record, preparing };
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, directory, accepting })
    }

    /// The directory to mount in a container: the socket, and files for clients. Nothing in it is secret.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        mounted(self.directory.path())
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory().join(SOCKET)
    }

    /// What was used so far, by host.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostUse> {
        self.shared.record.hosts()
    }

    /// The number of refusals so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.record.refused()
    }

    /// What was refused after the first `before` refusals, each text once.
    #[must_use]
    pub fn refusals_since(&self, before: u64) -> Vec<String> {
        self.shared.record.refusals_since(before)
    }
}

impl EgressProxy {
    /// Ends every connection and serves no more. What was counted stays.
    pub fn stop(&self) {
        // The task owns all connections.
        self.accepting.abort();
    }
}

impl Drop for EgressProxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The part of the directory that is mounted: the one above is for this user alone.
fn mounted(directory: &Path) -> PathBuf {
    directory.join("mount")
}

fn directory(registries: &[super::Registry]) -> io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    fs::write(directory.path().join(OWNER), Owner::this().text())?;
    remove_leftovers(directory.path().parent());
    let mounted = mounted(directory.path());
    fs::create_dir(&mounted)?;
    client::write_files(&mounted, registries)?;
    // Whatever the process's mask is, the container's user must be able to read all of it.
    let cargo = mounted.join("cargo");
    for path in [&mounted, &cargo] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let mode = if entry.file_type()?.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(directory)
}

/// Removes directories of processes on this host that are gone. One without a readable owner may be just being made.
fn remove_leftovers(parent: Option<&Path>) {
    let entries = parent.and_then(|parent| fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let owner = fs::read_to_string(entry.path().join(OWNER)).ok().and_then(|text| Owner::parse(&text));
        if owner.is_some_and(|owner| owner != Owner::this() && owner.is_gone_or_this()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The key that signs addresses of files. It is kept with the cache, so that a lock file of one run is good in the next.
fn key(cache: Option<&Path>) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    let path = cache.map(|cache| cache.join(".key"));
    let kept = path.as_ref().and_then(|path| fs::read(path).ok());
    if let Some(kept) = kept.and_then(|kept| <[u8; 32]>::try_from(kept).ok()) {
        return Ok(kept);
    }
    #[expect(clippy::disallowed_methods, reason = "a secret, which no run depends on")]
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    if let (Some(path), Some(cache)) = (path, cache) {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(cache)?;
        io::Write::write_all(&mut file, &key)?;
        // Another process may have been faster; then its key is the one.
        match file.persist_noclobber(&path) {
            Ok(_) => {}
            Err(_) => return fs::read(&path)?.try_into().map_err(|_| io::Error::other("it is damaged; remove it")),
        }
    }
    Ok(key)
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let free = Arc::new(Semaphore::new(EGRESS_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        connection(shared, stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of a sandbox");
                    // Most likely there are too many open files; trying again at once would only burn time.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves the requests of one connection, and then the tunnel that it may have become.
async fn connection(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let tunnel = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (shared, tunnel) = (Arc::clone(&shared), Arc::clone(&tunnel));
        async move {
            let response = serve::answer(&shared, request, |opened| {
                if let Ok(mut tunnel) = tunnel.lock() {
                    *tunnel = Some(opened);
                }
            });
            Ok::<_, std::convert::Infallible>(response.await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(EGRESS_CONNECT_TIMEOUT)
        .max_buf_size(EGRESS_HEAD_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of a sandbox ended early");
    }
    let opened = tunnel.lock().ok().and_then(|mut tunnel| tunnel.take());
    if let Some(opened) = opened {
        tunnel::run(&shared, opened).await;
    }
}
