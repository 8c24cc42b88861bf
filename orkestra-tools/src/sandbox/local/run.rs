//! Runs one command, from spawn to result. However it ends (exit, timeout, the future dropped), a guard kills the group and
//! every process with the command's mark.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::capture::Capture;
use super::super::{Command, CommandResult, ENVIRONMENT, EXIT_TIMED_OUT, SandboxError};
use super::processes::{MARK, kill_command};
use super::{Inner, LocalOptions};
use crate::limits::{DRAIN, SANDBOX_FILE_BYTES_MAX, SANDBOX_OPEN_FILES_MAX};
use crate::scope::Observer;

/// Waits for "go" (the limits are set by then), starts a watchdog that kills the group when the pipe closes (this process has
/// died), and becomes the command. The watchdog is forked twice so that it is not a child of the command.
const PROLOGUE: &str = r#"
exec 3<&0 </dev/null
read -r go <&3 || exit 125
( ( exec >/dev/null 2>&1; read -r gone <&3; kill -KILL 0 ) & )
exec 3<&-
exec sh -c "$1"
"#;

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn run(
    inner: &Arc<Inner>,
    command: &Command,
    cwd: &Path,
    number: u64,
    observer: &dyn Observer,
) -> Result<CommandResult, SandboxError> {
    let started = Instant::now();
    let mut capture = Capture::new(observer, command.whole.clone(), &command.secrets)?;
    let mark = inner.mark.command(number);
    let child = spawn(Arc::clone(inner), command.line.clone(), inner.workspace.path().join(cwd), mark.clone()).await?;
    let mut running = Running::new(child, mark)?;
    let go = running.release(&inner.options).await;
    let ended = match go {
        Ok(()) => tokio::time::timeout(command.time(), running.pump(&mut capture)).await,
        Err(error) => return Err(error),
    };
    running.group.kill();
    let status = match ended {
        Ok(status) => Some(status.map_err(|error| SandboxError::Lost(error.to_string()))?),
        Err(_) => None,
    };
    running.drain(&mut capture).await;
    let captured = capture.finish();
    Ok(CommandResult {
        exit_code: status.map_or(EXIT_TIMED_OUT, exit_code),
        timed_out: status.is_none(),
        output: captured.output,
        whole: captured.whole,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Spawns the command from a new thread, which is confined and then ends.
async fn spawn(inner: Arc<Inner>, line: String, cwd: std::path::PathBuf, mark: String) -> Result<Child, SandboxError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = runtime.enter();
        let child = inner.confiner.confine_this_thread().and_then(|()| {
            let spawned = prepare(&inner, &line, &cwd, &mark).spawn();
            spawned.map_err(|error| SandboxError::Failed(format!("cannot start sh: {error}")))
        });
        // If the receiver is gone, the child is dropped, its pipe closes before "go", and it exits without doing anything.
        let _ = sender.send(child);
    };
    let thread = std::thread::Builder::new().name("orkestra-spawn".to_owned()).spawn(work);
    thread.map_err(|error| SandboxError::Failed(format!("cannot start a thread: {error}")))?;
    receiver.await.unwrap_or_else(|_| Err(SandboxError::Failed("the spawning thread panicked".to_owned())))
}

fn prepare(inner: &Inner, line: &str, cwd: &Path, mark: &str) -> tokio::process::Command {
    let scratch = inner.scratch.path();
    let mut command = tokio::process::Command::new("/bin/sh");
    command.args(["-c", PROLOGUE, "sh", line]).current_dir(cwd).env_clear().envs(ENVIRONMENT);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()));
    command.env("HOME", scratch.join("home")).env("TMPDIR", scratch.join("tmp")).env(MARK, mark);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

struct Running {
    /// Killed before the child is dropped: fields are dropped in order.
    group: Group,
    child: Child,
    /// Open as long as this process lives; closing it makes the watchdog kill the group.
    lifeline: Option<tokio::process::ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    fn new(mut child: Child, mark: String) -> Result<Self, SandboxError> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| SandboxError::Failed("the command has no process id".to_owned()))?;
        let lifeline = child.stdin.take();
        let (stdout, stderr) = (Stream::new(child.stdout.take()), Stream::new(child.stderr.take()));
        Ok(Self { group: Group { pid: Some(pid), mark }, child, lifeline, stdout, stderr })
    }

    /// Sets the limits while the shell waits, then sends it "go".
    async fn release(&mut self, options: &LocalOptions) -> Result<(), SandboxError> {
        let limits = [
            (Resource::Core, 0),
            (Resource::Fsize, SANDBOX_FILE_BYTES_MAX),
            (Resource::Nofile, SANDBOX_OPEN_FILES_MAX),
            (Resource::Data, options.memory_bytes),
            (Resource::Nproc, u64::from(options.processes_max)),
        ];
        for (resource, most) in limits {
            let before = rustix::process::getrlimit(resource);
            let most = before.maximum.map_or(most, |maximum| maximum.min(most));
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            let set = prlimit(self.group.pid, resource, limit);
            set.map_err(|error| SandboxError::Failed(format!("cannot set the limit {resource:?}: {error}")))?;
        }
        let lifeline =
            self.lifeline.as_mut().ok_or_else(|| SandboxError::Failed("no pipe to the command".to_owned()))?;
        lifeline
            .write_all(b"go\n")
            .await
            .map_err(|error| SandboxError::Failed(format!("the shell ended early: {error}")))
    }

    /// Passes on output until the command itself has exited; background processes do not count.
    async fn pump(&mut self, capture: &mut Capture<'_>) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                // IMPORTANT: output first, so that the output of a command that has exited is not lost.
                biased;
                bytes = self.stdout.read() => capture.push(bytes, false),
                bytes = self.stderr.read() => capture.push(bytes, true),
                status = self.child.wait() => return status,
            }
        }
    }

    /// Reads what is still in the pipes after the kill, for at most [`DRAIN`]: an escaped process may keep them open.
    async fn drain(&mut self, capture: &mut Capture<'_>) {
        let rest = async {
            while self.stdout.is_open() || self.stderr.is_open() {
                tokio::select! {
                    bytes = self.stdout.read() => capture.push(bytes, false),
                    bytes = self.stderr.read() => capture.push(bytes, true),
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN, rest).await;
        let _ = tokio::time::timeout(DRAIN, self.child.wait()).await;
    }
}

/// One of the two output streams; reads are pending forever once it has ended.
struct Stream {
    pipe: Option<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: Vec<u8>,
}

impl Stream {
    fn new<R: AsyncRead + Send + Unpin + 'static>(pipe: Option<R>) -> Self {
        Self { pipe: pipe.map(|pipe| Box::new(pipe) as Box<dyn AsyncRead + Send + Unpin>), buffer: vec![0; 16 * 1024] }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Cancel-safe: a read that did not complete has consumed nothing.
    async fn read(&mut self) -> &[u8] {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let count = pipe.read(&mut self.buffer).await.unwrap_or(0);
        if count == 0 {
            self.pipe = None;
        }
        &self.buffer[..count]
    }
}

/// The process group of a command; killed once, at the latest on drop.
struct Group {
    pid: Option<Pid>,
    mark: String,
}

impl Group {
    /// NOTE: the group's id cannot have been reused, because the watchdog is a member until this signal.
    fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = kill_process_group(pid, Signal::KILL);
            kill_command(&self.mark);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
