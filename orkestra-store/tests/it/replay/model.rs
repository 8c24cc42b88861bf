//! A disk with its file system that executes a trace: what is durable at each point, and what is not yet.
//!
//! - `journal`: ext4 or xfs on a disk with a volatile cache. Changes of names and lengths survive in their order, and a new length
//!   brings its data. An fsync makes the data of its file durable, and all changes of names and lengths up to the last one of that
//!   file. What sync_file_range wrote is in the disk's cache: it becomes durable with the next fsync of any file, which flushes it.
//! - `own`: an fsync makes the data, the length and the name of its file durable. Each other change survives or not, independently
//!   of the rest. sync_file_range promises nothing.
//! - `posix`: as `own`, but only an fsync of its directory makes a name durable.
//!
//! fdatasync counts as fsync. `crash.rs` decides what else survives a power failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::content::Content;
use super::trace::{Naming, Node, Record, Trace, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Journal,
    Own,
    Posix,
}

pub(super) const MODELS: [Model; 3] = [Model::Journal, Model::Own, Model::Posix];

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Journal => "journal",
            Self::Own => "own",
            Self::Posix => "posix",
        })
    }
}

/// Executes a trace.
pub(super) struct Disk<'a> {
    trace: &'a Trace,
    pub(super) model: Model,
    /// How many records were executed.
    pub(super) at: usize,
    /// By node.
    pub(super) files: Vec<DiskFile<'a>>,
    /// The durable names in each directory, by node.
    pub(super) entries: Vec<BTreeMap<String, Node>>,
    pub(super) renamings: Vec<Renaming<'a>>,
    /// The line up to which names and lengths are durable, in the model `journal`.
    pub(super) journaled: usize,
}

/// A file: its durable content, and its changes that are not durable.
#[derive(Default)]
pub(super) struct DiskFile<'a> {
    pub(super) content: Content,
    pub(super) pending: Vec<Pending<'a>>,
    /// The length that the process sees, and the end of the farthest write so far.
    length: u64,
    written: u64,
    /// The lines at which its length or its name changed.
    changes: Vec<usize>,
}

/// A change of a file's content or length that is not durable.
pub(super) struct Pending<'a> {
    pub(super) line: usize,
    pub(super) change: Change<'a>,
    /// The line at which sync_file_range had written it to the disk's cache.
    cached: Option<usize>,
    /// Whether that cache was flushed since. Then it survives, if it lies within the file's durable length.
    pub(super) kept: bool,
}

pub(super) enum Change<'a> {
    Bytes {
        from: u64,
        bytes: &'a [u8],
    },
    /// Truncates or extends. `was` is the end of what is truncated.
    Length {
        length: u64,
        was: u64,
    },
}

impl Change<'_> {
    /// The range of bytes that it changes.
    pub(super) fn range(&self) -> (u64, u64) {
        match *self {
            Self::Bytes { from, bytes } => (from, from + bytes.len() as u64),
            Self::Length { length, was } => (length, was.max(length)),
        }
    }

    /// The file's length after it.
    pub(super) fn length(&self, before: u64) -> u64 {
        match *self {
            Self::Bytes { .. } => self.range().1.max(before),
            Self::Length { length, .. } => length,
        }
    }

    pub(super) fn is_length(&self) -> bool {
        matches!(self, Self::Length { .. })
    }

    /// Applies the part of it from `low` to `high`.
    pub(super) fn apply(&self, content: &mut Content, low: u64, high: u64) {
        let (from, to) = self.range();
        let (low, high) = (low.max(from), high.min(to));
        match self {
            Self::Length { .. } => content.clear(low, high),
            Self::Bytes { bytes, .. } => {
                let inside = |offset: u64| usize::try_from(offset - from).expect("it is within a slice");
                content.put(low, &bytes[inside(low)..inside(high)]);
            }
        }
    }
}

/// A change of names that is not durable.
pub(super) struct Renaming<'a> {
    pub(super) line: usize,
    node: Node,
    pub(super) names: &'a [Naming],
}

impl<'a> Disk<'a> {
    pub(super) fn new(trace: &'a Trace, model: Model) -> Self {
        let count = trace.directories.len();
        let files = (0..count).map(|_| DiskFile::default()).collect();
        Self { trace, model, at: 0, files, entries: vec![BTreeMap::new(); count], renamings: Vec::new(), journaled: 0 }
    }

