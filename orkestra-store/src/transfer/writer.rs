//! Writes the lines of an export, counts and hashes them. After a failed write there is no last line.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use orkestra_core::model::RunId;

use super::error::TransferError;
use super::line::{
    CONTENT_BYTES_MAX, Content, FORMAT, FORMAT_VERSION, Head, LINE_BYTES_MAX, Line, PART_BYTES, Sums, json,
};
use super::report::Counts;

pub(super) struct Lines<W> {
    out: W,
    hash: Sha256,
    line: Vec<u8>,
    pub(super) counts: Counts,
}

impl<W: Write> Lines<W> {
    /// Writes the first line.
    pub(super) fn begin(out: W) -> Result<Self, TransferError> {
        let mut lines = Self { out, hash: Sha256::new(), line: Vec::new(), counts: Counts::default() };
        lines.put(&Head { format: FORMAT.into(), version: FORMAT_VERSION })?;
        Ok(lines)
    }

    /// Writes the line that `make` builds for these bytes, and the parts that follow it.
    pub(super) fn add(
        &mut self,
        bytes: &[u8],
        make: impl for<'a> FnOnce(Content<'a>) -> Line<'a>,
    ) -> Result<(), TransferError> {
        let length = bytes.len() as u64;
        if length > CONTENT_BYTES_MAX {
            let what = format!("cannot export an item of {length} bytes: at most {CONTENT_BYTES_MAX} are allowed");
            return Err(TransferError::TooLarge(what));
        }
        let raw = json(bytes);
        let line = make(raw.map_or(Content::Bytes(length), Content::Json));
        let counter = match &line {
            Line::Run { .. } => Some(&mut self.counts.runs),
            Line::Blob { .. } => Some(&mut self.counts.blobs),
            Line::Commit { .. } => Some(&mut self.counts.commits),
            Line::Letter { .. } => Some(&mut self.counts.letters),
            Line::Value { .. } => Some(&mut self.counts.values),
            Line::Skipped(_) | Line::Part(_) | Line::End(_) => None,
        };
        counter.into_iter().for_each(|count| *count += 1);
        self.put(&line)?;
        if raw.is_none() {
            for part in bytes.chunks(PART_BYTES) {
                self.put(&Line::Part(STANDARD.encode(part)))?;
            }
        }
        Ok(())
    }

    /// Writes that a run was left out.
    pub(super) fn skipped(&mut self, run: &RunId) -> Result<(), TransferError> {
        self.counts.skipped += 1;
        self.put(&Line::Skipped(run.clone()))
    }

    /// Writes the last line.
    pub(super) fn end(mut self) -> Result<Counts, TransferError> {
        let Counts { runs, commits, letters, blobs, values, skipped } = self.counts;
        let sha256 = hex(&self.hash.finalize_reset());
        self.put(&Line::End(Sums { runs, commits, letters, blobs, values, skipped, sha256 }))?;
        self.out.flush().map_err(TransferError::Write)?;
        Ok(self.counts)
    }

    fn put(&mut self, line: &impl Serialize) -> Result<(), TransferError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(|error| TransferError::Write(error.into()))?;
        self.line.push(b'\n');
        if self.line.len() > LINE_BYTES_MAX {
            let what = format!("cannot export an item: its key is too long for a line of {LINE_BYTES_MAX} bytes");
            return Err(TransferError::TooLarge(what));
        }
        self.hash.update(&self.line);
        self.out.write_all(&self.line).map_err(TransferError::Write)
    }
}

/// A hash in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
