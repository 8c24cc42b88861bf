//! Checks fjall's journals, and truncates a torn end, before fjall opens them. fjall itself refuses to open after some torn batches
//! (`ChecksumMismatch`), and after others it silently drops everything behind them.
//!
//! ```text
//! look    reads all journals: does each group commit follow the one before it? where does the last whole one end?
//! mend    was anything behind that place synced? yes: damaged, nothing is changed; no: truncates the journal there
//! settle  after fjall has opened: has it read everything? what was acknowledged under `Durability::Process` and is lost?
//! ```
//!
//! This relies on what fjall 3.1.13 does. It appends to the newest journal only. It syncs a journal before it creates the next one
//! (`Writer::rotate` in `src/journal/writer.rs`). So after a crash only the end of the newest journal can be torn. Any sectors of it
//! may be missing, and whole batches may follow a torn one; all of them are dropped, so that the store is as it was at one moment in
//! the past.
//!
//! Tables may have more than the journals: fjall syncs the journal, and then writes all full tables, also one that was filled
//! meanwhile (`src/worker_pool.rs`, `src/flush/worker.rs`). What was not synced in the journal may be in a table then, again up to one
//! moment. The next group commit has the number after that, and names the one before it in the journal.
//!
//! A torn end and damage look the same. What was promised tells them apart: by the file `mark`, and by the later batches
//! themselves ([`Promised`]). If a group commit was synced and is not whole, it is damage. Never truncate it: it may be the only copy.

mod aside;
mod batch;
mod scan;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::kv::error::Trouble;
use crate::kv::mark::Marked;

use self::aside::Aside;
use self::batch::Batch;
use self::scan::{Scan, Tail};
use super::promised::Promised;

/// The extension of a journal.
const EXTENSION: &str = "jnl";

/// How the file `version` begins in a database with journals of this format. fjall refuses others itself.
const VERSION: [u8; 4] = *b"FJL\x03";

/// What must be in the store.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected {
    /// What the file `mark` says.
    pub(super) marked: Option<Marked>,
    /// Whether somebody has removed that file, and so accepted that something is lost.
    pub(super) is_loss_accepted: bool,
}

/// Journals that fjall can open.
#[derive(Default)]
pub(super) struct Mended {
    expected: Expected,
    /// The last whole group commit in the journals. `None` if they have none: it is in a table then.
    last: Option<u64>,
    torn: Option<Torn>,
    // IMPORTANT: dropping it puts the journal back, and fjall must be closed by then.
    aside: Option<Aside>,
}

/// The torn end of the newest journal.
struct Torn {
    path: PathBuf,
    at: u64,
    tail: Tail,
}

/// Checks the journals in `directory`, and truncates the newest one if its end is torn.
pub(super) fn mend(directory: &Path, expected: Expected) -> Result<Mended, Trouble> {
    if !fs::read(directory.join("version"))?.starts_with(&VERSION) {
        return Ok(Mended { expected, ..Mended::default() });
    }
    Aside::put_back(directory)?;
    let (last, torn) = look(directory)?;
    let mut mended = Mended { expected, last, torn, aside: None };
    // IMPORTANT: before anything is truncated, by us or by fjall: a damaged journal stays as it is.
    last.map_or(Ok(()), |last| mended.check(last))?;
    match (&mended.torn, last) {
        (Some(torn), Some(_)) => torn.cut()?,
        // No batch of that journal is whole, and only fjall knows what is in the tables.
        (Some(torn), None) => mended.aside = Some(Aside::put(&torn.path)?),
        (None, _) => {}
    }
    Ok(mended)
}

impl Mended {
    /// To be called when fjall is open: `last` is the number of the last group commit in it. Returns what is lost, if the durability
    /// allows for that.
    pub(super) fn settle(&mut self, last: u64, place: &str) -> Result<Option<String>, Trouble> {
        if let Some(there) = self.last.filter(|there| *there > last) {
            let why = format!("its journals end with group commit {there}, but fjall has only read up to {last}");
            return Err(Trouble::Damaged(why));
        }
        self.check(last)?;
        if let Some(aside) = &mut self.aside {
            aside.remove()?;
        }
        let marks = [self.expected.marked, Some(self.promised().marked())];
        let newest = marks.into_iter().flatten().max_by_key(|marked| marked.number);
        newest.map_or(Ok(None), |marked| marked.missing(last, place))
    }

    /// The group commit in the journals that the next one follows, where the last one of all is `last`.
    pub(super) fn previous(&self, last: u64) -> u64 {
        self.last.unwrap_or(last)
    }

    /// What was cut off: how many bytes of which file, and where.
    pub(super) fn cut(&self) -> Option<String> {
        let Torn { path, at, tail } = self.torn.as_ref()?;
        Some(format!("{} bytes of {}, from byte {at} on", tail.bytes, path.display()))
    }

    /// Checks that nothing synced is missing if `last` is the number of the last group commit.
    fn check(&self, last: u64) -> Result<(), Trouble> {
        if let Some(marked) = self.expected.marked {
            marked.must_be_there(last)?;
        }
        let Promised { synced, .. } = self.promised();
        match &self.torn {
            Some(Torn { path, at, .. }) if synced > last => Err(Trouble::Damaged(format!(
                "the journal {} is damaged at byte {at}: group commit {synced} was synced, what is there ends with {last}; to go on \
                 with what is there, remove the file `mark`",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// What the batches in the torn end promise.
    fn promised(&self) -> Promised {
        let torn = self.torn.as_ref().filter(|_| !self.expected.is_loss_accepted);
        torn.map_or_else(Promised::default, |torn| torn.tail.promised)
    }
}

impl Torn {
    /// Truncates the journal to its whole batches, durably.
    fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.at)?;
        file.sync_all()
    }
}

/// The number of the last whole group commit in the journals, and the torn end of the newest one.
fn look(directory: &Path) -> Result<(Option<u64>, Option<Torn>), Trouble> {
    let journals = list(directory)?;
    // The journal before, and the last batch up to its end.
    let mut before: Option<(u64, Batch)> = None;
    let mut torn = None;
    for (index, (id, path)) in journals.iter().enumerate() {
        let Scan { batches, end, tail } = Scan::of(path)?;
        let damaged = |why: String| Trouble::Damaged(format!("the journal {} is damaged: {why}", path.display()));
        // If there was one between them, fjall has removed it: then everything before it is in tables.
        let last = before.filter(|(before, _)| before + 1 == *id).map(|(_, last)| last);
        if let Some((first, _)) = batches {
            first.follows(last).map_err(damaged)?;
        }
        if let Some(tail) = tail {
            if index + 1 < journals.len() {
                return Err(damaged(format!("it is torn at byte {end}, and only the newest journal can be")));
            }
            torn = Some(Torn { path: path.clone(), at: end, tail });
        }
        before = batches.map(|(_, last)| last).or(last).map(|last| (*id, last));
    }
    Ok((before.map(|(_, last)| last.number), torn))
}

/// The journals with their numbers, the newest one last.
fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == EXTENSION);
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        // fjall refuses other names itself.
        if let (true, Some(id)) = (is_journal, id) {
            journals.push((id, path));
        }
    }
    journals.sort();
    Ok(journals)
}