    /// Goes on until `point` records have happened.
    pub(super) fn go_to(&mut self, point: usize) {
        while self.at < point {
            self.step(&self.trace.records[self.at]);
            self.at += 1;
        }
    }

    pub(super) fn is_directory(&self, node: Node) -> bool {
        self.trace.directories[node.0]
    }

    fn step(&mut self, record: &'a Record) {
        let line = record.line;
        match &record.what {
            What::Started | What::Output(_) => {}
            What::Write { file, offset, bytes } => {
                self.files[file.0].change(line, Change::Bytes { from: *offset, bytes });
            }
            What::Length { file, length } => {
                let file = &mut self.files[file.0];
                let was = file.length.min(file.written);
                file.change(line, Change::Length { length: *length, was });
            }
            What::Named { node, names } => {
                self.files[node.0].changes.push(line);
                names.iter().for_each(|naming| self.files[naming.directory.0].changes.push(line));
                self.renamings.push(Renaming { line, node: *node, names });
            }
            What::Synced { node, began } => self.synced(*node, *began),
            What::Ranged { file, from, to, began } => {
                for pending in &mut self.files[file.0].pending {
                    let (low, high) = pending.change.range();
                    let inside = pending.line < *began && *from <= low && high <= *to && !pending.change.is_length();
                    if inside && self.model == Model::Journal {
                        pending.cached.get_or_insert(line);
                    }
                }
            }
        }
    }

    fn synced(&mut self, node: Node, began: usize) {
        self.files[node.0].sync(began);
        if self.model == Model::Journal {
            // The disk flushes all of its cache.
            for pending in self.files.iter_mut().flat_map(|file| &mut file.pending) {
                pending.kept |= pending.cached.is_some_and(|cached| cached < began);
            }
            let last = self.files[node.0].changes.iter().rfind(|line| **line < began);
            self.journaled = self.journaled.max(last.copied().unwrap_or(0));
        }
        let durable = self.durable_names(node, began);
        for renaming in self.renamings.extract_if(.., |renaming| durable.contains(&renaming.line)) {
            rename(&mut self.entries, renaming.names);
        }
    }

    /// The changes of names that a sync makes durable.
    fn durable_names(&self, node: Node, began: usize) -> BTreeSet<usize> {
        if self.model == Model::Journal {
            return self
                .renamings
                .iter()
                .map(|renaming| renaming.line)
                .filter(|line| *line <= self.journaled)
                .collect();
        }
        let (mut lines, mut names) = (BTreeSet::new(), BTreeSet::new());
        for renaming in self.renamings.iter().rev() {
            let places = || renaming.names.iter().map(|naming| (naming.directory, &naming.name));
            let own = self.model == Model::Own && renaming.node == node;
            let asked = renaming.line < began && (own || places().any(|(directory, _)| directory == node));
            // An earlier change of the same name is durable, too.
            if asked || places().any(|place| names.contains(&place)) {
                lines.insert(renaming.line);
                names.extend(places());
            }
        }
        lines
    }
}

/// Applies changes of names.
pub(super) fn rename(entries: &mut [BTreeMap<String, Node>], names: &[Naming]) {
    for naming in names {
        let entries = &mut entries[naming.directory.0];
        match naming.node {
            Some(node) => entries.insert(naming.name.clone(), node),
            None => entries.remove(&naming.name),
        };
    }
}

impl<'a> DiskFile<'a> {
    fn change(&mut self, line: usize, change: Change<'a>) {
        let length = change.length(self.length);
        if length != self.length {
            self.length = length;
            self.changes.push(line);
        }
        if !change.is_length() {
            self.written = self.written.max(change.range().1);
        }
        self.pending.push(Pending { line, change, cached: None, kept: false });
    }

    fn sync(&mut self, began: usize) {
        for Pending { change, .. } in self.pending.extract_if(.., |pending| pending.line < began) {
            let length = change.length(self.content.length);
            let (from, to) = change.range();
            change.apply(&mut self.content, from, to);
            if length != self.content.length {
                self.content.set_length(length);
            }
        }
    }
}
