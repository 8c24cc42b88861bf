//! The moment of a power failure: random, or while the backend's background threads are writing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use orkestra_testkit::Chance;

/// How often the directory is checked.
const LOOK: Duration = Duration::from_micros(200);
/// The most checks; after them the power is cut anyway.
const LOOKS_MAX: usize = 2_000;

/// What was happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// The store was being opened: created or recovered.
    Opening,
    /// Not observed.
    Any,
    /// A checkpoint, flush, compaction or rotation: the files it writes had just changed.
    Background,
}

/// Waits a random time of at most `most`.
pub(super) fn pass(chance: &mut Chance, most: Duration) {
    let most = usize::try_from(most.as_micros()).expect("it is short");
    thread::park_timeout(Duration::from_micros(chance.below(most.max(1)) as u64));
}

/// Waits until the background files have changed a few times. Returns `false` if they did not. In two of three cases
/// the first change must be a file that grew or appeared, unless that takes long: data beyond the synced length is at
/// risk.
pub(super) fn background(store: &Path, chance: &mut Chance) -> bool {
    let mut grows = !chance.one_in(3);
    let mut changes = 1 + chance.below(12);
    let mut before = files(store);
    for look in 0..LOOKS_MAX {
        thread::park_timeout(LOOK);
        let now = files(store);
        grows &= look < LOOKS_MAX / 4;
        if now != before && !(grows && lengths(&now).eq(lengths(&before))) {
            grows = false;
            changes -= 1;
            if changes == 0 {
                return true;
            }
        }
        before = now;
    }
    false
}

fn lengths(files: &Files) -> impl Iterator<Item = (&Path, Option<u64>)> {
    files.iter().map(|(path, state)| (path.as_path(), state.map(|(length, _)| length)))
}

type Files = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// The files that group commits do not write to, with their states. For journals, only their existence.
fn files(store: &Path) -> Files {
    let mut found = Files::new();
    let mut directories = vec![store.to_path_buf()];
    while let Some(directory) = directories.pop() {
        // It may have been removed.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let foreground = name.starts_with("wal.") || name == "mark" || name == "owner";
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(path);
            } else if name.ends_with(".jnl") {
                found.insert(path, None);
            } else if let (false, Ok(changed)) = (foreground, metadata.modified()) {
                found.insert(path, Some((metadata.len(), changed)));
            }
        }
    }
    found
}
