//! Connections of the host to servers in a sandbox's own network, all of them over one process in the sandbox (`relay.py`): a
//! process for each connection takes a tenth of a second in a container, and a page makes hundreds.
//!
//! ```text
//! RelayStream -> task of the stream -> frames -> writer task -> stdin  of relay.py -> loopback of the sandbox
//!             <-       channel      <- frames <- reader task <- stdout of relay.py <-
//! ```
//!
//! The process can be under an agent's control, so everything from it is bounded: frames, bytes on the way (credit), streams.

mod frame;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::frame::Frame;
use super::{Command, Connection, Sandbox, SandboxError};
use crate::web::one_line;

/// The program, for `python3 -c`.
const PROGRAM: &str = include_str!("relay.py");

/// Bytes of one stream that may be on the way in one direction; `WINDOW` in the program.
const WINDOW: usize = 256 * 1024;
/// Bytes of one frame of ours.
const PIECE: usize = 16 * 1024;
/// Frames of one stream that wait for their reader. The window has sixteen full ones; smaller ones are rare.
const FRAMES_MAX: usize = 1024;

/// The relay of a sandbox, started when it is first needed and again when it has ended.
#[derive(Debug, Default)]
pub(super) struct Relays {
    running: AsyncMutex<Option<Arc<Relay>>>,
}

impl Relays {
    /// Connects to a port of the sandbox's loopback.
    pub(super) async fn connect(&self, sandbox: &dyn Sandbox, port: u16) -> Result<Box<dyn Connection>, SandboxError> {
        let relay = self.relay(sandbox).await?;
        match relay.open(port).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(_) if !relay.is_running() => Err(SandboxError::Process(format!(
                "cannot connect to port {port} in the sandbox: the relay there has ended, which needs python3; try again"
            ))),
            Err(error) => {
                let reason = one_line(&error.to_string(), 200);
                Err(SandboxError::Process(format!(
                    "cannot connect to port {port} in the sandbox: {reason}; start a server with start_process, and read_process \
                     says whether it runs"
                )))
            }
        }
    }

    async fn relay(&self, sandbox: &dyn Sandbox) -> Result<Arc<Relay>, SandboxError> {
        let mut running = self.running.lock().await;
        if let Some(relay) = running.as_ref().filter(|relay| relay.is_running()) {
            return Ok(Arc::clone(relay));
        }
        // IMPORTANT: isolated (-I), so that it imports nothing from the workspace.
        let process = sandbox.pipe(Command::new(format!("exec python3 -I -S -c '{PROGRAM}'"))).await?;
        Ok(Arc::clone(running.insert(Arc::new(Relay::over(process)))))
    }
}

/// A running relay. Dropping it ends the process and every connection.
#[derive(Debug)]
pub(super) struct Relay {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    to_relay: mpsc::Sender<Vec<u8>>,
    /// `None` once the process has ended.
    streams: Mutex<Option<HashMap<u32, Entry>>>,
    next: AtomicU32,
}

/// What the reader task knows of a stream.
#[derive(Debug)]
struct Entry {
    opened: Option<oneshot::Sender<Result<(), String>>>,
    /// Closed after the last byte.
    data: Option<mpsc::Sender<Vec<u8>>>,
    credit: Arc<Semaphore>,
}

