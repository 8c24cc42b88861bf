//! Reads the lines of an export. Each error names its line. One line and the content it announces are held in memory.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use orkestra_core::journal::Written;
use orkestra_core::model::RunId;
use orkestra_core::store::{RunRecord, Versioned};

use super::error::TransferError;
use super::line::{CONTENT_BYTES_MAX, Content, FORMAT, FORMAT_VERSION, Head, LINE_BYTES_MAX, Line, Sums};
use super::report::Counts;
use super::writer::hex;

/// The items of an export, in the order of the format: a run precedes what belongs to it, and has a commit.
#[derive(Debug)]
pub(super) enum Item {
    Run(Box<RunRecord>),
    Blob(String, Vec<u8>),
    Commit(Written),
    Letter(Vec<u8>),
    Value(String, Versioned),
    Skipped,
    /// Everything was read and the totals match. The hash identifies the whole export.
    End(String),
}

/// The position in the order of the format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Begin,
    Blobs,
    Commits,
    Letters,
    Values,
}

pub(super) struct Reader<R> {
    input: BufReader<R>,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
    section: Section,
    run: Option<RunId>,
    pub(super) counts: Counts,
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    pub(super) fn begin(input: R) -> Result<Self, TransferError> {
        let (section, counts) = (Section::Begin, Counts::default());
        let input = BufReader::new(input);
        let mut reader = Self { input, hash: Sha256::new(), line: Vec::new(), number: 0, section, run: None, counts };
        reader.next_line()?;
        let head: Option<Head> = serde_json::from_slice(&reader.line).ok();
        match head.filter(|head| head.format == FORMAT) {
            None => Err(reader.line_error("not an export of a store")),
            Some(head) if head.version > FORMAT_VERSION => Err(TransferError::Newer { found: head.version }),
            Some(Head { version: 0, .. }) => Err(reader.line_error("invalid format version 0")),
            Some(_) => Ok(reader),
        }
    }

