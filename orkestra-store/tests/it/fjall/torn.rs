//! Group commits torn by a power failure: some of their sectors are on the disk, others are not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Snapshot, Store, StoreErrorKind};
use orkestra_store::{Durability, FjallStore, OpenReport};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// The content of a journal up to the last nonzero byte.
fn written(journal: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal).expect("it reads");
    bytes.truncate(end(&bytes));
    bytes
}

/// Where the trailing zeros of `bytes` begin.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A store whose directory can be set to a state after a power failure.
struct Scene {
    directory: tempfile::TempDir,
    durability: Durability,
    run: SampleRun,
    /// The journal after each group commit, beginning with the last one that is surely on the disk.
    journals: Vec<Vec<u8>>,
    /// The mark that belongs to each journal.
    marks: Vec<Vec<u8>>,
}

impl Scene {
    /// A store with some group commits, opened once or twice. When it is reopened, its journal is no longer a hole.
    async fn new(durability: Durability, openings: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let run = SampleRun::new("r");
        let mut scene = Self { directory, durability, run, journals: Vec::new(), marks: Vec::new() };
        for opening in 0..openings {
            let store = scene.open().expect("it opens");
            let append = if opening == 0 { scene.run.create() } else { scene.run.report(3_000) };
            assert_eq!(store.append(vec![append]).await, [Ok(())]);
        }
        scene
    }

    fn open(&self) -> Result<FjallStore, orkestra_core::store::StoreError> {
        FjallStore::options().with_check(true).with_durability(self.durability).open(self.directory.path())
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("data/0.jnl")
    }

    fn mark(&self) -> PathBuf {
        self.directory.path().join("mark")
    }

    fn note(&mut self) {
        self.journals.push(written(&self.journal()));
        self.marks.push(fs::read(self.mark()).expect("it reads"));
    }

    /// Appends commits of these sizes, each as a group commit.
    async fn append(&mut self, sizes: &[usize]) {
        let store = self.open().expect("it opens");
        self.note();
        for bytes in sizes {
            assert_eq!(store.append(vec![self.run.report(*bytes)]).await, [Ok(())]);
            self.note();
        }
    }

    /// The journal after the last group commit, without those units of `unit` bytes, after the first recorded journal,
    /// for which `is_kept` returns false.
    fn torn(&self, unit: usize, mut is_kept: impl FnMut(usize) -> bool) -> Vec<u8> {
        let (begin, mut bytes) = (self.journals[0].len(), self.last().clone());
        let first = begin / unit;
        for number in first..bytes.len().div_ceil(unit) {
            if !is_kept(number - first) {
                let end = bytes.len().min((number + 1) * unit);
                bytes[begin.max(number * unit)..end].fill(0);
            }
        }
        bytes
    }

    fn last(&self) -> &Vec<u8> {
        self.journals.last().expect("it was noted")
    }

    /// Sets the directory to this state: the journal with zeros behind `bytes` up to `length`, and the mark.
    fn set(&self, bytes: &[u8], length: usize, mark: &[u8]) {
        fs::write(self.journal(), bytes).expect("it writes");
        let file = File::options().write(true).open(self.journal()).expect("it opens");
        file.set_len(length as u64).expect("it has that length");
        fs::write(self.mark(), mark).expect("it writes");
    }

    /// Opens the store. Returns the report and the number of commits.
    async fn opened(&self, what: &str) -> (OpenReport, usize) {
        let store = self.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let commits = store.read(self.run.id(), Seq(1), usize::MAX).await.expect("it reads").len();
        (store.report().clone(), commits)
    }

    /// Checks that the store does not open and that the journal is unchanged.
    fn refused(&self, what: &str) -> String {
        let before = fs::read(self.journal()).expect("it reads");
        let error = self.open().err().unwrap_or_else(|| panic!("{what}: it opens"));
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{what}: {error}");
        assert!(fs::read(self.journal()).expect("it reads") == before, "{what}: the journal was changed");
        error.to_string()
    }

    /// Every tested way to tear what was written last, with a name.
    fn tears(&self, seeds: u64) -> Vec<(String, Vec<u8>)> {
        let mut tears = vec![("nothing is torn".into(), self.last().clone())];
        for unit in [SECTOR, PAGE] {
            let count = self.last().len().div_ceil(unit) - self.journals[0].len() / unit;
            for at in 0..count {
                tears.push((format!("{unit}: all but {at}"), self.torn(unit, |number| number != at)));
                tears.push((format!("{unit}: {at} alone"), self.torn(unit, |number| number == at)));
                tears.push((format!("{unit}: up to {at}"), self.torn(unit, |number| number < at)));
                tears.push((format!("{unit}: from {at} on"), self.torn(unit, |number| number >= at)));
            }
            for seed in 0..seeds {
                let mut chance = Chance::new(seed);
                tears.push((format!("{unit}: seed {seed}"), self.torn(unit, |_| chance.one_in(2))));
            }
        }
        tears
    }

