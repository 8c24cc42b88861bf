//! A command whose standard input and output are in the hands of the caller: a server that speaks a protocol over them, or a relay
//! to a port in the sandbox. It runs until it ends, its handle is dropped, or its sandbox is closed, dropped or dead.
//!
//! ```text
//! caller <-> PipedCommand <-> duplex <-> task of the sandbox <-> the command's stdin and stdout; its stderr -> a tail
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};

use super::SandboxError;
use super::process::{Tail, Until};
use crate::limits::{MACHINERY_TIMEOUT, PIPE_BUFFER_BYTES, PIPES_MAX};
use crate::scope::{Happening, Observer as _};
use crate::secrets::Secrets;

/// A running command: reading from it reads the command's standard output, writing to it writes to its standard input. Dropping
/// it kills the command with everything that it started; so does shutting down the input, after
/// [`PIPE_GRACE`](crate::limits::PIPE_GRACE).
///
/// Its output is handed over as it is: no secret is masked in it, and it is not capped.
#[derive(Debug)]
pub struct PipedCommand {
    stream: DuplexStream,
    tail: Arc<Tail>,
    stop: Arc<Notify>,
    outcome: watch::Receiver<Option<Outcome>>,
}

type Outcome = Result<i32, Arc<SandboxError>>;

impl PipedCommand {
    /// The end of what the command printed to its standard error so far, at most
    /// [`PROCESS_TAIL_BYTES`](crate::limits::PROCESS_TAIL_BYTES).
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        self.tail.text().0
    }

    /// Its exit code, once it has ended: 128 + n when killed by signal n. `None` while it runs, and when it was lost.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.outcome.borrow().as_ref().and_then(|outcome| outcome.as_ref().ok().copied())
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }

    /// Kills the command and returns when nothing of it runs any more.
    ///
    /// # Errors
    /// [`SandboxError::Failed`] when it did not end; [`SandboxError::Lost`] when its end could not be observed.
    pub async fn stop(mut self) -> Result<(), SandboxError> {
        self.stop.notify_one();
        match tokio::time::timeout(MACHINERY_TIMEOUT, self.outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => match &*outcome {
                Some(Err(error)) => Err(SandboxError::Lost(error.to_string())),
                _ => Ok(()),
            },
            Ok(Err(_)) => Err(SandboxError::Lost("its task has ended".to_owned())),
            Err(_) => Err(SandboxError::Failed("a command did not end after it was killed".to_owned())),
        }
    }
}

impl Drop for PipedCommand {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl AsyncRead for PipedCommand {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PipedCommand {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The sandbox's side of a [`PipedCommand`].
pub(super) struct PipeEnds {
    /// What the caller wrote.
    pub(super) input: ReadHalf<DuplexStream>,
    /// What the caller will read.
    pub(super) output: WriteHalf<DuplexStream>,
    pub(super) stderr: Stderr,
}

/// Keeps the end of the standard error.
pub(super) struct Stderr {
    tail: Arc<Tail>,
    secrets: Secrets,
    partial: Vec<u8>,
}

impl Stderr {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            // A line that never ends must not fill the memory.
            if self.partial.len() >= PIPE_BUFFER_BYTES {
                self.finish();
            }
            return;
        };
        let rest = self.partial.split_off(end + 1);
        self.partial.pop();
        self.finish();
        self.partial = rest;
    }

    pub(super) fn finish(&mut self) {
        if !self.partial.is_empty() {
            let line = self.secrets.masked(String::from_utf8_lossy(&self.partial).into_owned());
            self.partial.clear();
            self.tail.observe(Happening::CommandOutput { line, stderr: true });
        }
    }
}

/// The piped commands of one sandbox. Dropping it stops them, in the background.
#[derive(Debug, Default)]
pub(super) struct Pipes(Mutex<Vec<Weak<Notify>>>);

impl Pipes {
    /// Starts a command with `run`, which gets the sandbox's side of the pipe and when to stop.
    pub(super) fn start<F>(
        &self,
        secrets: &Secrets,
        run: impl FnOnce(PipeEnds, Until) -> F,
    ) -> Result<PipedCommand, SandboxError>
    where
        F: Future<Output = Result<i32, SandboxError>> + Send + 'static,
    {
        let stop = Arc::new(Notify::new());
        {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|one| one.strong_count() > 0);
            if all.len() >= PIPES_MAX {
                return Err(SandboxError::Process(format!(
                    "the command was not started: {PIPES_MAX} piped commands run already"
                )));
            }
            all.push(Arc::downgrade(&stop));
        }
        let (near, far) = tokio::io::duplex(PIPE_BUFFER_BYTES);
        let (input, output) = tokio::io::split(far);
        let tail = Arc::new(Tail::default());
        let (sender, outcome) = watch::channel(None);
        let stderr = Stderr { tail: Arc::clone(&tail), secrets: secrets.clone(), partial: Vec::new() };
        let command = run(PipeEnds { input, output, stderr }, Until::Stopped(Arc::clone(&stop)));
        tokio::spawn(async move {
            let outcome = command.await.map_err(Arc::new);
            sender.send_replace(Some(outcome));
        });
        Ok(PipedCommand { stream: near, tail, stop, outcome })
    }

    /// Stops all of them, without waiting for their ends.
    pub(super) fn stop_all(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for stop in all.iter().filter_map(Weak::upgrade) {
            stop.notify_one();
        }
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.stop_all();
    }
}
