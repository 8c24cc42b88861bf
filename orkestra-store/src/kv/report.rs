//! What an acknowledged write survives, and what opening a store found and did.

use std::path::PathBuf;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, of the system and of its power. One `fdatasync` per group commit. Lost: nothing that was
    /// acknowledged, as long as the disk keeps what it says it has written.
    #[default]
    Fsync,
    /// The end of the process, however sudden. What was acknowledged is with the operating system; nothing asks the disk to keep a
    /// group commit. Lost when the system or its power fails: the newest group commits, up to one. The store then opens with all
    /// that is before, and says what is missing as far as it can tell ([`OpenReport::lost`]), or is refused as damaged. For work that
    /// can be done again. What is gathered in memory is synced in the background as it goes to its place.
    Process,
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the store was made just now.
    pub created: bool,
    /// Whether whoever had it open before ended without closing it.
    pub after_crash: bool,
    /// Whether a checkpoint of sled was cut, and what it had written so far was undone. Nothing is lost by it: the checkpoint is
    /// done again from the write-ahead file. Other backends have none.
    pub checkpoint_undone: bool,
    /// Damaged snapshot files of sled that were put aside, where they are now. Such a snapshot is a cache of sled's log: the
    /// store was opened from the log and checked. Other backends have none.
    pub set_aside: Vec<PathBuf>,
    /// What was acknowledged under [`Durability::Process`] and is lost: the system has ended since. After a power cut `None` does not
    /// prove that nothing is lost: what would tell may be lost as well.
    pub lost: Option<String>,
    /// What was cut off the end of a journal of fjall: how many bytes of which file, and from which byte on. A crash interrupted the
    /// writing of it. Nothing in it was acknowledged under [`Durability::Fsync`]. Always `None` with other backends.
    pub cut: Option<String>,
    /// How many runs were read and replayed to see that they are whole; `None` when there was no need to.
    pub runs_checked: Option<u64>,
}
