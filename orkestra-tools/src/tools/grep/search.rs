//! Searches the files of a workspace in parallel and stops when it has enough.
//!
//! First the matching lines of all files are counted, then the lines of a few files are read again for the answer: what is kept in
//! memory does not depend on how much matches. Files are taken in the order of the walk and results are sorted by it, so the same
//! call gives the same answer, and reading on from an offset works.

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
    /// Matching lines after which the search ends.
    pub(super) lines_max: usize,
    /// Files with matches after which the search ends.
    pub(super) files_max: usize,
}

/// One file in which something was found, or which could not be searched.
pub(super) struct Searched {
    pub(super) path: PathBuf,
    /// Matching lines, at most those after which the search ends.
    pub(super) count: usize,
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
    let init = || (searcher(query, false, 0), query.matcher.clone());
    let found = workspace.each_file(walked, &stop, is_wanted, init, |state, path, file| {
        let searched = count(state, query, path, file, &bytes)?;
        let lines = lines.fetch_add(searched.count, Ordering::Relaxed) + searched.count;
        let files =
            files.fetch_add(usize::from(searched.count > 0), Ordering::Relaxed) + usize::from(searched.count > 0);
        if lines >= query.lines_max || files >= query.files_max || bytes.load(Ordering::Relaxed) >= SEARCH_BYTES_MAX {
            stop.store(true, Ordering::Relaxed);
        }
        Some(searched)
    });
    (found, bytes.into_inner() >= SEARCH_BYTES_MAX)
}

fn searcher(query: &Query, numbers: bool, context: usize) -> Searcher {
    let newline = if query.crlf { LineTerminator::crlf() } else { LineTerminator::byte(b'\n') };
    SearcherBuilder::new()
        .line_terminator(newline)
        .binary_detection(BinaryDetection::quit(0))
        .line_number(numbers)
        .before_context(context)
        .after_context(context)
        // A file without newlines must not fill the memory.
        .heap_limit(usize::try_from(READ_BYTES_MAX).ok())
        .build()
}

fn count(
    (searcher, matcher): &mut (Searcher, RegexMatcher),
    query: &Query,
    path: PathBuf,
    file: io::Result<File>,
    bytes: &AtomicU64,
) -> Option<Searched> {
    let mut counter = Counter { count: 0, most: query.lines_max, is_binary: false };
    let done = file.and_then(|file| searcher.search_reader(&*matcher, Counted { file, bytes }, &mut counter));
    let skipped = match done {
        Ok(()) => counter.is_binary.then_some(Skipped::Binary),
        // It was removed after the walk.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.to_string().contains("allocation limit") => Some(Skipped::LongLine),
        Err(_) => Some(Skipped::Unreadable),
    };
    let count = if skipped.is_some() { 0 } else { counter.count };
    (count > 0 || skipped.is_some()).then_some(Searched { path, count, skipped })
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

/// Counts matching lines.
struct Counter {
    count: usize,
    most: usize,
    is_binary: bool,
}

impl Sink for Counter {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, _: &SinkMatch<'_>) -> io::Result<bool> {
        self.count += 1;
        Ok(self.count < self.most)
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> io::Result<()> {
        self.is_binary = end.binary_byte_offset().is_some();
        Ok(())
    }
}

/// A line of a file, cut around its match if it is long.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: String,
    pub(super) is_match: bool,
}

/// Which matching lines of a file are shown.
pub(super) struct Window {
    pub(super) skip: usize,
    pub(super) take: usize,
    /// Lines before and after each.
    pub(super) context: usize,
    /// Bytes of text after which no more are read.
    pub(super) bytes_max: usize,
}

/// Reads lines of one file. There are fewer if the file has changed.
pub(super) fn lines(workspace: &Workspace, path: &Path, query: &Query, window: &Window) -> Vec<Line> {
    let mut reader = Reader { query, window, seen: 0, bytes: 0, near: Vec::new(), lines: Vec::new() };
    let file = workspace.open_file(path);
    if let Ok(Some(file)) = file {
        let bytes = AtomicU64::new(0);
        // NOTE: it was searched just now; an error here shortens the answer.
        let _ = searcher(query, true, window.context).search_reader(
            &query.matcher,
            Counted { file, bytes: &bytes },
            &mut reader,
        );
    }
    reader.after_last();
    reader.lines
}

struct Reader<'a> {
    query: &'a Query,
    window: &'a Window,
    /// Matching lines so far.
    seen: usize,
    bytes: usize,
    /// Lines since the last match, which are the context after it and before the next.
    near: Vec<Line>,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn line(&self, number: Option<u64>, bytes: &[u8], is_match: bool) -> Line {
        let matched = if is_match { self.query.matcher.find(bytes).ok().flatten() } else { None };
        let text = shorten(bytes, matched.map_or(0, |matched| matched.start()));
        Line { number: number.unwrap_or(0), text, is_match }
    }

    /// Keeps the context after the last match that is shown.
    fn after_last(&mut self) {
        let reach = self.window.context as u64;
        if let Some(last) = self.lines.last().map(|line| line.number) {
            self.lines.extend(self.near.drain(..).take_while(|line| line.number <= last + reach));
        }
        self.near.clear();
    }
}

impl Sink for Reader<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        let index = self.seen;
        self.seen += 1;
        if index < self.window.skip {
            self.near.clear();
            return Ok(true);
        }
        if index >= self.window.skip + self.window.take || self.bytes > self.window.bytes_max {
            return Ok(false);
        }
        let (line, before) = (self.line(found.line_number(), found.bytes(), true), self.lines.len());
        let reach = self.window.context as u64;
        self.near.retain(|near| !self.lines.is_empty() || near.number + reach >= line.number);
        self.lines.append(&mut self.near);
        self.lines.push(line);
        self.bytes += self.lines[before..].iter().map(|line| line.text.len()).sum::<usize>();
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        let line = self.line(context.line_number(), context.bytes(), false);
        self.near.push(line);
        Ok(true)
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
