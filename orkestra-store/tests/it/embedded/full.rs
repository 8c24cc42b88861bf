//! A full disk: a small file system in memory, which is enlarged later.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::acknowledged::Acknowledged;
use crate::support::backend::{BACKENDS, Backend};
use crate::support::child::{command, have, run};
use crate::support::ending::{Cause, Ending, must_reopen, names};

/// Messages for a full disk. The second is reported when a background write of fjall needed more than is left.
const FULL: &[Cause] = &[&["No space left on device"], &["; its disk has ", " KiB left"]];

/// A mounted disk, unmounted on drop.
struct Disk(TempDir);

impl Disk {
    /// A disk of `kib` KiB; `None` where mounting is not allowed, which prints a note, and fails in CI.
    fn new(kib: u32) -> Option<Self> {
        if !have("mount") {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory for a test");
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"], directory.path());
        if let Err(why) = mounted {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount a disk in CI: {why}");
            eprintln!(
                "\n=== SKIPPED: cannot mount a small disk, which needs root: {why}; this test shows nothing ===\n"
            );
            return None;
        }
        Some(Self(directory))
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// Fills the disk except for `kib` KiB.
    fn fill_but(&self, kib: u64) {
        let mut file = File::create(self.filler()).expect("a file is made");
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
        let length = file.metadata().expect("it has a length").len();
        file.set_len(length.saturating_sub(1024 * kib)).expect("it can be cut");
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    fn make_room(&self) {
        // It may not exist.
        let _ = std::fs::remove_file(self.filler());
        mount(&["-o", "remount,size=1g"], self.0.path()).expect("it can be made larger");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg(self.0.path()).status();
        let is_given_back = ended.is_ok_and(|status| status.success());
        // A second panic would hide why the test failed.
        assert!(is_given_back || std::thread::panicking(), "{} stays mounted", self.0.path().display());
    }
}

fn mount(words: &[&str], place: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(words).arg(place).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Writes until the disk is full. Returns what must be in the store then.
fn fill(backend: Backend, disk: &Disk, durability: &str, gathered_bytes: &str) -> (Acknowledged, Ending) {
    write(backend, disk, durability, gathered_bytes, "100000")
}

/// Writes until the disk is full, for at most `rounds` rounds.
fn write(
    backend: Backend,
    disk: &Disk,
    durability: &str,
    gathered_bytes: &str,
    rounds: &str,
) -> (Acknowledged, Ending) {
    let (name, store, mut acknowledged) = (backend.name(), disk.store(), Acknowledged::default());
    let lines = run(command(&[], "fill", &[&name, text(&store), durability, gathered_bytes, rounds]));
    let ending = Ending::hear(&lines, &mut acknowledged);
    (acknowledged, ending)
}

async fn fills_up(backend: Backend, durability: &str) {
    for (round, kib) in [1_800, 3_000, 3_333, 5_555, 9_000].into_iter().enumerate() {
        for gathered_bytes in ["50000", "4000000"] {
            let Some(disk) = Disk::new(kib) else { return };
            let (acknowledged, ending) = fill(backend, &disk, durability, gathered_bytes);
            println!("{backend:?} {durability}, {kib} KiB: {} written, then {:?}", ending.acknowledged, ending.refused);
            assert!(ending.unopened.is_some() || (ending.refused.is_some() && ending.acknowledged > 10), "{ending:?}");
            ending.must_name(FULL);
            disk.make_room();
            must_reopen(backend, &disk.store(), &acknowledged, round).await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_poisons_the_store_and_loses_nothing() {
    for backend in BACKENDS {
        fills_up(*backend, "fsync").await;
    }
}

#[tokio::test]
async fn a_full_disk_poisons_the_store_and_loses_nothing_for_the_process() {
    for backend in BACKENDS {
        fills_up(*backend, "process").await;
    }
}

/// Free space when a store is opened, in KiB: opening fails at a different step with each.
const LEFT: [u64; 10] = [0, 4, 8, 12, 32, 64, 128, 256, 520, 1_100];

/// Opens a store, which must open or report a full disk, never damage.
fn opens_or_reports_a_full_disk(backend: Backend, path: &Path) {
    let answer = run(command(&[], "open", &[&backend.name(), text(path)])).pop().expect("it says something");
    let full = answer.starts_with("Io: ") && names(&answer, FULL);
    assert!(answer == "opened" || full, "{backend:?}: {answer}");
    println!("{backend:?}: {answer}");
}

#[tokio::test]
async fn opening_a_store_on_a_full_disk_reports_it_and_loses_nothing() {
    for &backend in BACKENDS {
        let Some(disk) = Disk::new(4_000) else { return };
        let (acknowledged, ending) = fill(backend, &disk, "fsync", "50000");
        ending.must_name(FULL);
        for kib in LEFT {
            disk.fill_but(kib);
            opens_or_reports_a_full_disk(backend, &disk.store());
        }
        disk.make_room();
        must_reopen(backend, &disk.store(), &acknowledged, 0).await;
    }
}

#[tokio::test]
async fn a_closed_store_opens_on_a_full_disk_or_reports_it() {
    for &backend in BACKENDS {
        let Some(disk) = Disk::new(8_000) else { return };
        let (acknowledged, ending) = write(backend, &disk, "fsync", "50000", "60");
        assert!(ending.refused.is_none() && ending.unopened.is_none(), "{ending:?}");
        for kib in LEFT {
            disk.fill_but(kib);
            opens_or_reports_a_full_disk(backend, &disk.store());
        }
        disk.make_room();
        must_reopen(backend, &disk.store(), &acknowledged, 0).await;
    }
}

#[tokio::test]
async fn a_new_store_on_a_full_disk_is_created_once_there_is_space() {
    for &backend in BACKENDS {
        for kib in (0..2_000).step_by(100) {
            let Some(disk) = Disk::new(kib + 4) else { return };
            opens_or_reports_a_full_disk(backend, &disk.store());
            disk.make_room();
            must_reopen(backend, &disk.store(), &Acknowledged::default(), 0).await;
        }
    }
}
