//! Runs one command in the container with its input and output in the hands of the caller.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::MissedTickBehavior;

use super::super::pipe::PipeEnds;
use super::super::process::{Ended, Until};
use super::super::{Command, SandboxError};
use super::Shared;
use super::container::WORKSPACE;
use super::exec::{Exec, Leftovers, POLL, Place, SESSION_LINE_BYTES_MAX, exit_code, full, open};
use super::scripts::WRAPPER_PIPED;
use crate::limits::PIPE_GRACE;

/// Exit code of the wrapper when it did not start the command.
const NO_PIPE: i32 = 123;

/// Returns the exit code.
pub(super) async fn run(
    shared: &Arc<Shared>,
    command: &Command,
    cwd: &Path,
    until: Until,
    mut ends: PipeEnds,
) -> Result<i32, SandboxError> {
    let number = shared.commands.fetch_add(1, Ordering::Relaxed);
    let mark = format!("{}-{number}", shared.container.get(..12).unwrap_or(&shared.container));
    let directory = Path::new(WORKSPACE).join(cwd).to_string_lossy().into_owned();
    *shared.running.lock().await += 1;
    let mut leftovers = Leftovers::new(shared, number, &mark);
    let place = Place { directory: Some(directory), environment: Cow::Borrowed(&command.environment) };
    let grace = PIPE_GRACE.as_secs().to_string();
    let line = ["sh", "-c", WRAPPER_PIPED, "sh", &command.line, &mark, &grace];
    let mut exec = open(shared, &line, place).await?;
    let mut session = Session { number, ..Session::default() };
    let ended = until.race(pump(shared, &mut exec, &mut ends, &mut session), full(shared)).await;
    ends.stderr.finish();
    let code = match &ended {
        Ended::ByItself(Ok(())) => exit_code(shared, &exec.id).await,
        Ended::ByItself(Err(error)) => Err(SandboxError::Lost(error.to_string())),
        Ended::Killed { exit_code, .. } => Ok(*exit_code),
        Ended::Full(full) => Err(SandboxError::Process(full.note().trim().to_owned())),
    };
    let _ = exec.input.shutdown().await;
    leftovers.sweep().await?;
    match code {
        Ok(NO_PIPE) if !session.complete => {
            Err(SandboxError::Failed("cannot make a named pipe in /tmp of the container".to_owned()))
        }
        code => code,
    }
}

/// Passes bytes in both directions until the wrapper has exited. A caller that reads slowly slows the command down.
async fn pump(shared: &Shared, exec: &mut Exec, ends: &mut PipeEnds, session: &mut Session) -> Result<(), Error> {
    let Exec { id, output, input } = exec;
    let feed = async {
        // A command that closes its input may go on.
        if tokio::io::copy(&mut ends.input, input).await.is_ok() {
            let _ = input.shutdown().await;
        }
    };
    tokio::pin!(feed);
    let mut fed = false;
    let mut looks = tokio::time::interval(POLL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            piece = output.next() => match piece.transpose()? {
                Some(LogOutput::StdErr { message }) => ends.stderr.push(&message),
                Some(piece) => {
                    let bytes = session.strip(shared, piece.as_ref());
                    // When the caller no longer reads, its handle is gone, and the command is about to be stopped.
                    let _ = ends.output.write_all(bytes).await;
                }
                None => return Ok(()),
            },
            () = &mut feed, if !fed => fed = true,
            _ = looks.tick() => {
                if shared.docker.inspect_exec(id).await?.running == Some(false) {
                    return Ok(());
                }
            }
        }
    }
}

/// The ids of the command's session and of the wrapper: the first line of the output, which the wrapper prints before the command
/// starts.
#[derive(Default)]
struct Session {
    number: u64,
    line: Vec<u8>,
    complete: bool,
}

impl Session {
    /// What of these bytes is output of the command.
    fn strip<'bytes>(&mut self, shared: &Shared, bytes: &'bytes [u8]) -> &'bytes [u8] {
        if self.complete {
            return bytes;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        self.complete = end.is_some() || self.line.len() > SESSION_LINE_BYTES_MAX;
        if self.complete && self.line.len() <= SESSION_LINE_BYTES_MAX {
            shared.add_session(self.number, &self.line);
        }
        end.map_or(&[], |end| &bytes[end + 1..])
    }
}
