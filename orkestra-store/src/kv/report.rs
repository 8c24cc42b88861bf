//! Durability levels, and what opening a store found and did.

use std::path::PathBuf;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the process or the system, and a power failure. Costs one `fdatasync` per group commit. Nothing that
    /// was acknowledged is lost, provided that the disk keeps what it reports as written.
    #[default]
    Fsync,
    /// A crash of the process, including `kill -9`. Acknowledged writes are in the operating system's cache; group
    /// commits are not synced. If the system crashes or loses power, the newest group commits are lost, from some
    /// commit on. The store then opens without them and reports what is missing as far as it can tell
    /// ([`OpenReport::lost`]), or refuses to open as `Damaged`. For work that can be repeated. Background flushes and
    /// checkpoints are still synced.
    Process,
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the store was created.
    pub created: bool,
    /// Whether the previous process ended without closing the store.
    pub after_crash: bool,
    /// Whether an interrupted checkpoint of sled was undone. Nothing is lost: the checkpoint is repeated from the
    /// write-ahead file. Always `false` with other backends.
    pub checkpoint_undone: bool,
    /// Where damaged snapshot files of sled were moved. Such a snapshot is a cache of sled's log: the store was opened
    /// from the log and checked. Always empty with other backends.
    pub set_aside: Vec<PathBuf>,
    /// A description of writes that were acknowledged under [`Durability::Process`] and are lost because the system
    /// stopped. After a power failure, `None` does not prove that nothing is lost: the evidence may be lost as well.
    pub lost: Option<String>,
    /// What was cut off the end of a journal of fjall after a crash interrupted a write: the number of bytes, the file
    /// and the offset. Nothing in it was acknowledged under [`Durability::Fsync`]. Always `None` with other backends.
    pub cut: Option<String>,
    /// How many runs were replayed and checked; `None` if no check was needed.
    pub runs_checked: Option<u64>,
}
