//! Moves a journal aside while fjall opens without it, so that it can be restored unchanged.
//!
//! If the only journal has no complete batch, the last group commit is in a table, and only fjall knows its number.
//! Until then it is unknown whether the torn batch was acknowledged, so it must not be truncated. If the process ends
//! in between, the next one renames the file back first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::kv::directory;

/// The extension while it is moved aside. fjall ignores such files.
const ASIDE: &str = "torn";

/// A renamed journal. Dropping it renames it back.
pub(super) struct MovedAside {
    journal: PathBuf,
    aside: PathBuf,
    is_removed: bool,
}

impl MovedAside {
    /// Renames `journal` and creates an empty one in its place, so that fjall continues with its number.
    pub(super) fn new(journal: &Path) -> io::Result<Self> {
        let aside = journal.with_extension(ASIDE);
        fs::rename(journal, &aside)?;
        let this = Self { journal: journal.to_path_buf(), aside, is_removed: false };
        // IMPORTANT: sync before a new file takes the old name: a power failure must not lose the content.
        directory::sync_parent(journal)?;
        File::create_new(journal)?.sync_all()?;
        directory::sync_parent(journal)?;
        Ok(this)
    }

    /// Deletes the renamed journal, because it contained nothing promised.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        fs::remove_file(&self.aside)?;
        self.is_removed = true;
        // IMPORTANT: sync before anything is written to the new journal, which the renamed file would replace if it
        // came back.
        directory::sync_parent(&self.aside)
    }

    /// Renames back what an earlier process left in `directory`.
    pub(super) fn restore_all(directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == ASIDE) {
                fs::rename(&path, path.with_extension(super::EXTENSION))?;
                directory::sync_parent(&path)?;
            }
        }
        Ok(())
    }
}

impl Drop for MovedAside {
    fn drop(&mut self) {
        if !self.is_removed
            && let Err(error) = fs::rename(&self.aside, &self.journal)
        {
            tracing::warn!(journal = %self.journal.display(), %error, "cannot rename the journal back; the next opening of the store does it");
        }
    }
}
