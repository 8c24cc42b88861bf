//! Checks fjall's journals and truncates a torn end before fjall opens them. fjall itself refuses to open after some
//! torn batches (`ChecksumMismatch`), and silently drops everything behind others.
//!
//! ```text
//! look    reads all journals: does each group commit follow the one before? where does the last complete one end?
//! mend    was anything after that place synced? yes: damaged, change nothing; no: truncate the journal there
//! settle  after fjall has opened: has it read everything? which writes under `Durability::Process` are lost?
//! ```
//!
//! This relies on the behaviour of fjall 3.1.13. It appends to the newest journal only, and syncs a journal before it
//! creates the next one (`Writer::rotate` in `src/journal/writer.rs`). So a crash can tear only the end of the newest
//! journal. Any of its sectors may be missing, and complete batches may follow a torn one. All of them are dropped, so
//! that the store is as it was at one moment in the past.
//!
//! Tables may contain more than the journals: fjall syncs the journal and then flushes all full memtables, including
//! one that was filled meanwhile (`src/worker_pool.rs`, `src/flush/worker.rs`). So a table may contain what was not
//! synced in the journal, again up to one moment. The next group commit has the number after that, and names the one
//! before it in the journal.
//!
//! A torn end and damage look the same. Promises tell them apart: those in the file `mark`, and those in the later
//! batches ([`Promises`]). An incomplete group commit that was synced is damage. Never truncate it: it may be the only
//! copy.

mod aside;
mod batch;
mod scan;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::kv::error::BackendError;
use crate::kv::mark::Marked;

use self::aside::MovedAside;
use self::batch::Batch;
use self::scan::{Scan, Tail};
use super::promised::Promises;

/// The extension of journals.
const EXTENSION: &str = "jnl";

/// The beginning of the file `version` of databases with this journal format. fjall itself refuses others.
const VERSION: [u8; 4] = *b"FJL\x03";

/// What the store must contain.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected {
    /// The content of the file `mark`.
    pub(super) marked: Option<Marked>,
    /// Whether somebody removed that file, and so accepted a loss.
    pub(super) is_loss_accepted: bool,
}

/// Journals that fjall can open.
#[derive(Default)]
pub(super) struct MendedJournals {
    expected: Expected,
    /// The last complete group commit in the journals. `None` if there is none: the last one is in a table then.
    last: Option<u64>,
    torn: Option<Torn>,
    // IMPORTANT: dropping it renames the journal back, so fjall must be closed before.
    aside: Option<MovedAside>,
}

/// The torn end of the newest journal.
struct Torn {
    path: PathBuf,
    at: u64,
    tail: Tail,
}

/// Checks the journals in `directory`, and truncates a torn end of the newest one.
pub(super) fn mend(directory: &Path, expected: Expected) -> Result<MendedJournals, BackendError> {
    if !fs::read(directory.join("version"))?.starts_with(&VERSION) {
        return Ok(MendedJournals { expected, ..MendedJournals::default() });
    }
    MovedAside::restore_all(directory)?;
    let (last, torn) = look(directory)?;
    let mut mended = MendedJournals { expected, last, torn, aside: None };
    // IMPORTANT: before anything is truncated, here or by fjall: a damaged journal must stay as it is.
    last.map_or(Ok(()), |last| mended.check(last))?;
    match (&mended.torn, last) {
        (Some(torn), Some(_)) => torn.cut()?,
        // No batch of that journal is complete, and only fjall knows what is in the tables.
        (Some(torn), None) => mended.aside = Some(MovedAside::new(&torn.path)?),
        (None, _) => {}
    }
    Ok(mended)
}

impl MendedJournals {
    /// Call this once fjall is open. `last` is the number of the last group commit in it. Returns what is lost, if the
    /// durability allows losing it.
    pub(super) fn settle(&mut self, last: u64, place: &str) -> Result<Option<String>, BackendError> {
        if let Some(there) = self.last.filter(|there| *there > last) {
            let why = format!("its journals end with group commit {there}, but fjall read only up to {last}");
            return Err(BackendError::Damaged(why));
        }
        self.check(last)?;
        if let Some(aside) = &mut self.aside {
            aside.remove()?;
        }
        let marks = [self.expected.marked, Some(self.promised().marked())];
        let newest = marks.into_iter().flatten().max_by_key(|marked| marked.number);
        newest.map_or(Ok(None), |marked| marked.missing(last, place))
    }

    /// The group commit in the journals that precedes the next one, where `last` is the last one in the store.
    pub(super) fn previous(&self, last: u64) -> u64 {
        self.last.unwrap_or(last)
    }

    /// What was cut off: the number of bytes, the file and the offset.
    pub(super) fn cut(&self) -> Option<String> {
        let Torn { path, at, tail } = self.torn.as_ref()?;
        Some(format!("{} bytes of {}, from byte {at} on", tail.bytes, path.display()))
    }

    /// Checks that nothing synced is missing. `last` is the number of the last group commit.
    fn check(&self, last: u64) -> Result<(), BackendError> {
        if let Some(marked) = self.expected.marked {
            marked.must_be_there(last)?;
        }
        let Promises { synced, .. } = self.promised();
        match &self.torn {
            Some(Torn { path, at, .. }) if synced > last => Err(BackendError::Damaged(format!(
                "the journal {} is damaged at byte {at}: group commit {synced} was synced, but the log ends with {last}; remove \
                 the file `mark` to accept the loss",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// The promises of the batches in the torn end.
    fn promised(&self) -> Promises {
        let torn = self.torn.as_ref().filter(|_| !self.expected.is_loss_accepted);
        torn.map_or_else(Promises::default, |torn| torn.tail.promised)
    }
}

impl Torn {
    /// Durably truncates the journal to its complete batches.
    fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.at)?;
        file.sync_all()
    }
}

/// The number of the last complete group commit in the journals, and the torn end of the newest one.
fn look(directory: &Path) -> Result<(Option<u64>, Option<Torn>), BackendError> {
    let journals = list(directory)?;
    // The number of the previous journal, and the last batch up to its end.
    let mut before: Option<(u64, Batch)> = None;
    let mut torn = None;
    for (index, (id, path)) in journals.iter().enumerate() {
        let Scan { batches, end, tail } = Scan::of(path)?;
        let damaged = |why: String| BackendError::Damaged(format!("the journal {} is damaged: {why}", path.display()));
        // If a journal between them is missing, fjall has removed it, and everything before it is in tables.
        let last = before.filter(|(before, _)| before + 1 == *id).map(|(_, last)| last);
        if let Some((first, _)) = batches {
            first.follows(last).map_err(damaged)?;
        }
        if let Some(tail) = tail {
            if index + 1 < journals.len() {
                return Err(damaged(format!("it is torn at byte {end}, but a crash can tear only the newest journal")));
            }
            torn = Some(Torn { path: path.clone(), at: end, tail });
        }
        before = batches.map(|(_, last)| last).or(last).map(|last| (*id, last));
    }
    Ok((before.map(|(_, last)| last.number), torn))
}

/// The journals with their numbers, newest last.
fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == EXTENSION);
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        // fjall itself refuses other names.
        if let (true, Some(id)) = (is_journal, id) {
            journals.push((id, path));
        }
    }
    journals.sort();
    Ok(journals)
}
