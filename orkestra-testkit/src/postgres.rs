//! A throw-away Postgres server: a cluster of its own in a temporary directory, made from the binaries of this machine.
//!
//! It never touches a server that is there already, and is gone when its last handle is dropped. It blocks while it starts.
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

/// The role and the owner of everything in such a server; no password is asked for.
const ROLE: &str = "orkestra";

/// Ports that were free a moment ago may be taken: another one then.
const STARTS_MAX: usize = 5;

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    directory: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    /// The network namespace that it runs in, if it is not that of this process.
    namespace: Option<String>,
}

impl Server {
    /// Makes a cluster and starts it, with `fsync` on. It listens on the loopback address and on a Unix socket.
    ///
    /// # Errors
    /// `NotFound` when this machine has no Postgres binaries, on the `PATH` or where Debian puts them; otherwise what its
    /// programs said.
    pub fn start() -> io::Result<Self> {
        Self::begin(None, new_directory())
    }

    /// The same in this directory, which is removed in the end as well. A cluster that is there already is taken over: the copy of
    /// another server's directory. The path must be short enough for a Unix socket in it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_at(directory: &Path) -> io::Result<Self> {
        Self::begin(None, directory.to_owned())
    }

    /// The same in another network namespace, one that `ip netns add` has made, where it listens on every address
    /// ([`url_at`](Self::url_at)). From here it is reached by its Unix socket alone ([`socket_url`](Self::socket_url)). Needs
    /// root, and `ip` and `setpriv` as on every Debian.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in(namespace: &str) -> io::Result<Self> {
        Self::begin(Some(namespace.to_owned()), new_directory())
    }

    fn begin(namespace: Option<String>, directory: PathBuf) -> io::Result<Self> {
        let binaries = binaries().ok_or_else(|| {
            let message = "no Postgres binaries: initdb and pg_ctl are neither on the PATH nor in /usr/lib/postgresql";
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        let is_new = !directory.join("data").exists();
        if is_new {
            fs::create_dir(&directory)?;
        }
        // One that is taken over belongs to whoever the other server runs as.
        let owner = fs::metadata(&directory)?;
        let user = if is_new { user(&directory)? } else { Some((owner.uid(), owner.gid())) };
        let mut server = Self { binaries, directory, port: 0, user, namespace };
        if let Some((user, group)) = server.user.filter(|_| is_new) {
            chown(&server.directory, Some(user), Some(group))?;
        }
        if is_new {
            server.init_cluster()?;
        } else {
            // That of the server it was copied from: to Postgres it looks as if that one had this directory open.
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

    /// Makes the cluster.
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

    /// Where it answers by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at("127.0.0.1")
    }

    /// Where it answers by TCP to those who know it as `host`.
    #[must_use]
    pub fn url_at(&self, host: &str) -> String {
        format!("postgres://{ROLE}@{host}:{}/postgres?sslmode=disable", self.port)
    }

    /// Where it answers by its Unix socket, which is faster.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("postgres://{ROLE}@localhost:{}/postgres?host={}", self.port, self.directory.display())
    }

    /// Ends the server as a crash would, and starts it again: what it had not synced is lost, whoever was connected too.
    ///
    /// # Errors
    /// What `pg_ctl` said.
    pub fn crash_and_restart(&self) -> io::Result<()> {
        self.control("restart", "immediate")
    }

    /// Ends the server as a crash would. [`start_again`](Self::start_again) brings it back.
    ///
    /// # Errors
    /// What `pg_ctl` said.
    pub fn crash(&self) -> io::Result<()> {
        self.control("stop", "immediate")
    }

    /// Starts it after a crash, at the same place.
    ///
    /// # Errors
    /// What `pg_ctl` said.
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

    /// A program of Postgres, where it is to run and as whom.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let Some(namespace) = &self.namespace else {
            let mut command = Command::new(program);
            if let Some((user, group)) = self.user {
                command.uid(user).gid(group);
            }
            return command;
        };
        // Who enters a namespace must be root still.
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
        // A server inherits what it is given: an open pipe would be waited for as long as it lives.
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
        // A server that is not there any more needs no end.
        let _ = self.crash();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A directory that is not there yet.
fn new_directory() -> PathBuf {
    // NOTE: the path of a Unix socket has at most 107 bytes.
    let name = format!("orkestra-pg-{:016x}", RandomState::new().hash_one(std::process::id()));
    std::env::temp_dir().join(name)
}

/// Where the newest binaries are.
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

/// Postgres refuses to run as root: the user to run it as instead, if `directory` was made by root.
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
    let none = || io::Error::other("Postgres does not run as root, and there is no user `postgres` or `nobody`");
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or_else(none)
}
