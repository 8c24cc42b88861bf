//! A file that is passed on while it arrives, and kept when it was complete and has the digest that the index named.

use std::io::{self, Write as _};
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use hyper::body::Bytes;
use tempfile::NamedTempFile;

use super::cache::{Cache, Description};
use super::digest::{Check, Digest};
use crate::limits::EGRESS_FILE_BYTES_MAX;

/// A file on its way from the registry to the client, and perhaps into the cache.
pub(super) struct Arriving {
    answer: reqwest::Response,
    check: Option<Check>,
    keep: Option<Keep>,
    bytes: u64,
    length: Option<u64>,
}

impl Arriving {
    pub(super) fn new(answer: reqwest::Response, digest: Option<Digest>, keep: Option<Keep>) -> Self {
        let length = answer.content_length();
        Self { answer, check: Some(Check::new(digest)), keep, bytes: 0, length }
    }

    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|piece| (piece, this))) })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let piece = self.answer.chunk().await.map_err(|_| io::Error::other("the registry's answer broke off"))?;
        let Some(piece) = piece else {
            self.finish().await?;
            return Ok(None);
        };
        self.bytes += piece.len() as u64;
        if self.bytes > EGRESS_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("the file is larger than {EGRESS_FILE_BYTES_MAX} bytes")));
        }
        if let Some(check) = &mut self.check {
            check.update(&piece);
        }
        if let Some(keep) = self.keep.take() {
            self.keep = keep.write(piece.clone()).await;
        }
        // IMPORTANT: the last piece is passed on only when all is well. The server asks for no more after a content of the stated
        // length, so the end would not be seen.
        if self.length == Some(self.bytes) {
            self.finish().await?;
        }
        Ok(Some(piece))
    }

    /// The client compares with the digest itself; here an error breaks the answer off, and nothing is kept.
    async fn finish(&mut self) -> io::Result<()> {
        if self.length.is_some_and(|length| length != self.bytes) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if self.check.take().is_some_and(|check| !check.holds()) {
            tracing::warn!(url = %self.answer.url(), "a file of a registry does not have the digest that its index names");
            return Err(io::Error::other("the file does not have the digest that the index names"));
        }
        if let Some(keep) = self.keep.take() {
            keep.commit(self.bytes).await;
        }
        Ok(())
    }
}

/// The copy for the cache. A failure to write it ends the copy and nothing else.
pub(super) struct Keep {
    cache: Arc<Cache>,
    key: String,
    file: NamedTempFile,
    description: Description,
}

impl Keep {
    pub(super) async fn begin(cache: Arc<Cache>, key: String, description: Description) -> Option<Self> {
        let begun =
            tokio::task::spawn_blocking(move || cache.begin().map(|file| Self { cache, key, file, description }));
        warn_of(begun.await)
    }

    async fn write(mut self, piece: Bytes) -> Option<Self> {
        let written = tokio::task::spawn_blocking(move || self.file.write_all(&piece).map(|()| self));
        warn_of(written.await)
    }

    async fn commit(mut self, bytes: u64) {
        self.description.bytes = bytes;
        let committed = tokio::task::spawn_blocking(move || self.cache.commit(&self.key, self.file, &self.description));
        warn_of(committed.await);
    }
}

/// Returns the value, or logs why there is none.
pub(super) fn warn_of<T>(done: Result<io::Result<T>, tokio::task::JoinError>) -> Option<T> {
    match done.map_err(io::Error::other).and_then(|done| done) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, "cannot write in the package cache; the package is served without it");
            None
        }
    }
}