    /// Number of complete group commits after the first recorded journal, before the first incomplete one.
    fn whole(&self, bytes: &[u8]) -> usize {
        self.journals[1..].iter().take_while(|journal| bytes[..journal.len()] == journal[..]).count()
    }

    /// Whether anything follows them.
    fn is_torn(&self, bytes: &[u8]) -> bool {
        end(bytes) > self.journals[self.whole(bytes)].len()
    }
}

fn long(seeds: u64) -> u64 {
    if std::env::var_os("ORKESTRA_LONG").is_some() { seeds * 20 } else { seeds }
}

/// The main property: a group commit is there as a whole or not at all, and everything acknowledged before it is there.
#[tokio::test]
async fn a_torn_group_commit_is_truncated() {
    for (openings, bytes) in [(1, 20), (1, 700), (2, 1_500), (1, 9_000), (2, 9_000)] {
        let mut scene = Scene::new(Durability::Fsync, openings).await;
        scene.append(&[bytes]).await;
        for (what, torn) in scene.tears(long(8)) {
            let what = format!("{bytes} bytes, {openings} openings, {what}");
            let end = end(&torn);
            let chance = Chance::new(torn.iter().map(|byte| u64::from(*byte)).sum()).below(4);
            let length = [end, torn.len(), torn.len() + 7, torn.len() + 70_000][chance];
            scene.set(&torn, length, &scene.marks[0]);
            let (report, commits) = scene.opened(&what).await;
            assert_eq!(commits, openings + scene.whole(&torn), "{what}: {report:?}");
            assert_eq!(report.cut.is_some(), scene.is_torn(&torn), "{what}: {report:?}");
            assert_eq!(report.lost, None, "{what}");
        }
    }
}

/// A journal that was never reopened is a file of 64 MiB.
#[tokio::test]
async fn the_report_says_what_was_truncated() {
    let mut scene = Scene::new(Durability::Fsync, 1).await;
    scene.append(&[5_000]).await;
    let torn = scene.torn(PAGE, |number| number != 1);
    scene.set(&torn, 64 * 1024 * 1024, &scene.marks[0]);
    let (report, _) = scene.opened("torn").await;
    let begin = scene.journals[0].len();
    let end = end(&torn);
    let cut = format!("{} bytes of {}, from byte {begin} on", end - begin, scene.journal().display());
    assert_eq!(report.cut, Some(cut));
    assert_eq!(scene.opened("again").await.0.cut, None);
}

#[tokio::test]
async fn a_torn_group_commit_that_was_acknowledged_is_damage() {
    let mut scene = Scene::new(Durability::Fsync, 2).await;
    scene.append(&[9_000]).await;
    for (what, torn) in scene.tears(long(4)).into_iter().skip(1) {
        if scene.whole(&torn) == 0 {
            scene.set(&torn, torn.len(), &scene.marks[1]);
            let message = scene.refused(&what);
            assert!(message.contains("was acknowledged"), "{what}: {message}");
        }
    }
}

/// The mark is never synced and may be old. Later batches prove that everything before them was on the disk.
#[tokio::test]
async fn damage_in_the_middle_is_detected_without_the_mark() {
    let mut scene = Scene::new(Durability::Fsync, 1).await;
    scene.append(&[2_000, 3_000, 2_000, 1_000]).await;
    let end = scene.journals[2].len();
    for seed in 0..long(40) {
        let mut chance = Chance::new(seed);
        let mut bytes = scene.last().clone();
        let from = scene.journals[0].len() + chance.below(end - scene.journals[0].len());
        let to = end.min(from + 1 + chance.below(3_000));
        let is_lost = chance.one_in(2);
        bytes[from..to].fill_with(|| if is_lost { 0 } else { chance.next_u64().to_le_bytes()[0] });
        if bytes == *scene.last() {
            continue;
        }
        for mark in [&scene.marks[0][..], b"never written"] {
            scene.set(&bytes, bytes.len() + 5_000, mark);
            let message = scene.refused(&format!("seed {seed}"));
            assert!(message.contains("was synced") || message.contains("is too low"), "seed {seed}: {message}");
        }
    }
}

