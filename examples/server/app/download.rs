//! `GET /runs/{run_id}/download`: the workspace as a ZIP, sent while it is packed.
//!
//! ```text
//! thread: archive::write -> Chunks -> channel of a few chunks -> response body
//! ```
//! A slow client slows the packing down; a client that stops reading ends it. If packing fails, the connection is aborted, so
//! that a client never mistakes an incomplete archive for a complete one.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::App;
use super::archive;
use super::error::ApiError;
use super::extract::OwnedRun;

const CHUNK_BYTES: usize = 64 * 1024;
/// How many chunks may be packed and not yet sent.
const CHUNKS_MAX: usize = 4;
/// How long a client may take to read a chunk.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The current files of a run, also while it is live; before its first file the archive is empty.
pub(crate) async fn download(State(app): State<Arc<App>>, owned: OwnedRun) -> Result<Response, ApiError> {
    let busy = || ApiError::too_many("too many downloads at the moment; try again later", Duration::from_secs(5));
    let turn = Arc::clone(&app.downloads).try_acquire_owned().map_err(|_| busy())?;
    let workspace = app.orkestra.workspace_path(&owned.record);
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut chunks = Chunks { sender: sender.clone(), runtime, chunk: Vec::with_capacity(CHUNK_BYTES) };
        if let Err(error) = archive::write(&workspace, &mut chunks) {
            tracing::warn!(%error, "a download was aborted");
            chunks.chunk.clear();
            // Fails only when the client has disconnected.
            drop(chunks.send(Err(error)));
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let disposition = format!("attachment; filename=\"{}.zip\"", owned.record.id);
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A writer that collects chunks and sends each, waiting while the channel is full.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    chunk: Vec<u8>,
}

impl Chunks {
    fn send(&self, chunk: io::Result<Bytes>) -> io::Result<()> {
        let sent = self.runtime.block_on(async { tokio::time::timeout(STALL_MAX, self.sender.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client has disconnected")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        self.send(Ok(chunk.into()))
    }
}
