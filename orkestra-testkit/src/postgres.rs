//! A temporary Postgres server: its own cluster in a temporary directory, run with the Postgres binaries of this machine.
//!
//! It never touches an existing server, and is removed when it is dropped. Starting it blocks the thread.
//!
//! ```no_run
//! use orkestra_testkit::postgres::Server;
//!
//! # fn main() -> std::io::Result<()> {
//! let server = Server::start()?;
//! println!("postgres answers at {}", server.url());
//! # Ok(()) }
//! ```

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The superuser of such a server; it needs no password.
const ROLE: &str = "orkestra";

/// How often a start is tried: a port that was free a moment ago may be taken.
const STARTS_MAX: usize = 5;

/// A server that runs until this value is dropped.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    directory: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    /// The network namespace that it runs in; `None` for that of this process.
    namespace: Option<String>,
}

impl Server {
    /// Creates a cluster and starts it, with `fsync` on. It listens on the loopback address and on a Unix socket.
    ///
    /// # Errors
    /// `NotFound` when this machine has no Postgres binaries, neither on the `PATH` nor where Debian installs them; otherwise
    /// the output of the Postgres programs.
    pub fn start() -> io::Result<Self> {
        Self::begin(None, new_directory())
    }

    /// Like [`start`](Self::start), in this directory, which is removed on drop too. If it already holds a cluster, as a copy of
    /// another server's directory does, that cluster is used. The path must be short enough for a Unix socket in it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_at(directory: &Path) -> io::Result<Self> {
        Self::begin(None, directory.to_owned())
    }

    /// Like [`start`](Self::start), in a network namespace made with `ip netns add`, where it listens on every address
    /// ([`url_at`](Self::url_at)). From this process it is reached only through its Unix socket
    /// ([`socket_url`](Self::socket_url)). Needs root, `ip` and `setpriv`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in(namespace: &str) -> io::Result<Self> {
        Self::begin(Some(namespace.to_owned()), new_directory())
    }

    fn begin(namespace: Option<String>, directory: PathBuf) -> io::Result<Self> {
        let binaries = binaries().ok_or_else(|| {
            let message = "cannot start Postgres: initdb and pg_ctl are neither on the PATH nor in /usr/lib/postgresql; \
                install Postgres";
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        let is_new = !directory.join("data").exists();
        if is_new {
            fs::create_dir(&directory)?;
        }
        // An existing cluster belongs to the user that the other server runs as.
        let owner = fs::metadata(&directory)?;
        let user = if is_new { user(&directory)? } else { Some((owner.uid(), owner.gid())) };
        let mut server = Self { binaries, directory, port: 0, user, namespace };
        if let Some((user, group)) = server.user.filter(|_| is_new) {
            chown(&server.directory, Some(user), Some(group))?;
        }
        if is_new {
            server.init_cluster()?;
        } else {
            // It is that of the server it was copied from: to Postgres it looks as if that server had this directory open.
            fs::remove_file(server.data().join("postmaster.pid"))?;
        }
        let mut last = Ok(());
        for _ in 0..STARTS_MAX {
            server.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            last = server.control("start", "fast");
            if last.is_ok() {
                break;
            }
        }
        last.map(|()| server)
    }

    /// Creates the cluster.
    fn init_cluster(&self) -> io::Result<()> {
        let data = self.data();
        let words = ["-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        self.call("initdb", words.iter().map(OsStr::new).chain([data.as_os_str()]))?;
        if self.namespace.is_some() {
            let hba = data.join("pg_hba.conf");
            let neighbours = "host all all samenet trust\n";
            fs::write(&hba, fs::read_to_string(&hba)? + neighbours)?;
        }
        Ok(())
    }

    /// Its URL for TCP on the loopback address.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at("127.0.0.1")
    }

    /// Its URL for TCP on the address `host`.
    #[must_use]
    pub fn url_at(&self, host: &str) -> String {
        format!("postgres://{ROLE}@{host}:{}/postgres?sslmode=disable", self.port)
    }

    /// Its URL for its Unix socket, which is faster than TCP.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("postgres://{ROLE}@localhost:{}/postgres?host={}", self.port, self.directory.display())
    }

    /// Crashes the server and restarts it: writes that it had not synced are lost, and all connections are closed.
    ///
    /// # Errors
    /// The output of `pg_ctl`.
    pub fn crash_and_restart(&self) -> io::Result<()> {
        self.control("restart", "immediate")
    }

    /// Crashes the server. [`start_again`](Self::start_again) restarts it.
    ///
    /// # Errors
    /// The output of `pg_ctl`.
    pub fn crash(&self) -> io::Result<()> {
        self.control("stop", "immediate")
    }

    /// Restarts it after a crash, with the same port and directory.
    ///
    /// # Errors
    /// The output of `pg_ctl`.
    pub fn start_again(&self) -> io::Result<()> {
        self.control("start", "fast")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn control(&self, what: &str, mode: &str) -> io::Result<()> {
        let (data, log) = (self.data(), self.directory.join("log"));
        let addresses = if self.namespace.is_some() { "*" } else { "127.0.0.1" };
        let options = format!(
            "-k {} -p {} -c listen_addresses={addresses} -c max_connections=200 -c shared_buffers=64MB",
            self.directory.display(),
            self.port
        );
        let mut words = vec![OsStr::new(what), OsStr::new("-w"), OsStr::new("-D"), data.as_os_str()];
        if what != "start" {
            words.extend([OsStr::new("-m"), OsStr::new(mode)]);
        }
        if what != "stop" {
            words.extend([OsStr::new("-l"), log.as_os_str(), OsStr::new("-o"), OsStr::new(&options)]);
        }
        let answer = self.call("pg_ctl", words);
        let log = || fs::read_to_string(&log).unwrap_or_default();
        answer.map_err(|error| io::Error::new(error.kind(), format!("{error}\n{}", log())))
    }

    /// A Postgres program, run as the right user in the right namespace.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let Some(namespace) = &self.namespace else {
            let mut command = Command::new(program);
            if let Some((user, group)) = self.user {
                command.uid(user).gid(group);
            }
            return command;
        };
        // Entering a namespace needs root, so the user is changed after that.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        if let Some((user, group)) = self.user {
            command.args(["setpriv", "--clear-groups", "--reuid"]).arg(user.to_string());
            command.arg("--regid").arg(group.to_string());
        }
        command.arg(program);
        command
    }

    fn call<'a>(&self, program: &str, words: impl IntoIterator<Item = &'a OsStr>) -> io::Result<()> {
        let mut command = self.command(program);
        command.args(words).current_dir(&self.directory).env_remove("PGDATA").stdin(Stdio::null());
        // The server inherits its output: a pipe would stay open, and be waited for, as long as the server runs.
        let said = self.directory.join("said");
        let file = fs::File::create(&said)?;
        command.stdout(file.try_clone()?).stderr(file);
        if command.status()?.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{program} failed: {}", fs::read_to_string(&said).unwrap_or_default())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ignore the error: the server may have been stopped already.
        let _ = self.crash();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A path in the temporary directory that does not exist yet.
fn new_directory() -> PathBuf {
    // NOTE: the path of a Unix socket has at most 107 bytes.
    let name = format!("orkestra-pg-{:016x}", RandomState::new().hash_one(std::process::id()));
    std::env::temp_dir().join(name)
}

/// The directory with the newest Postgres binaries.
fn binaries() -> Option<PathBuf> {
    let has_all = |directory: &Path| ["initdb", "pg_ctl", "postgres"].iter().all(|name| directory.join(name).is_file());
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    if let Some(found) = on_path.unwrap_or_default().into_iter().find(|directory| has_all(directory)) {
        return Some(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(number);
    versions.iter().rev().map(|version| version.join("bin")).find(|directory| has_all(directory))
}

/// The user to run Postgres as, if `directory` was created by root: Postgres refuses to run as root.
fn user(directory: &Path) -> io::Result<Option<(u32, u32)>> {
    if fs::metadata(directory)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let ids = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            (fields[0] == wanted).then_some(ids)
        })
    };
    let none = || {
        io::Error::other(
            "cannot start Postgres: it refuses to run as root, and there is no user `postgres` or `nobody`; add one of them",
        )
    };
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or_else(none)
}
