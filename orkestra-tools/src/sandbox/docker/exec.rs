//! Runs one command in the container, from exec to result, and ensures that no process of it survives.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{RestartContainerOptionsBuilder, StartContainerOptions};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::capture::Capture;
use super::super::disk::{self, Full, Processes};
use super::super::process::{EXIT_STOPPED, Ended, Until};
use super::super::{Command, CommandResult, SandboxError};
use super::container::WORKSPACE;
use super::daemon::{failed, status, within};
use super::look::{Found, Look};
use super::scripts::{SWEEP, WRAPPER};
use super::{Network, Shared};
use crate::egress::EgressProxy;
use crate::limits::{DRAIN, EGRESS_REFUSALS_SHOWN_MAX, MACHINERY_TIMEOUT};
use crate::scope::Unobserved;

/// The ids of a session and of a wrapper are two numbers.
pub(super) const SESSION_LINE_BYTES_MAX: usize = 64;

/// How often the daemon is asked whether a command has ended.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// The pauses before the looks at what is left of a command, milliseconds; then it is searched for.
const LOOKS: [u64; 6] = [0, 1, 2, 4, 8, 16];

pub(super) async fn run(
    shared: &Arc<Shared>,
    command: &Command,
    cwd: &Path,
    until: Until,
    capture: Capture<'_>,
) -> Result<CommandResult, SandboxError> {
    let started = Instant::now();
    let refused_before = shared.egress.as_ref().map_or(0, EgressProxy::refused);
    let number = shared.commands.fetch_add(1, Ordering::Relaxed);
    let mark = format!("{}-{number}", shared.container.get(..12).unwrap_or(&shared.container));
    let directory = Path::new(WORKSPACE).join(cwd).to_string_lossy().into_owned();
    *shared.running.lock().await += 1;
    let mut leftovers = Leftovers::new(shared, number, &mark);
    let place = Place { directory: Some(directory), environment: Cow::Borrowed(&command.environment) };
    let mut exec = open(shared, &["sh", "-c", WRAPPER, "sh", &command.line, &mark], place).await?;
    let mut capture = SessionReader::new(capture, Some((shared, number)));
    let ended = until.race(exec.pump(shared, &mut capture), full(shared)).await;
    // IMPORTANT: keep reading output while killing; a daemon that cannot deliver it answers nothing else on this connection.
    let (code, swept) = {
        let id = exec.id.clone();
        let kill = async {
            let _ = exec.input.shutdown().await;
            // IMPORTANT: before the search, which may kill the wrapper while it still has the code.
            let code = match &ended {
                Ended::ByItself(_) => Some(exit_code(shared, &id).await),
                Ended::Killed { .. } | Ended::Full(_) => None,
            };
            (code, leftovers.sweep().await)
        };
        let drain = drain(&mut exec.output, &mut capture);
        tokio::pin!(kill, drain);
        match select(kill, drain).await {
            Either::Left((killed, drain)) => {
                let _ = tokio::time::timeout(DRAIN, drain).await;
                killed
            }
            Either::Right(((), kill)) => kill.await,
        }
    };
    if !matches!(ended, Ended::ByItself(_)) {
        // The wrapper has the command in its own command line, and ends a moment after it.
        let _ = tokio::time::timeout(DRAIN, exit_code(shared, &exec.id)).await;
    }
    let (exit_code, timed_out) = match (&ended, code) {
        (Ended::ByItself(Err(error)), _) => return Err(SandboxError::Lost(error.to_string())),
        (Ended::ByItself(Ok(())), Some(code)) => (code?, false),
        (Ended::ByItself(Ok(())), None) => (exit_code(shared, &exec.id).await?, false),
        (Ended::Killed { exit_code, timed_out }, _) => (*exit_code, *timed_out),
        (Ended::Full(_), _) => (EXIT_STOPPED, false),
    };
    swept?;
    if let Ended::Full(full) = ended {
        capture.capture.push(full.note().as_bytes(), true);
    }
    if let Some(egress) = &shared.egress {
        note_refusals(egress, refused_before, &mut capture.capture);
    }
    let mut captured = capture.capture.finish();
    if shared.network == Network::None && exit_code != 0 && NO_NETWORK.iter().any(|text| captured.output.contains(text))
    {
        captured.output.push_str(&format!("\n{NO_NETWORK_NOTE}\n"));
    }
    Ok(CommandResult {
        exit_code,
        timed_out,
        output: captured.output,
        whole: captured.whole,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Returns when the workspace is full.
pub(super) fn full(shared: &Arc<Shared>) -> impl Future<Output = Full> + Send {
    let seen = Arc::clone(shared);
    let processes: Processes = Arc::new(move || seen.look.get().and_then(Look::ids).unwrap_or_default());
    disk::exceeded(disk::WORKSPACE, &shared.workspace, processes)
}

/// What programs print when they find no network, each in its own words.
const NO_NETWORK: [&str; 8] = [
    "network was disabled",
    "this-sandbox-has-no-network",
    "Cannot connect to proxy",
    "Could not resolve",
    "EAI_AGAIN",
    "Name or service not known",
    "Network is unreachable",
    "Temporary failure in name resolution",
];
const NO_NETWORK_NOTE: &str = "[network] this sandbox has no network, so nothing can be downloaded; work with what is installed, or \
     ask a person to start the run with the network `registries`";

/// Adds what the proxy refused while the command ran: clients such as curl do not show the reason.
fn note_refusals(egress: &EgressProxy, before: u64, capture: &mut Capture<'_>) {
    let refusals = egress.refusals_since(before);
    for text in refusals.iter().take(EGRESS_REFUSALS_SHOWN_MAX) {
        capture.push(format!("\n[network] {text}\n").as_bytes(), true);
    }
    if refusals.len() > EGRESS_REFUSALS_SHOWN_MAX {
        let more = refusals.len() - EGRESS_REFUSALS_SHOWN_MAX;
        capture.push(format!("\n[network] {more} further refusals\n").as_bytes(), true);
    }
}

pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// A running exec.
pub(super) struct Exec {
    pub(super) id: String,
    pub(super) output: Output,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Exec {
    /// Passes on output until the wrapper has exited. It polls the daemon instead of waiting for the end of the output,
    /// because a process that left the session may keep the output open.
    async fn pump(&mut self, shared: &Shared, capture: &mut SessionReader<'_>) -> Result<(), Error> {
        let mut looks = tokio::time::interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.tick().await;
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    if shared.docker.inspect_exec(&self.id).await?.running == Some(false) {
                        return Ok(());
                    }
                }
                output = self.output.next() => match output {
                    Some(output) => capture.push(&output?),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Reads the rest of the output until every process has closed it.
async fn drain(output: &mut Output, capture: &mut SessionReader<'_>) {
    while let Some(Ok(piece)) = output.next().await {
        capture.push(&piece);
    }
}

/// Waits for the exit code: the daemon may record it a moment after the output has ended.
pub(super) async fn exit_code(shared: &Shared, id: &str) -> Result<i32, SandboxError> {
    let lost = |error: SandboxError| SandboxError::Lost(error.to_string());
    let deadline = Instant::now() + MACHINERY_TIMEOUT;
    while Instant::now() < deadline {
        let state = within("inspect exec", shared.docker.inspect_exec(id)).await.map_err(lost)?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(i32::try_from(code).unwrap_or(-1));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(SandboxError::Lost("the daemon did not report how the command ended".to_owned()))
}

/// Strips the first line from the output: the ids of the command's session and of the wrapper. The wrapper prints it before the
/// command starts, so a command cannot forge it.
struct SessionReader<'run> {
    capture: Capture<'run>,
    line: Vec<u8>,
    has_line: bool,
    /// Where the sessions of a command are told.
    command: Option<(&'run Shared, u64)>,
}

impl<'run> SessionReader<'run> {
    fn new(capture: Capture<'run>, command: Option<(&'run Shared, u64)>) -> Self {
        Self { capture, line: Vec::new(), has_line: false, command }
    }

    fn push(&mut self, output: &LogOutput) {
        let is_error = matches!(output, LogOutput::StdErr { .. });
        let mut bytes: &[u8] = output.as_ref();
        if !is_error && !self.has_line {
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(bytes.len(), |newline| newline + 1);
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            // Another process of the container may write here before the wrapper does. Then no session is known, and the search for
            // what is left finds all of it.
            if newline.is_some() || self.line.len() > SESSION_LINE_BYTES_MAX {
                self.has_line = true;
                if let Some((shared, number)) = self.command.filter(|_| self.line.len() <= SESSION_LINE_BYTES_MAX) {
                    shared.add_session(number, &self.line);
                }
            }
        }
        self.capture.push(bytes, is_error);
    }
}

/// The processes that a command may leave running. Killed once: at the end, or in the background when the future is dropped.
pub(super) struct Leftovers {
    shared: Arc<Shared>,
    number: u64,
    mark: String,
    armed: bool,
}

impl Leftovers {
    pub(super) fn new(shared: &Arc<Shared>, number: u64, mark: &str) -> Self {
        Self { shared: Arc::clone(shared), number, mark: mark.to_owned(), armed: true }
    }

    pub(super) async fn sweep(&mut self) -> Result<(), SandboxError> {
        let swept = sweep(&self.shared, self.number, &self.mark).await;
        self.armed = false;
        swept
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.armed {
            let (shared, number, mark) = (Arc::clone(&self.shared), self.number, std::mem::take(&mut self.mark));
            runtime.spawn(async move {
                if let Err(error) = sweep(&shared, number, &mark).await {
                    tracing::warn!(%error, "a cancelled command may still run in its container");
                }
            });
        }
    }
}

/// Kills what is left of a command. If that cannot be confirmed, restarts the container, which kills everything in it.
async fn sweep(shared: &Arc<Shared>, number: u64, mark: &str) -> Result<(), SandboxError> {
    if shared.closed.load(Ordering::Acquire) {
        return Ok(());
    }
    // IMPORTANT: locked until it is swept, so that no command starts while everything is killed.
    let mut running = shared.running.lock().await;
    let session = shared.sessions().remove(&number).map_or_else(String::new, |[session, _]| session.to_string());
    let swept = match look_for_others(shared).await {
        Found::Clean => Ok(()),
        Found::More => {
            let all = if *running == 1 { "all" } else { "" };
            sweep_locked(shared, &["sh", "-c", SWEEP, "sh", &session, mark, all]).await
        }
        // The daemon may not know it yet, and would start the next command in a container that ends.
        Found::Ending => restart(shared).await,
    };
    *running = running.saturating_sub(1);
    swept
}

/// Looks from the host whether anything runs but other commands. What was killed needs a moment to go.
async fn look_for_others(shared: &Shared) -> Found {
    let Some(look) = shared.look.get() else { return Found::More };
    for pause in LOOKS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let others = shared.sessions().values().flatten().copied().collect();
        match look.find_others(&others) {
            Found::More => {}
            found => return found,
        }
    }
    Found::More
}

async fn sweep_locked(shared: &Arc<Shared>, line: &[&str]) -> Result<(), SandboxError> {
    match internal_command(shared, line, None).await {
        Ok((output, 0)) if output.trim() == "clean" => Ok(()),
        answer => {
            tracing::warn!(?answer, container = %shared.container, "restarting the container to kill a command in it");
            restart(shared).await
        }
    }
}

async fn restart(shared: &Shared) -> Result<(), SandboxError> {
    let _one_at_a_time = shared.restarting.lock().await;
    let at_once = RestartContainerOptionsBuilder::new().t(0).build();
    within("restart container", shared.docker.restart_container(&shared.container, Some(at_once))).await
}

/// Runs a short command of our own; returns its output and exit code. With `meanwhile`, the command prints a line and waits for
/// one while that runs.
pub(super) async fn internal_command(
    shared: &Arc<Shared>,
    line: &[&str],
    meanwhile: Option<&(dyn Fn() + Sync)>,
) -> Result<(String, i32), SandboxError> {
    let work = async {
        let mut exec = open(shared, line, Place::default()).await?;
        let mut reader =
            SessionReader::new(Capture::new(&Unobserved, None, &crate::secrets::Secrets::default())?, None);
        reader.has_line = meanwhile.is_none();
        if let Some(meanwhile) = meanwhile {
            while !reader.has_line {
                match exec.output.next().await {
                    Some(Ok(output)) => reader.push(&output),
                    _ => break,
                }
            }
            meanwhile();
            let _ = exec.input.write_all(b"go\n").await;
        }
        exec.pump(shared, &mut reader).await.map_err(|error| failed("run exec", &error))?;
        let code = exit_code(shared, &exec.id).await?;
        Ok((reader.capture.finish().output, code))
    };
    let done = tokio::time::timeout(MACHINERY_TIMEOUT, work).await;
    done.unwrap_or_else(|_| Err(SandboxError::Failed("the container does not answer".to_owned())))
}

/// Where an exec starts: with the container's own directory and environment by default.
#[derive(Default)]
pub(super) struct Place<'command> {
    pub(super) directory: Option<String>,
    pub(super) environment: Cow<'command, BTreeMap<String, String>>,
}

/// Starts an exec, after starting the container if it was stopped (by a command that killed everything it could, the kernel's
/// OOM killer, or an operator).
pub(super) async fn open(shared: &Arc<Shared>, line: &[&str], place: Place<'_>) -> Result<Exec, SandboxError> {
    let environment: Vec<String> = place.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let options = || CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(line.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>()),
        working_dir: place.directory.clone(),
        env: (!environment.is_empty()).then(|| environment.clone()),
        ..Default::default()
    };
    let created = match shared.docker.create_exec(&shared.container, options()).await {
        Err(error) if status(&error) == Some(409) => {
            let _one_at_a_time = shared.restarting.lock().await;
            let started = shared.docker.start_container(&shared.container, None::<StartContainerOptions>);
            within("start container", started).await?;
            within("create exec", shared.docker.create_exec(&shared.container, options())).await?
        }
        Err(error) if status(&error) == Some(404) => {
            return Err(SandboxError::Failed("the container was removed; start the sandbox again".to_owned()));
        }
        created => created.map_err(|error| failed("create exec", &error))?,
    };
    let started = within("start exec", shared.docker.start_exec(&created.id, None::<StartExecOptions>)).await?;
    match started {
        StartExecResults::Attached { output, input } => Ok(Exec { id: created.id, output, input }),
        StartExecResults::Detached => Err(SandboxError::Failed("the daemon did not attach the exec".to_owned())),
    }
}
