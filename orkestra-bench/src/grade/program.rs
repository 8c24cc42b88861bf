//! The solution in its sandbox: runs its commands, starts its servers, connects to their ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use orkestra_tools::{Command, Connection, ProcessStart, Sandbox, SandboxError, Unobserved};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::protocol::{Answer, Bytes};
use super::{GradeError, GradingPlace};
use crate::delivery::{self, Delivery, File};
use crate::limits::{CONNECTIONS_MAX, STDERR_BYTES_MAX, STDOUT_BYTES_MAX};

/// The file with the standard input of a command, in the workspace.
const INPUT: &str = ".orkestra-grading-input";
/// The variable with a command, so that no quoting is needed.
const COMMAND: &str = "GRADED_COMMAND";
/// The owner of the servers.
const OWNER: &str = "grading";
/// The pause between two looks at a port.
const PORT_PAUSE: Duration = Duration::from_millis(100);
/// What the machinery around a command may take, beside its own time.
const OVERHEAD: Duration = Duration::from_secs(10);
/// The exit code of `timeout(1)` when the command took too long, and when it had to be killed.
const TIMED_OUT: [i32; 2] = [124, 137];

/// The solution in its sandbox. Trouble of the solution is an [`Answer`] with an error; an `Err` is trouble of the sandbox.
pub(super) struct Program<'delivery> {
    sandbox: Box<dyn Sandbox>,
    copy: Workplace<'delivery>,
    /// Where the output of the last command is kept, outside of the sandbox.
    output: PathBuf,
    connections: BTreeMap<u64, Box<dyn Connection>>,
    opened: u64,
}

/// What a solution works on: a copy of a delivery in a directory of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workplace<'delivery> {
    pub(super) place: &'delivery GradingPlace,
    pub(super) delivery: &'delivery Delivery,
    pub(super) directory: &'delivery Path,
}

impl Workplace<'_> {
    /// Makes the copy anew, with these files besides, and a sandbox on it.
    async fn start(&self, files: &[File]) -> Result<Box<dyn Sandbox>, GradeError> {
        match std::fs::remove_dir_all(self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => std::fs::create_dir_all(self.directory)?,
        }
        self.delivery.write_copy(self.directory)?;
        files.iter().try_for_each(|file| delivery::write(self.directory, file))?;
        Ok(self.place.start(self.directory, "program").await?)
    }
}

impl<'delivery> Program<'delivery> {
    pub(super) async fn start(copy: Workplace<'delivery>, scratch: &Path) -> Result<Self, GradeError> {
        let sandbox = copy.start(&[]).await?;
        Ok(Self { sandbox, copy, output: scratch.join("output"), connections: BTreeMap::new(), opened: 0 })
    }

    /// Puts the solution into a new sandbox: of what it did before, only these files are left.
    pub(super) async fn renew(&mut self, keep: &[String]) -> Result<Answer, GradeError> {
        self.connections.clear();
        let kept = |path: &&String| Some(File::new(path.as_str(), self.sandbox.workspace().read(path).ok()?));
        let files: Vec<File> = keep.iter().filter_map(|path| kept(&path)).collect();
        self.sandbox.close().await?;
        self.sandbox = self.copy.start(&files).await?;
        Ok(Answer::default())
    }

    pub(super) async fn end(&mut self) -> Result<(), SandboxError> {
        self.sandbox.close().await
    }

    /// Runs a command. Its output goes to files of its own, so that nothing is cut in the middle and the two streams are told apart.
    pub(super) async fn run(&mut self, command: &str, input: &[u8], time: Duration) -> Result<Answer, SandboxError> {
        if !input.is_empty()
            && let Err(error) = self.sandbox.workspace().write(INPUT, input)
        {
            // The solution may have filled its disk.
            return Ok(ended(125, &format!("its input cannot be written: {error}")));
        }
        let input = if input.is_empty() { "/dev/null" } else { INPUT };
        let seconds = time.as_secs_f64();
        let line = format!(
            "d=$(mktemp -d) || exit 125\n\
             timeout -k 1 {seconds:.1} sh -c \"${COMMAND}\" <{input} >\"$d/1\" 2>\"$d/2\"; code=$?\n\
             head -c {STDOUT_BYTES_MAX} \"$d/1\" | base64 -w 0; echo\n\
             head -c {STDERR_BYTES_MAX} \"$d/2\" | base64 -w 0; echo\n\
             rm -rf \"$d\"\n\
             exit $code"
        );
        let command = Command::new(line)
            .with_environment(COMMAND, command)
            .with_timeout(time + OVERHEAD)
            .with_whole(&self.output);
        let started = Instant::now();
        let result = match self.sandbox.execute(command, &Unobserved).await {
            // IMPORTANT: a solution that kills all it can must not count as trouble of this machine.
            Err(SandboxError::Lost(text)) => return Ok(ended(137, &text)),
            Err(SandboxError::InvalidCommand(text)) => return Ok(ended(126, &text)),
            result => result?,
        };
        let took = started.elapsed();
        let output = std::fs::read(&self.output).unwrap_or_default();
        let mut lines =
            output.split(|byte| *byte == b'\n').map(|line| base64::engine::general_purpose::STANDARD.decode(line));
        // Nothing readable: the solution has killed what ran it.
        let mut next = || Bytes(lines.next().and_then(Result::ok).unwrap_or_default());
        Ok(Answer {
            exit_code: Some(result.exit_code),
            timed_out: Some(result.timed_out || (TIMED_OUT.contains(&result.exit_code) && took >= time)),
            stdout: Some(next()),
            stderr: Some(next()),
            ..Answer::default()
        })
    }