#[tokio::test]
async fn removing_the_mark_accepts_the_loss() {
    let mut scene = Scene::new(Durability::Fsync, 1).await;
    scene.append(&[2_000, 3_000, 2_000]).await;
    let torn = scene.torn(PAGE, |number| number != 0);
    scene.set(&torn, torn.len(), &scene.marks[3]);
    scene.refused("it was acknowledged");
    fs::remove_file(scene.mark()).expect("it can be removed");
    let (report, commits) = scene.opened("accepted").await;
    assert!(report.cut.is_some() && report.lost.is_none(), "{report:?}");
    assert_eq!(commits, 1);
}

/// A snapshot is not synced: it may be torn before a complete batch that was being written when the power failed.
#[tokio::test]
async fn a_torn_snapshot_before_a_complete_group_commit_is_truncated() {
    let mut scene = Scene::new(Durability::Fsync, 1).await;
    let store = scene.open().expect("it opens");
    scene.note();
    let snapshot = Snapshot { last: scene.run.last(), bytes: vec![1; 9_000].into() };
    store.put_snapshot(scene.run.id(), &snapshot).await.expect("it writes");
    scene.note();
    assert_eq!(store.append(vec![scene.run.report(2_000)]).await, [Ok(())]);
    scene.note();
    drop(store);
    for (what, torn) in scene.tears(long(4)) {
        scene.set(&torn, torn.len(), &scene.marks[1]);
        let (report, commits) = scene.opened(&what).await;
        assert_eq!(commits, 1 + usize::from(scene.whole(&torn) == 2), "{what}: {report:?}");
        assert_eq!(report.lost, None, "{what}");
        assert_eq!(report.cut.is_some(), scene.is_torn(&torn), "{what}: {report:?}");
    }
}

/// Nothing written since the store was opened needs to be on the disk, and gaps may be anywhere.
#[tokio::test]
async fn under_process_durability_the_store_reopens_in_a_past_state() {
    let mut scene = Scene::new(Durability::Process, 1).await;
    scene.append(&[300, 5_000, 20, 20, 9_000, 700, 1_000, 40]).await;
    for (what, torn) in scene.tears(long(20)) {
        let whole = scene.whole(&torn);
        // The mark may be from any moment since.
        for mark in [0, whole, scene.marks.len() - 1] {
            scene.set(&torn, torn.len(), &scene.marks[mark]);
            let (report, commits) = scene.opened(&what).await;
            assert_eq!(commits, 1 + whole, "{what}: {report:?}");
            assert!(mark <= whole || report.lost.is_some(), "{what}, mark {mark}: {report:?}");
            // If the last group commit is there, those before it were acknowledged.
            let is_last_there = scene.last()[scene.journals[7].len()..] == torn[scene.journals[7].len()..];
            assert!(whole >= 7 || !is_last_there || report.lost.is_some(), "{what}: {report:?}");
        }
    }
}

/// A journal is synced before the next one is created.
#[tokio::test]
async fn a_gap_between_two_journals_is_damage() {
    let mut scene = Scene::new(Durability::Process, 1).await;
    scene.append(&[700, 700, 700, 700]).await;
    let at = |number: usize| scene.journals[number].len();
    let newer = scene.directory.path().join("data/1.jnl");
    let all = scene.last();
    for (older, newer_bytes, commits) in [
        (&all[..at(2)], &all[at(2)..], Some(5)),
        (&all[..at(1)], &all[at(2)..], None),
        (&all[..at(2) - 1], &all[at(2)..], None),
        (&all[..at(2)], &all[at(3)..], None),
        (&all[..at(2)], &all[at(1)..], None),
        (&all[..at(2)], &[], Some(3)),
        (&all[..at(2)], &all[at(2)..at(3) - 1], Some(3)),
    ] {
        let what = format!("{} bytes, then {}", older.len(), newer_bytes.len());
        scene.set(older, older.len() + 5_000, &scene.marks[4]);
        fs::write(&newer, newer_bytes).expect("it writes");
        if let Some(commits) = commits {
            let (report, found) = scene.opened(&what).await;
            assert_eq!(found, commits, "{what}: {report:?}");
            assert_eq!(report.lost.is_some(), commits < 5, "{what}: {report:?}");
        } else {
            let message = scene.refused(&what);
            assert!(message.contains("journal"), "{what}: {message}");
            assert!(fs::read(&newer).expect("it reads") == newer_bytes, "{what}: the newer journal was changed");
        }
    }
}