    /// The number of the line read last.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn line_error(&self, what: impl Into<String>) -> TransferError {
        TransferError::Line { line: self.number, what: what.into() }
    }

    /// Reads the next item. Nothing follows the end.
    pub(super) fn next(&mut self) -> Result<Item, TransferError> {
        self.next_line()?;
        // Put back below, because the parsed line borrows from it.
        let text = std::mem::take(&mut self.line);
        let item = match serde_json::from_slice(&text) {
            Ok(line) => self.item(line, &text),
            Err(error) => Err(self.line_error(format!("invalid line: {error}"))),
        };
        if self.line.is_empty() {
            self.line = text;
        }
        item
    }

    fn item(&mut self, line: Line<'_>, text: &[u8]) -> Result<Item, TransferError> {
        self.check_order(&line)?;
        if let Line::End(sums) = line {
            return self.end(sums);
        }
        self.hash.update(text);
        match line {
            Line::Run { id, record } => {
                let bytes = self.bytes(record)?;
                let record: RunRecord = serde_json::from_slice(&bytes)
                    .map_err(|error| self.line_error(format!("cannot decode the record of run `{id}`: {error}")))?;
                if record.id != id {
                    return Err(self.line_error(format!("run `{id}` has the record of `{}`", record.id)));
                }
                self.counts.runs += 1;
                self.run = Some(id);
                Ok(Item::Run(Box::new(record)))
            }
            Line::Blob { key, content } => {
                self.counts.blobs += 1;
                Ok(Item::Blob(key, self.bytes(content)?))
            }
            Line::Commit { first, last, epoch, body } => {
                self.counts.commits += 1;
                let body = Arc::from(self.bytes(body)?);
                let run = self.run.clone().ok_or_else(|| self.line_error("a commit without a run"))?;
                Ok(Item::Commit(Written { run, first, last, epoch, body }))
            }
            Line::Letter { body } => {
                self.counts.letters += 1;
                Ok(Item::Letter(self.bytes(body)?))
            }
            Line::Value { version: 0, .. } => Err(self.line_error("invalid version 0 of a value: versions begin at 1")),
            Line::Value { key, version, content } => {
                self.counts.values += 1;
                Ok(Item::Value(key, Versioned { version, bytes: self.bytes(content)? }))
            }
            Line::Skipped(_) => {
                self.counts.skipped += 1;
                Ok(Item::Skipped)
            }
            Line::Part(_) | Line::End(_) => Err(self.line_error("a part that no line announced")),
        }
    }

    /// Checks that the line may follow the previous one.
    fn check_order(&mut self, line: &Line<'_>) -> Result<(), TransferError> {
        use Section::{Begin, Blobs, Commits, Letters, Values};
        let (after, section): (&[Section], _) = match line {
            Line::Run { .. } => (&[Begin, Commits, Letters], Blobs),
            Line::Blob { .. } => (&[Blobs], Blobs),
            Line::Commit { .. } => (&[Blobs, Commits], Commits),
            Line::Letter { .. } => (&[Commits, Letters], Letters),
            Line::Value { .. } | Line::Skipped(_) | Line::End(_) => (&[Begin, Commits, Letters, Values], Values),
            Line::Part(_) => (&[], Begin),
        };
        if !after.contains(&self.section) {
            return Err(self.line_error("this kind of line must not follow the previous one"));
        }
        self.section = section;
        Ok(())
    }

    fn bytes(&mut self, content: Content<'_>) -> Result<Vec<u8>, TransferError> {
        let length = match content {
            Content::Json(raw) => return Ok(raw.get().into()),
            Content::Bytes(length) if length > CONTENT_BYTES_MAX => {
                return Err(
                    self.line_error(format!("{length} bytes announced, more than the {CONTENT_BYTES_MAX} allowed"))
                );
            }
            Content::Bytes(length) => length,
        };
        // NOTE: grows with the data read, not with the announced length.
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            self.next_line()?;
            let Ok(Line::Part(text)) = serde_json::from_slice(&self.line) else {
                return Err(self.line_error("a part of the announced bytes is missing"));
            };
            let part = STANDARD.decode(text).map_err(|error| self.line_error(format!("invalid base64: {error}")))?;
            if part.is_empty() || bytes.len() as u64 + part.len() as u64 > length {
                return Err(self.line_error("the part does not have the announced length"));
            }
            bytes.extend_from_slice(&part);
            self.hash.update(&self.line);
        }
        Ok(bytes)
    }

    /// Compares the totals with those in the last line.
    fn end(&mut self, written: Sums) -> Result<Item, TransferError> {
        let Counts { runs, commits, letters, blobs, values, skipped } = self.counts;
        let sha256 = hex(&self.hash.finalize_reset());
        let read = Sums { runs, commits, letters, blobs, values, skipped, sha256 };
        if read != written {
            return Err(self.line_error("the totals do not match: an earlier line was changed, added or removed"));
        }
        let mut after = [0];
        if self.input.read(&mut after).map_err(TransferError::Read)? > 0 {
            self.number += 1;
            return Err(self.line_error("data after the last line"));
        }
        Ok(Item::End(written.sha256))
    }

    /// Reads a line, including its end.
    fn next_line(&mut self) -> Result<(), TransferError> {
        self.line.clear();
        self.number += 1;
        let most = LINE_BYTES_MAX as u64;
        let length = (&mut self.input).take(most).read_until(b'\n', &mut self.line).map_err(TransferError::Read)?;
        if self.number == 1 {
            self.hash.update(&self.line);
        }
        match self.line.last() {
            Some(b'\n') => Ok(()),
            _ if length == LINE_BYTES_MAX => {
                Err(self.line_error(format!("the line has more than {LINE_BYTES_MAX} bytes")))
            }
            _ => Err(self.line_error("the export is incomplete: its end is missing")),
        }
    }
}