    /// Starts a server and waits until its port accepts connections.
    pub(super) async fn serve(&mut self, command: &str, port: u16, time: Duration) -> Result<Answer, SandboxError> {
        let started = match self.sandbox.start_process(ProcessStart::new(OWNER, command)).await {
            Ok(started) => started,
            Err(error @ (SandboxError::Process(_) | SandboxError::InvalidCommand(_))) => {
                return Ok(Answer::error(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let deadline = Instant::now() + time;
        loop {
            if self.sandbox.connect(port).await.is_ok() {
                return Ok(Answer { process: Some(started.id), ..Answer::default() });
            }
            let state = self.sandbox.read_process(OWNER, &started.id).await?;
            let is_late = Instant::now() >= deadline;
            if !state.running || is_late {
                let state = self.sandbox.stop_process(OWNER, &started.id).await?;
                let how = match state.exit_code {
                    Some(code) if !is_late => format!("it ended with exit code {code}"),
                    _ => format!("nothing listened within {} s", time.as_secs()),
                };
                return Ok(Answer::error(format!("{how}: {}", state.output)));
            }
            sleep(PORT_PAUSE).await;
        }
    }

    pub(super) async fn stop(&mut self, process: &str) -> Result<Answer, SandboxError> {
        answer_of(self.sandbox.stop_process(OWNER, process).await)
    }

    pub(super) async fn read_process(&mut self, process: &str) -> Result<Answer, SandboxError> {
        answer_of(self.sandbox.read_process(OWNER, process).await)
    }

    pub(super) async fn open(&mut self, port: u16) -> Result<Answer, SandboxError> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return Ok(Answer::error(format!("{CONNECTIONS_MAX} connections are open; close some")));
        }
        match self.sandbox.connect(port).await {
            Ok(connection) => {
                self.opened += 1;
                self.connections.insert(self.opened, connection);
                Ok(Answer { connection: Some(self.opened), ..Answer::default() })
            }
            Err(SandboxError::Process(text)) => Ok(Answer::error(text)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn send(&mut self, connection: u64, bytes: &[u8]) -> Answer {
        let Some(stream) = self.connections.get_mut(&connection) else { return Answer::error("it is closed") };
        let sent = timeout(OVERHEAD, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Answer::default(),
            Ok(Err(error)) => Answer::error(error.to_string()),
            Err(_) => Answer::error("the solution does not read what it is sent"),
        }
    }

    pub(super) async fn receive(&mut self, connection: u64, time: Duration) -> Answer {
        let Some(stream) = self.connections.get_mut(&connection) else { return Answer::error("it is closed") };
        let mut buffer = vec![0; 64 * 1024];
        match timeout(time, stream.read(&mut buffer)).await {
            Ok(Ok(size)) => {
                buffer.truncate(size);
                Answer { bytes: Some(Bytes(buffer)), ..Answer::default() }
            }
            // A connection that was reset has ended.
            Ok(Err(_)) => Answer { bytes: Some(Bytes::default()), ..Answer::default() },
            Err(_) => Answer { timed_out: Some(true), ..Answer::default() },
        }
    }

    pub(super) fn close(&mut self, connection: u64) -> Answer {
        self.connections.remove(&connection);
        Answer::default()
    }

    pub(super) fn files(&self) -> Answer {
        match Delivery::read(self.sandbox.workspace().path()) {
            Ok(delivery) => {
                let paths = delivery.files().map(|file| file.path.clone()).filter(|path| path != INPUT);
                Answer { files: Some(paths.collect()), ..Answer::default() }
            }
            Err(error) => Answer::error(error.to_string()),
        }
    }

    pub(super) fn read(&self, path: &str) -> Answer {
        match self.sandbox.workspace().read(path) {
            Ok(content) => Answer { bytes: Some(Bytes(content)), ..Answer::default() },
            Err(error) => Answer::error(error.to_string()),
        }
    }

    pub(super) fn write(&self, path: &str, content: &[u8]) -> Answer {
        match self.sandbox.workspace().write(path, content) {
            Ok(_) => Answer::default(),
            Err(error) => Answer::error(error.to_string()),
        }
    }
}

/// The end of a command of which nothing else is known.
fn ended(exit_code: i32, why: &str) -> Answer {
    Answer {
        exit_code: Some(exit_code),
        timed_out: Some(false),
        stdout: Some(Bytes::default()),
        stderr: Some(Bytes(why.as_bytes().to_vec())),
        ..Answer::default()
    }
}

fn answer_of(state: Result<orkestra_tools::ProcessState, SandboxError>) -> Result<Answer, SandboxError> {
    match state {
        Ok(state) => Ok(Answer { output: Some(state.output), ..Answer::default() }),
        Err(SandboxError::Process(text)) => Ok(Answer { output: Some(text), ..Answer::default() }),
        Err(error) => Err(error),
    }
}
