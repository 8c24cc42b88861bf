//! The process of one Chromium: an ordinary user, its own directory, limits, and where this user may make one a network of its
//! own in which there is only our proxy.
//!
//! ```text
//! sh waits for "go" -> limits, mark, control group -> exec chromium, with its standard streams as debugging pipes
//! drop, or the death of this process: the pipes close, and the guardian kills what has the mark and removes the directory
//! ```

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use super::ChromiumOptions;
use super::flags::FLAGS;
use crate::limits::{BROWSER_FILE_BYTES_MAX, BROWSER_MEMORY_BYTES, BROWSER_PROCESSES_MAX};
use crate::sandbox::local::{Cgroups, CommandGroup, Guardian, MARK_RESOURCE, Mark, PrivateNetwork};

/// Becomes Chromium, which reads its debugging pipe at 3 and writes it at 4. A shell reads single bytes from a pipe, so the
/// messages that follow "go" stay in it.
const PROLOGUE: &str = r#"
read -r go || exit 125
umask 077
exec "$@" 3<&0 4>&1 </dev/null >/dev/null
"#;

/// What is kept of its standard error for a message, bytes.
const SAID_BYTES_MAX: usize = 4096;

/// A running Chromium. Dropping it kills it with everything that it started, and removes its directory.
#[derive(Debug)]
pub(super) struct Process {
    group: Option<Pid>,
    in_cgroup: CommandGroup,
    child: Child,
    said: Said,
    /// Kills by the mark, and removes the directory.
    _guardian: Guardian,
    _cgroups: Cgroups,
}

/// The end of its standard error.
type Said = Arc<Mutex<Vec<u8>>>;

/// What [`Process::start`] gives besides the process.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    /// On the loopback of Chromium's own network, if it has one, for the proxy.
    pub(super) listener: TcpListener,
}

impl Process {
    pub(super) async fn start(options: &ChromiumOptions, has_sandbox: bool) -> io::Result<Started> {
        let directory = tempfile::Builder::new().prefix("orkestra-chromium-").tempdir()?;
        let mark = Mark::new(directory.path());
        let cgroups = Cgroups::new(mark, BROWSER_MEMORY_BYTES, BROWSER_PROCESSES_MAX);
        let guardian = Guardian::start("orkestra-browser-guardian", mark, &cgroups.paths(), directory.path())
            .map_err(io::Error::other)?;
        // From here on the guardian removes it.
        let directory = directory.keep();
        if let Some(user) = options.user {
            std::os::unix::fs::chown(&directory, Some(user), Some(user))?;
        }
        let (mut child, listener) = spawn(options.clone(), directory, has_sandbox).await?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let said = Said::default();
        tokio::spawn(listen(errors.ok_or_else(gone)?, said.clone()));
        let in_cgroup = CommandGroup::default();
        let mut process = Self { group, in_cgroup, child, said, _guardian: guardian, _cgroups: cgroups };
        let pid = group.ok_or_else(gone)?;
        limit(pid, mark.command(0))?;
        process.in_cgroup = process._cgroups.enter(pid, 0)?;
        let mut input = input.ok_or_else(gone)?;
        input.write_all(b"go\n").await?;
        Ok(Started { process, input, output: output.ok_or_else(gone)?, listener })
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it printed.
    pub(super) fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.in_cgroup.kill();
        if let Some(group) = self.group
            && !self.has_ended()
        {
            // Nearly all of it at once; the guardian kills the rest.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Spawns it from a new thread that enters Chromium's network, binds the proxy's port there, and ends.
async fn spawn(options: ChromiumOptions, directory: PathBuf, has_sandbox: bool) -> io::Result<(Child, TcpListener)> {
    let (sender, receiver) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = runtime.enter();
        let started = || {
            if options.own_network {
                PrivateNetwork::new()?.enter()?;
            }
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            let child = command(&options, &directory, has_sandbox, port).spawn()?;
            Ok((child, listener))
        };
        let _ = sender.send(started());
    };
    std::thread::Builder::new().name("orkestra-spawn".to_owned()).spawn(work)?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the spawning thread panicked")))
}

fn command(options: &ChromiumOptions, directory: &Path, has_sandbox: bool, proxy_port: u16) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", PROLOGUE, "sh"]);
    if let Some(user) = options.user {
        // NOTE: not by this process, which as root of a container may not set the limits of another user's processes.
        command.arg("setpriv").args([format!("--reuid={user}"), format!("--regid={user}")]).arg("--clear-groups");
    }
    command.arg(&options.executable).args(FLAGS);
    command.arg(format!("--proxy-server=http://127.0.0.1:{proxy_port}"));
    command.arg(format!("--user-data-dir={}", directory.join("profile").display()));
    if !has_sandbox {
        command.arg("--no-sandbox");
    }
    command.arg("about:blank");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", directory).env("TMPDIR", directory);
    // Otherwise it looks for the session bus, which is a service of the host.
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent").env("XDG_RUNTIME_DIR", directory);
    command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

fn limit(pid: Pid, mark: u64) -> io::Result<()> {
    let limits = [
        (MARK_RESOURCE, mark),
        (Resource::Core, 0),
        (Resource::Fsize, BROWSER_FILE_BYTES_MAX),
        (Resource::Data, BROWSER_MEMORY_BYTES),
    ];
    for (resource, most) in limits {
        let before = getrlimit(resource).maximum.filter(|_| resource != MARK_RESOURCE);
        let most = before.map_or(most, |maximum| maximum.min(most));
        prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Keeps the end of what it prints, which must be read, or Chromium blocks.
async fn listen(mut errors: ChildStderr, said: Said) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..count]);
        let surplus = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..surplus);
    }
}

/// Chromium as Debian names it.
pub(super) fn executable_default() -> PathBuf {
    PathBuf::from("/usr/bin/chromium")
}