impl Relay {
    /// A relay whose process is at the other end of this: what is written is its input, what is read its output.
    pub(super) fn over(process: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (mut output, mut input) = tokio::io::split(process);
        let (to_relay, mut frames) = mpsc::channel::<Vec<u8>>(64);
        let shared = Arc::new(Shared { to_relay, streams: Mutex::new(Some(HashMap::new())), next: AtomicU32::new(1) });
        let writing = tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if input.write_all(&frame).await.is_err() || input.flush().await.is_err() {
                    return;
                }
            }
        });
        let of_reader = Arc::clone(&shared);
        let reading = tokio::spawn(async move {
            while let Ok((stream, frame)) = Frame::read(&mut output).await {
                of_reader.arrived(stream, frame);
            }
            // Ends every stream, and every open that waits.
            of_reader.streams().take();
        });
        Self { shared, tasks: [writing, reading] }
    }

    /// Whether its process still answers.
    pub(super) fn is_running(&self) -> bool {
        !self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Connects to a port of the sandbox's loopback.
    pub(super) async fn open(&self, port: u16) -> io::Result<DuplexStream> {
        let stream = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (opened, answer) = oneshot::channel();
        let (data, arrived) = mpsc::channel(FRAMES_MAX);
        let credit = Arc::new(Semaphore::new(WINDOW));
        let entry = Entry { opened: Some(opened), data: Some(data), credit: Arc::clone(&credit) };
        let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.shared.streams().as_mut().ok_or_else(ended)?.insert(stream, entry);
        // Also when this future is dropped.
        let end = End { shared: Arc::clone(&self.shared), stream };
        self.shared.send(stream, &Frame::Open(port)).await?;
        answer.await.map_err(|_| ended())?.map_err(io::Error::other)?;
        let (ours, theirs) = tokio::io::duplex(PIECE * 2);
        tokio::spawn(async move {
            let (reads, writes) = tokio::io::split(ours);
            let _ = tokio::try_join!(end.up(reads, &credit), end.down(writes, arrived));
        });
        Ok(theirs)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Option<HashMap<u32, Entry>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, stream: u32, frame: &Frame) -> io::Result<()> {
        self.to_relay.send(frame.encode(stream)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Never waits: a stream that nobody reads must not hold up the others.
    fn arrived(&self, stream: u32, frame: Frame) {
        let mut streams = self.streams();
        let Some(streams) = streams.as_mut() else { return };
        let Some(entry) = streams.get_mut(&stream) else { return };
        let is_over = match frame {
            Frame::Opened => entry.opened.take().is_none_or(|opened| opened.send(Ok(())).is_err()),
            // More than the window: not our program.
            Frame::Data(bytes) => entry.data.as_ref().is_none_or(|data| data.try_send(bytes).is_err()),
            Frame::End => {
                entry.data = None;
                false
            }
            Frame::Credit(bytes) => {
                let room = WINDOW.saturating_sub(entry.credit.available_permits());
                entry.credit.add_permits(room.min(bytes as usize));
                false
            }
            Frame::Close(reason) => {
                if let Some(opened) = entry.opened.take() {
                    let _ = opened.send(Err(reason));
                }
                true
            }
            Frame::Open(_) => true,
        };
        if is_over && let Some(entry) = streams.remove(&stream) {
            entry.credit.close();
        }
    }
}

/// Closes its stream when it is dropped.
struct End {
    shared: Arc<Shared>,
    stream: u32,
}

impl End {
    async fn up(&self, mut from: ReadHalf<DuplexStream>, credit: &Semaphore) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return self.shared.send(self.stream, &Frame::End).await;
            }
            let wanted = u32::try_from(count).unwrap_or(u32::MAX);
            credit.acquire_many(wanted).await.map_err(|_| io::ErrorKind::BrokenPipe)?.forget();
            self.shared.send(self.stream, &Frame::Data(buffer[..count].to_vec())).await?;
        }
    }

    async fn down(&self, mut to: WriteHalf<DuplexStream>, mut arrived: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
        while let Some(bytes) = arrived.recv().await {
            to.write_all(&bytes).await?;
            let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.shared.send(self.stream, &Frame::Credit(count)).await?;
        }
        to.shutdown().await
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let entry = self.shared.streams().as_mut().and_then(|streams| streams.remove(&self.stream));
        if let Some(entry) = entry {
            entry.credit.close();
            // The program forgets a stream by itself once both sides have ended; a full queue ends it later, with the relay.
            let _ = self.shared.to_relay.try_send(Frame::Close(String::new()).encode(self.stream));
        }
    }
}

#[cfg(test)]
mod tests;
