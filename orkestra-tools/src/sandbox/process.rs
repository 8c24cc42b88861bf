//! Processes that an agent starts and leaves running, such as a dev server: the same commands as [`Sandbox::execute`] runs, on a
//! task each, until they end, are stopped, or their sandbox is closed, dropped or dead.
//!
//! [`Sandbox::execute`]: super::Sandbox::execute

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Command, CommandResult, EXIT_TIMED_OUT, SandboxError};
use crate::limits::{
    MACHINERY_TIMEOUT, PROCESS_ID_BYTES_MAX, PROCESS_SETTLE, PROCESS_TAIL_BYTES, PROCESSES_KEPT_MAX, PROCESSES_MAX,
};
use crate::scope::{Happening, Observer};
use crate::secrets::Secrets;

/// Exit code of a process that was stopped: killed by signal 9.
const EXIT_STOPPED: i32 = 128 + 9;

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessStart {
    /// Whose it is: one agent neither sees nor stops the processes of another. Limits are per owner.
    pub owner: String,
    /// The command line for `sh -c`.
    pub line: String,
    /// The directory to run it in, relative to the workspace; the workspace itself when `None`.
    pub cwd: Option<String>,
    /// Its id, unique among the running processes of its owner; one is made when `None`.
    pub name: Option<String>,
    /// A file on the host, outside the workspace, that receives the whole output (truncated first); `None` for no file.
    pub whole: Option<PathBuf>,
    /// What is masked in its output.
    pub secrets: Secrets,
}

impl ProcessStart {
    /// A process in the workspace, without a name.
    #[must_use]
    pub fn new(owner: impl Into<String>, line: impl Into<String>) -> Self {
        let (owner, line) = (owner.into(), line.into());
        Self { owner, line, cwd: None, name: None, whole: None, secrets: Secrets::default() }
    }

    /// Sets the directory, relative to the workspace.
    #[must_use]
    pub fn with_cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Sets its id.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Writes the whole output (up to [`crate::limits::OUTPUT_WHOLE_BYTES_MAX`] bytes) to this file on the host.
    #[must_use]
    pub fn with_whole(mut self, path: impl Into<PathBuf>) -> Self {
        self.whole = Some(path.into());
        self
    }

    /// Masks these secrets in its output.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// The command to run; its timeout does not apply.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.line.clone());
        command.cwd = self.cwd.clone();
        command.whole = self.whole.clone();
        command.secrets = self.secrets.clone();
        command
    }
}

/// What is known of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessState {
    /// The id to read and stop it by.
    pub id: String,
    /// Its command line.
    pub line: String,
    /// Whether it runs.
    pub running: bool,
    /// Its exit code, once it has ended: 128 + n when killed by signal n. `None` also when it was lost.
    pub exit_code: Option<i32>,
    /// Why it was lost, if it was.
    pub lost: Option<String>,
    /// The end of its output so far, both streams in the order of arrival.
    pub output: String,
    /// Bytes of output before that.
    pub left_out: u64,
    /// The file with the whole output, complete once the process has ended.
    pub whole: Option<PathBuf>,
    /// How long it has run, milliseconds.
    pub duration_ms: u64,
}

/// When a command is killed that does not end by itself.
pub(super) enum Until {
    Timeout(Duration),
    Stopped(Arc<Notify>),
}

/// How a command came to its end.
pub(super) enum Ended<T> {
    ByItself(T),
    Killed { exit_code: i32, timed_out: bool },
}

impl Until {
    pub(super) fn timeout(time: Duration) -> Self {
        Self::Timeout(time)
    }

    pub(super) async fn race<T>(self, command: impl Future<Output = T> + Send) -> Ended<T> {
        let (killed, exit_code, timed_out) = match self {
            Self::Timeout(time) => {
                return match tokio::time::timeout(time, command).await {
                    Ok(ended) => Ended::ByItself(ended),
                    Err(_) => Ended::Killed { exit_code: EXIT_TIMED_OUT, timed_out: true },
                };
            }
            Self::Stopped(stop) => (stop, EXIT_STOPPED, false),
        };
        tokio::select! {
            biased;
            ended = command => Ended::ByItself(ended),
            () = killed.notified() => Ended::Killed { exit_code, timed_out },
        }
    }
}

type Outcome = Result<CommandResult, Arc<SandboxError>>;

