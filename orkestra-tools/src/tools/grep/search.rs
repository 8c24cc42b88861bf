//! Searches the files of a workspace in parallel and stops when it has enough.
//!
//! Files are taken in the order of the walk and results are sorted by it, so the same call gives the same answer, and reading on
//! from an offset works.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use grep_matcher::{LineTerminator, Matcher};
use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};

use crate::limits::{GREP_LINE_BYTES_MAX, READ_BYTES_MAX, SEARCH_BYTES_MAX};
use crate::workspace::{Walked, Workspace};

/// What is searched for, and how much is enough.
pub(super) struct Query {
    pub(super) matcher: RegexMatcher,
    /// Whether lines may end with a carriage return, as for the matcher.
    pub(super) crlf: bool,
    pub(super) context: usize,
    /// Lines that are kept; the search ends when it has them. 0 only counts.
    pub(super) lines_max: usize,
    /// Files with matches after which the search ends.
    pub(super) files_max: usize,
    /// Whether the first match of a file is enough.
    pub(super) first_only: bool,
}

/// A line of a file, cut around its match if it is long.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: String,
    pub(super) is_match: bool,
    /// Whether lines are missing between the line before and this one.
    pub(super) after_gap: bool,
}

/// One file in which something was found, or which could not be searched.
pub(super) struct Searched {
    pub(super) path: PathBuf,
    pub(super) count: usize,
    pub(super) lines: Vec<Line>,
    pub(super) skipped: Option<Skipped>,
}

/// Why a file was not searched to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skipped {
    Binary,
    Unreadable,
    LongLine,
}

/// Searches every file for which `is_wanted` holds. Returns what was found and whether the limit of bytes ended the search.
pub(super) fn search(
    workspace: &Workspace,
    walked: &Walked,
    query: &Query,
    is_wanted: impl Fn(&Path) -> bool + Sync,
) -> (Vec<Searched>, bool) {
    let (stop, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
    let (lines, files) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found = workspace.each_file(
        walked,
        &stop,
        is_wanted,
        || (searcher(query), query.matcher.clone()),
        |state, path, file| {
            let searched = one(state, query, path, file, &bytes)?;
            let lines = lines.fetch_add(searched.count, Ordering::Relaxed) + searched.count;
            let files =
                files.fetch_add(usize::from(searched.count > 0), Ordering::Relaxed) + usize::from(searched.count > 0);
            let is_enough = (query.lines_max > 0 && lines >= query.lines_max) || files >= query.files_max;
            if is_enough || bytes.load(Ordering::Relaxed) >= SEARCH_BYTES_MAX {
                stop.store(true, Ordering::Relaxed);
            }
            Some(searched)
        },
    );
    (found, bytes.into_inner() >= SEARCH_BYTES_MAX)
}

fn searcher(query: &Query) -> Searcher {
    let newline = if query.crlf { LineTerminator::crlf() } else { LineTerminator::byte(b'\n') };
    SearcherBuilder::new()
        .line_terminator(newline)
        .binary_detection(BinaryDetection::quit(0))
        .line_number(query.lines_max > 0)
        .before_context(query.context)
        .after_context(query.context)
        // A file without newlines must not fill the memory.
        .heap_limit(usize::try_from(READ_BYTES_MAX).ok())
        .build()
}

fn one(
    (searcher, matcher): &mut (Searcher, RegexMatcher),
    query: &Query,
    path: PathBuf,
    file: io::Result<File>,
    bytes: &AtomicU64,
) -> Option<Searched> {
    let mut hits =
        Hits { query, matcher, searched: Searched { path, count: 0, lines: Vec::new(), skipped: None }, gap: false };
    let done = file.and_then(|file| searcher.search_reader(&*matcher, Counted { file, bytes }, &mut hits));
    let mut searched = hits.searched;
    match done {
        Ok(()) => {}
        // It was removed after the walk.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.to_string().contains("allocation limit") => searched.skipped = Some(Skipped::LongLine),
        Err(_) => searched.skipped = Some(Skipped::Unreadable),
    }
    if searched.skipped.is_some() {
        (searched.count, searched.lines) = (0, Vec::new());
    }
    (searched.count > 0 || searched.skipped.is_some()).then_some(searched)
}

/// Counts what is read, over all files of a search.
struct Counted<'a> {
    file: File,
    bytes: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.load(Ordering::Relaxed) >= SEARCH_BYTES_MAX {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Hits<'a> {
    query: &'a Query,
    matcher: &'a RegexMatcher,
    searched: Searched,
    gap: bool,
}

impl Hits<'_> {
    fn keep(&mut self, number: Option<u64>, bytes: &[u8], is_match: bool) {
        let matched = if is_match { self.matcher.find(bytes).ok().flatten() } else { None };
        let text = shorten(bytes, matched.map_or(0, |matched| matched.start()));
        let after_gap = std::mem::take(&mut self.gap);
        self.searched.lines.push(Line { number: number.unwrap_or(0), text, is_match, after_gap });
    }
}

impl Sink for Hits<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.searched.count += 1;
        if self.searched.count <= self.query.lines_max {
            self.keep(found.line_number(), found.bytes(), true);
        }
        let is_enough = self.query.lines_max > 0 && self.searched.count >= self.query.lines_max;
        Ok(!(self.query.first_only || is_enough))
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        if self.query.lines_max > 0 {
            self.keep(context.line_number(), context.bytes(), false);
        }
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        self.gap = true;
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> io::Result<()> {
        if end.binary_byte_offset().is_some() {
            self.searched.skipped = Some(Skipped::Binary);
        }
        Ok(())
    }
}

/// A line without its newline, at most [`GREP_LINE_BYTES_MAX`] bytes of it, with the match.
fn shorten(bytes: &[u8], at: usize) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.len() <= GREP_LINE_BYTES_MAX {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let first = if at < GREP_LINE_BYTES_MAX / 2 { 0 } else { at - GREP_LINE_BYTES_MAX / 4 };
    let last = bytes.len().min(first + GREP_LINE_BYTES_MAX);
    let (before, after) = (if first > 0 { "…" } else { "" }, if last < bytes.len() { "…" } else { "" });
    format!("{before}{}{after}", String::from_utf8_lossy(&bytes[first..last]))
}
