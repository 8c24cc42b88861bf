//! Segments that sled freed just before the end of its log: it opens without them, whatever becomes of its snapshot.
//! And pages that it stores in separate files.

use std::fs;
use std::path::{Path, PathBuf};

use orkestra_core::model::RunId;
use orkestra_core::store::{Store, StoreErrorKind};
use orkestra_store::SledStore;
use tempfile::TempDir;

/// Decompresses a run-length encoded file.
fn unpacked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk().expect("a length");
        let length = u32::from_be_bytes(*length) as usize;
        let taken = if *tag == 0 { length } else { 1 };
        let (content, rest) = rest.split_at(taken);
        match tag {
            0 => whole.extend_from_slice(content),
            _ => whole.resize(whole.len() + length, content[0]),
        }
        bytes = rest;
    }
    whole
}

fn fixture() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sled-4-dead-segments");
    for entry in fs::read_dir(packed).expect("the fixture is there") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a file's name");
        fs::write(directory.path().join(name), unpacked(&fs::read(&path).expect("it reads"))).expect("it writes");
    }
    directory
}

fn snapshot(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("an entry").path());
    let is_snapshot = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."));
    entries.filter(is_snapshot).max().expect("there is one")
}

async fn must_be_whole(directory: &Path, what: &str) {
    for _ in 0..2 {
        let store = SledStore::open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        let run = RunId::new("r").expect("an id");
        assert_eq!(store.blob(&run, "k").await, Ok(Some(vec![8; 100])), "{what}");
        store.check().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// A power failure may lose its name, because sled does not sync the directory.
#[tokio::test]
async fn a_lost_snapshot_loses_no_data() {
    let directory = fixture();
    fs::remove_file(snapshot(directory.path())).expect("it can be removed");
    must_be_whole(directory.path(), "without its snapshot").await;
}

#[tokio::test]
async fn a_torn_snapshot_loses_no_data() {
    let directory = fixture();
    fs::write(snapshot(directory.path()), b"torn").expect("it writes");
    must_be_whole(directory.path(), "with a torn snapshot").await;
}

/// An opening that fails after sled was opened, here because acknowledged writes are missing.
#[tokio::test]
async fn a_failed_opening_destroys_nothing() {
    let directory = fixture();
    let mark = directory.path().join("mark");
    let good = fs::read(&mark).expect("it reads");
    // As in `kv/mark.rs`: checksum, durability, number.
    let content = [&[0][..], &(1_u64 << 40).to_be_bytes()].concat();
    fs::write(&mark, [&checksum(&content).to_be_bytes()[..], &content].concat()).expect("it writes");
    for _ in 0..3 {
        let error = SledStore::open(directory.path()).err().expect("something is missing");
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("remove the file `mark`"), "{error}");
    }
    fs::write(&mark, good).expect("it writes");
    must_be_whole(directory.path(), "after openings that failed").await;
}

/// CRC-32 as in zlib.
fn checksum(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

/// With the longest keys, sled stores pages of an index in separate files.
#[tokio::test]
async fn large_pages_in_separate_files_are_kept() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let open = || SledStore::open(directory.path()).expect("it opens");
    let run = |number: usize| RunId::new(format!("r{number:02}{}", "x".repeat(197))).expect("an id");
    let key = "k".repeat(400);
    let store = open();
    for number in 0..40 {
        store.put_blob(&run(number), &key, &vec![7; 600_000]).await.expect("it writes");
    }
    drop(store);
    let files = fs::read_dir(directory.path().join("blobs")).expect("sled makes it").count();
    assert!(files > 0, "the test must produce large pages");
    let store = open();
    for number in 0..40 {
        assert_eq!(store.blob(&run(number), &key).await.map(|blob| blob.map(|blob| blob.len())), Ok(Some(600_000)));
    }
}
