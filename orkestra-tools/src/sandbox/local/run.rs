//! Runs one command, from spawn to result. However it ends (exit, timeout, a stop, the future dropped), a guard kills its
//! session, its control group and every process with its mark.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf};
use tokio::process::{Child, ChildStdin};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::capture::Capture;
use super::super::disk::{self, Full, Processes};
use super::super::pipe::PipeEnds;
use super::super::process::{EXIT_STOPPED, Ended, Until};
use super::super::{Command, CommandResult, ENVIRONMENT, SandboxError, blocking};
use super::Inner;
use super::cgroup::CommandGroup;
use super::processes::{self, MARK};
use crate::limits::{DRAIN, PIPE_GRACE, SANDBOX_FILE_BYTES_MAX, SANDBOX_OPEN_FILES_MAX};

/// Waits for "go" (limits, mark and control group are set by then) and becomes the command in a session of its own.
const PROLOGUE: &str = r#"
exec 3<&0 </dev/null
read -r go <&3 || exit 125
exec 3<&-
exec "$@"
"#;

/// As [`PROLOGUE`], but the command gets what follows "go". `read` of a POSIX shell takes no byte beyond the line from a pipe.
const PROLOGUE_PIPED: &str = r#"
read -r go || exit 125
exec "$@"
"#;

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn run(
    inner: &Arc<Inner>,
    command: &Command,
    cwd: &Path,
    until: Until,
    mut capture: Capture<'_>,
) -> Result<CommandResult, SandboxError> {
    let started = Instant::now();
    let number = inner.commands.fetch_add(1, Ordering::Relaxed);
    let mark = inner.mark.command(number);
    let start = Start { command: command.clone(), cwd: inner.workspace.path().join(cwd), mark, prologue: PROLOGUE };
    let mut running = Running::new(spawn(Arc::clone(inner), start).await?, mark)?;
    running.release(inner, number).await?;
    running.go = None;
    let ended = until.race(running.pump(&mut capture), full(inner, mark)).await;
    running.kill().await?;
    let (exit_code, timed_out, full) = match ended {
        Ended::ByItself(status) => {
            (exit_code(status.map_err(|error| SandboxError::Lost(error.to_string()))?), false, None)
        }
        Ended::Killed { exit_code, timed_out } => (exit_code, timed_out, None),
        Ended::Full(full) => (EXIT_STOPPED, false, Some(full)),
    };
    running.drain(&mut capture).await;
    if let Some(full) = full {
        capture.push(full.note().as_bytes(), true);
    }
    let captured = capture.finish();
    Ok(CommandResult {
        exit_code,
        timed_out,
        output: captured.output,
        whole: captured.whole,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// As [`run`], with input and output in the hands of the caller. Returns the exit code.
pub(super) async fn run_piped(
    inner: &Arc<Inner>,
    command: &Command,
    cwd: &Path,
    until: Until,
    ends: PipeEnds,
) -> Result<i32, SandboxError> {
    let number = inner.commands.fetch_add(1, Ordering::Relaxed);
    let mark = inner.mark.command(number);
    let start =
        Start { command: command.clone(), cwd: inner.workspace.path().join(cwd), mark, prologue: PROLOGUE_PIPED };
    let mut running = Running::new(spawn(Arc::clone(inner), start).await?, mark)?;
    running.release(inner, number).await?;
    let ended = until.race(running.pump_piped(ends), full(inner, mark)).await;
    running.kill().await?;
    match ended {
        Ended::ByItself(status) => Ok(exit_code(status.map_err(|error| SandboxError::Lost(error.to_string()))?)),
        Ended::Killed { exit_code, .. } => Ok(exit_code),
        Ended::Full(full) => Err(SandboxError::Process(full.note().trim().to_owned())),
    }
}

/// Returns when the workspace or the scratch space is full.
async fn full(inner: &Arc<Inner>, mark: u64) -> Full {
    let all: Processes = Arc::new(move || processes::ids(mark));
    tokio::select! {
        full = disk::exceeded(disk::WORKSPACE, &inner.workspace, Arc::clone(&all)) => full,
        full = disk::exceeded(disk::SCRATCH, &inner.scratch_space, Arc::clone(&all)) => full,
    }
}

/// What is spawned.
struct Start {
    command: Command,
    cwd: PathBuf,
    mark: u64,
    prologue: &'static str,
}

/// Spawns the command from a new thread, which is confined and then ends.
async fn spawn(inner: Arc<Inner>, start: Start) -> Result<Child, SandboxError> {
    let (sender, receiver) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = runtime.enter();
        let child = inner.confiner.confine_this_thread().and_then(|()| {
            let spawned = prepare(&inner, &start).spawn();
            spawned.map_err(|error| SandboxError::Failed(format!("cannot start sh: {error}")))
        });
        // If the receiver is gone, the child is dropped, its pipe closes before "go", and it exits without doing anything.
        let _ = sender.send(child);
    };
    let thread = std::thread::Builder::new().name("orkestra-spawn".to_owned()).spawn(work);
    thread.map_err(|error| SandboxError::Failed(format!("cannot start a thread: {error}")))?;
    receiver.await.unwrap_or_else(|_| Err(SandboxError::Failed("the spawning thread panicked".to_owned())))
}

fn prepare(inner: &Inner, start: &Start) -> tokio::process::Command {
    let scratch = &inner.scratch;
    let mut command = tokio::process::Command::new("/bin/sh");
    command.args(["-c", start.prologue, "sh"]);
    match inner.setsid {
        // NOTE: not in a process group of its own yet, because setsid(1) would fork for a group's leader.
        Some(setsid) => command.arg(setsid),
        None => command.process_group(0),
    };
    command.args(["/bin/sh", "-c", &start.command.line]).current_dir(&start.cwd).env_clear().envs(ENVIRONMENT);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()));
    command.env("HOME", scratch.join("home")).env("TMPDIR", scratch.join("tmp")).envs(&start.command.environment);
    command.env(MARK, format!("{:x}", start.mark));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

struct Running {
    /// Killed before the child is dropped: fields are dropped in order.
    tree: Tree,
    child: Child,
    /// Its input: "go", and what follows.
    go: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    fn new(mut child: Child, mark: u64) -> Result<Self, SandboxError> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| SandboxError::Failed("the command has no process id".to_owned()))?;
        let go = child.stdin.take();
        let (stdout, stderr) = (Stream::new(child.stdout.take()), Stream::new(child.stderr.take()));
        let tree = Tree { leader: Some(pid), mark, group: Arc::default(), armed: true };
        Ok(Self { tree, child, go, stdout, stderr })
    }

    /// Sets limits, mark and control group while the shell waits, then sends it "go".
    async fn release(&mut self, inner: &Inner, number: u64) -> Result<(), SandboxError> {
        let options = &inner.options;
        let Some(pid) = self.tree.leader else { return Err(SandboxError::Failed("the command has ended".to_owned())) };
        let limits = [
            (processes::RESOURCE, self.tree.mark),
            (Resource::Core, 0),
            (Resource::Fsize, SANDBOX_FILE_BYTES_MAX),
            (Resource::Nofile, SANDBOX_OPEN_FILES_MAX),
            (Resource::Data, options.memory_bytes),
            (Resource::Nproc, u64::from(options.processes_max)),
        ];
        for (resource, most) in limits {
            let before = rustix::process::getrlimit(resource);
            let is_mark = resource == processes::RESOURCE;
            let most = before.maximum.filter(|_| !is_mark).map_or(most, |maximum| maximum.min(most));
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            let set = prlimit(Some(pid), resource, limit);
            set.map_err(|error| SandboxError::Failed(format!("cannot set the limit {resource:?}: {error}")))?;
        }
        let group = inner.cgroups.enter(pid, number);
        let group = group
            .map_err(|error| SandboxError::Failed(format!("cannot move a command into its control group: {error}")))?;
        self.tree.group = Arc::new(group);
        // IMPORTANT: after the mark is set. `close` now finds either the mark or no command.
        if inner.closed.load(Ordering::SeqCst) {
            return Err(SandboxError::Failed("it is closed; start it again".to_owned()));
        }
        let go = self.go.as_mut().ok_or_else(|| SandboxError::Failed("no pipe to the command".to_owned()))?;
        let sent = go.write_all(b"go\n").await;
        sent.map_err(|error| SandboxError::Failed(format!("the shell ended early: {error}")))
    }

    /// Passes on output until the command itself has exited; background processes do not count.
    async fn pump(&mut self, capture: &mut Capture<'_>) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                // IMPORTANT: output first, so that the output of a command that has exited is not lost.
                biased;
                bytes = self.stdout.read() => capture.push(bytes, false),
                bytes = self.stderr.read() => capture.push(bytes, true),
                status = self.child.wait() => {
                    // Its number may belong to another process from now on.
                    self.tree.leader = None;
                    return status;
                }
            }
        }
    }

    /// Passes bytes in both directions until the command itself has exited. A caller that reads slowly slows the command down.
    async fn pump_piped(&mut self, mut ends: PipeEnds) -> std::io::Result<ExitStatus> {
        let feed = feed(ends.input, self.go.take());
        tokio::pin!(feed);
        let mut fed = false;
        loop {
            tokio::select! {
                biased;
                bytes = self.stdout.read() => {
                    // When the caller no longer reads, its handle is gone, and the command is about to be stopped.
                    let _ = ends.output.write_all(bytes).await;
                }
                bytes = self.stderr.read() => ends.stderr.push(bytes),
                status = self.child.wait() => {
                    self.tree.leader = None;
                    ends.stderr.finish();
                    return status;
                }
                () = &mut feed, if !fed => {
                    fed = true;
                    self.tree.kill_session();
                }
            }
        }
    }

    /// Kills everything of the command.
    async fn kill(&mut self) -> Result<(), SandboxError> {
        self.tree.kill_session();
        let (tree, mark) = (self.tree.group(), self.tree.mark);
        blocking(move || {
            tree.kill();
            processes::kill_command(mark);
            Ok(())
        })
        .await?;
        self.tree.armed = false;
        Ok(())
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

/// Passes on what the caller writes until it closes its side; then closes the command's input, and returns after
/// [`PIPE_GRACE`]. A command that closes its input may go on.
async fn feed(mut input: ReadHalf<DuplexStream>, to: Option<ChildStdin>) {
    let Some(mut to) = to else { return std::future::pending().await };
    if tokio::io::copy(&mut input, &mut to).await.is_err() {
        return std::future::pending().await;
    }
    drop(to);
    tokio::time::sleep(PIPE_GRACE).await;
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

/// All processes of a command; killed at the latest on drop.
struct Tree {
    /// The first process, until it was waited for.
    leader: Option<Pid>,
    mark: u64,
    group: Arc<CommandGroup>,
    armed: bool,
}

impl Tree {
    fn group(&self) -> Arc<CommandGroup> {
        Arc::clone(&self.group)
    }

    /// What ends most of them at once, without a search.
    fn kill_session(&self) {
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, Signal::KILL);
            // It may not have made its session yet.
            let _ = kill_process(leader, Signal::KILL);
        }
        self.group.kill();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        self.kill_session();
        let (mark, group) = (self.mark, self.group());
        // The search waits for the kernel, which the thread of a runtime must not. Without a thread, the guardian does it.
        let search = move || {
            group.kill();
            processes::kill_command(mark);
        };
        let _ = std::thread::Builder::new().name("orkestra-sweep".to_owned()).spawn(search);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