/// The processes of one sandbox. Dropping it stops them, in the background.
#[derive(Debug, Default)]
pub(super) struct Processes {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    started: u64,
    by_id: BTreeMap<(String, String), Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    start: ProcessStart,
    since: Instant,
    tail: Arc<Tail>,
    stop: Arc<Notify>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Processes {
    /// Starts a process with `run`, which gets an observer of its output and when to stop; returns its state once it has ended
    /// or [`PROCESS_SETTLE`] has passed: most failures, such as a port in use, show by then.
    pub(super) async fn start<F>(
        &self,
        start: ProcessStart,
        run: impl FnOnce(Arc<dyn Observer>, Until) -> F,
    ) -> Result<ProcessState, SandboxError>
    where
        F: Future<Output = Result<CommandResult, SandboxError>> + Send + 'static,
    {
        let (sender, outcome) = watch::channel(None);
        let (tail, stop) = (Arc::new(Tail::default()), Arc::new(Notify::new()));
        let (id, mut entry) = {
            let mut entries = self.lock();
            let id = entries.admit(&start)?;
            entries.started += 1;
            let (number, since) = (entries.started, Instant::now());
            let owner = start.owner.clone();
            let entry = Entry { number, start, since, tail: Arc::clone(&tail), stop: Arc::clone(&stop), outcome };
            entries.by_id.insert((owner, id.clone()), entry.clone());
            (id, entry)
        };
        let command = run(tail, Until::Stopped(stop));
        tokio::spawn(async move {
            let outcome = command.await.map_err(Arc::new);
            sender.send_replace(Some(outcome));
        });
        let _ = tokio::time::timeout(PROCESS_SETTLE, entry.outcome.wait_for(Option::is_some)).await;
        Ok(entry.state(id))
    }

    pub(super) fn read(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        Ok(self.find(owner, id)?.state(id.to_owned()))
    }

    /// Stops a process and returns its last state when nothing of it runs any more. One that has ended is only read.
    pub(super) async fn stop(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        let mut entry = self.find(owner, id)?;
        entry.end().await?;
        Ok(entry.state(id.to_owned()))
    }

    /// Stops all of them at once.
    pub(super) async fn stop_all(&self) {
        let all: Vec<Entry> = self.lock().by_id.values().cloned().collect();
        for entry in &all {
            entry.stop.notify_one();
        }
        for mut entry in all {
            if let Err(error) = entry.end().await {
                tracing::warn!(%error, "a process was not stopped in time");
            }
        }
    }

    fn find(&self, owner: &str, id: &str) -> Result<Entry, SandboxError> {
        let entries = self.lock();
        if let Some(entry) = entries.by_id.get(&(owner.to_owned(), id.to_owned())) {
            return Ok(entry.clone());
        }
        let known: Vec<&str> =
            entries.by_id.keys().filter(|(of, _)| of == owner).map(|(_, known)| known.as_str()).collect();
        let known = if known.is_empty() {
            "you have started none".to_owned()
        } else {
            format!("yours are: {}", known.join(", "))
        };
        let id: String = id.chars().take(PROCESS_ID_BYTES_MAX).flat_map(char::escape_debug).collect();
        Err(SandboxError::Process(format!(
            "there is no process `{id}`; {known}. Processes end when the program that runs you is restarted; start it again with start_process"
        )))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for entry in self.lock().by_id.values() {
            entry.stop.notify_one();
        }
    }
}

impl Entries {
    /// Checks name and limits, forgets the oldest ended processes, and returns the id.
    fn admit(&mut self, start: &ProcessStart) -> Result<String, SandboxError> {
        let refuse = |reason: String| Err(SandboxError::Process(format!("the process was not started: {reason}")));
        let of = |(owner, _): &(String, String)| *owner == start.owner;
        let running: Vec<&str> = self
            .by_id
            .iter()
            .filter(|(key, entry)| of(key) && entry.is_running())
            .map(|((_, id), _)| id.as_str())
            .collect();
        if running.len() >= PROCESSES_MAX {
            return refuse(format!(
                "{PROCESSES_MAX} are running already ({}); stop one with stop_process first",
                running.join(", ")
            ));
        }
        let id = match &start.name {
            None => format!("process-{}", self.started + 1),
            Some(name) if is_id(name) => name.clone(),
            Some(_) => {
                return refuse(format!(
                    "its name must be 1 to {PROCESS_ID_BYTES_MAX} letters, digits, `-`, `_` or `.`"
                ));
            }
        };
        if running.contains(&id.as_str()) {
            return refuse(format!(
                "`{id}` is running already; read it with read_process, or stop it with stop_process"
            ));
        }
        let mut ended: Vec<(u64, (String, String))> = self
            .by_id
            .iter()
            .filter(|(key, entry)| of(key) && !entry.is_running())
            .map(|(key, entry)| (entry.number, key.clone()))
            .collect();
        ended.sort();
        let surplus = (ended.len() + 1).saturating_sub(PROCESSES_KEPT_MAX);
        for (_, key) in ended.into_iter().take(surplus) {
            self.by_id.remove(&key);
        }
        Ok(id)
    }
}

impl Entry {
    fn is_running(&self) -> bool {
        // A task that is gone without an outcome was dropped together with its runtime.
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }

    async fn end(&mut self) -> Result<(), SandboxError> {
        self.stop.notify_one();
        match tokio::time::timeout(MACHINERY_TIMEOUT, self.outcome.wait_for(Option::is_some)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(SandboxError::Failed("a process did not end after it was killed".to_owned())),
        }
    }

    fn state(&self, id: String) -> ProcessState {
        let running = self.is_running();
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (output, left_out) = self.tail.text();
        let mut state = ProcessState {
            id,
            line: self.start.line.clone(),
            running,
            exit_code: None,
            lost: None,
            output,
            left_out,
            whole: self.start.whole.clone(),
            duration_ms: elapsed,
        };
        match &*self.outcome.borrow() {
            Some(Ok(result)) => {
                state.exit_code = Some(result.exit_code);
                state.duration_ms = result.duration_ms;
            }
            Some(Err(error)) => state.lost = Some(error.to_string()),
            None if running => {}
            None => state.lost = Some("its task has ended".to_owned()),
        }
        state
    }
}

fn is_id(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=PROCESS_ID_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// The end of a process's output.
#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<(VecDeque<u8>, u64)>);

impl Tail {
    pub(super) fn text(&self) -> (String, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = kept.1;
        (String::from_utf8_lossy(kept.0.make_contiguous()).into_owned(), left_out)
    }
}

impl Observer for Tail {
    fn observe(&self, happening: Happening) {
        let Happening::CommandOutput { line, .. } = happening else { return };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.extend(line.as_bytes());
        kept.0.push_back(b'\n');
        let surplus = kept.0.len().saturating_sub(PROCESS_TAIL_BYTES);
        kept.0.drain(..surplus);
        kept.1 += surplus as u64;
    }
}