/// Under `Process`, and always for snapshots, a table may be on the disk before the part of the journal it was made
/// from.
#[tokio::test]
async fn tables_may_contain_more_than_the_journal() {
    let mut scene = Scene::new(Durability::Process, 0).await;
    let options = || FjallStore::options().with_durability(Durability::Process);
    let store = options().with_memtable_bytes(1).open(scene.directory.path()).expect("it opens");
    assert_eq!(store.append(vec![scene.run.create()]).await, [Ok(())]);
    scene.journals = vec![written(&scene.journal())];
    let tables = scene.directory.path().join("data/keyspaces/1/tables");
    let mut written_commits = 1;
    // fjall writes tables in the background.
    while fs::read_dir(&tables).map_or(0, Iterator::count) == 0 {
        written_commits += 1;
        assert!(written_commits < 10_000, "there is no table");
        assert_eq!(store.append(vec![scene.run.report(3_000)]).await, [Ok(())]);
    }
    drop(store);
    let torn = [&scene.journals[0][..], &[1; 700]].concat();
    scene.set(&torn, torn.len(), &[0; 13]);
    let (_, commits) = scene.opened("torn").await;
    assert!(commits > 1 && commits <= written_commits, "{commits} of {written_commits} are there");
    for opening in 0..3 {
        let store = options().open(scene.directory.path()).unwrap_or_else(|error| panic!("opening {opening}: {error}"));
        assert_eq!((&store.report().lost, &store.report().cut), (&None, &None), "opening {opening}");
        assert_eq!(store.put("k", opening, b"more").await, Ok(Some(opening + 1)));
        drop(store);
        // Torn where the journal continues after what the tables contain.
        let journal = written(&scene.journal());
        let torn = [&journal[..], &[1; 700]].concat();
        fs::write(scene.journal(), torn).expect("it writes");
        let (report, found) = scene.opened("torn again").await;
        assert!(report.cut.is_some() && report.lost.is_none() && found == commits, "{report:?}");
    }
}

/// If the first group commit of a journal is torn, only the tables show what is there.
#[tokio::test]
async fn the_first_group_commit_of_a_new_journal_may_be_torn() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let path = |name: &str| directory.path().join(name);
    let run = RunId::new("r").expect("a run id");
    let store = FjallStore::options().with_durability(Durability::Process).open(directory.path()).expect("it opens");
    store.put_blob(&run, "b", &vec![7; 64 * 1024 * 1024]).await.expect("it writes");
    drop(store);
    let store = FjallStore::open(directory.path()).expect("it opens");
    let mut version = 0;
    // fjall removes the old journal in the background.
    while path("data/0.jnl").exists() {
        version += 1;
        assert!(version < 100_000, "the old journal is still there");
        assert_eq!(store.put("k", version - 1, &[1; 3_000]).await, Ok(Some(version)));
    }
    assert_eq!(store.put("k", version, &[1; 3_000]).await, Ok(Some(version + 1)));
    drop(store);
    let (journal, mark) = (path("data/1.jnl"), fs::read(path("mark")).expect("it reads"));
    let whole = written(&journal);
    let mut torn = whole[..2_000].to_vec();
    torn[100] ^= 1;
    fs::write(&journal, &torn).expect("it writes");
    for _ in 0..2 {
        let error = FjallStore::open(directory.path()).err().expect("it was acknowledged");
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(fs::read(&journal).expect("it reads") == torn, "the journal was changed: {error}");
    }
    fs::write(path("mark"), vec![0; mark.len()]).expect("it writes");
    // A process has ended while it had moved the journal aside.
    fs::rename(&journal, path("data/1.torn")).expect("it has that name");
    fs::write(&journal, b"").expect("it writes");
    let store = FjallStore::open(directory.path()).expect("it opens");
    assert!(
        store.report().cut.as_deref().is_some_and(|cut| cut.contains("1.jnl, from byte 0 on")),
        "{:?}",
        store.report()
    );
    let found = store.get("k").await.expect("it reads").map_or(0, |value| value.version);
    assert_eq!(store.put("k", found, b"more").await, Ok(Some(found + 1)));
    assert!(!path("data/1.torn").exists());
    drop(store);
    let store = FjallStore::options().with_check(true).open(directory.path()).expect("it opens again");
    assert_eq!(store.report().cut, None);
    assert_eq!(store.get("k").await.expect("it reads").map(|value| value.version), Some(found + 1));
}
