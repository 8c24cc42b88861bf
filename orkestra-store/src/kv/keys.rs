//! The keys of the tree. Numbers are big-endian, so that keys sort as the numbers do.
//!
//! ```text
//! m <name>                        metadata of the store
//! j <run> 0 <first seq>           a commit
//! r <run>                         a run's record
//! i <term> <created at> <run>     an index entry of a run: see `index`
//! d <wake at> <run>               when a run needs a driver; zero while letters wait for it
//! k <key>                         a small value
//! b <run> 0 <key>                 a blob of a run
//! l <run> 0 <id>                  a letter that waits for a run
//! s <run>                         a snapshot of a run
//! x <key> <part>                  a continuation part of the value at another key: see `value`
//! ```
//!
//! A run id contains no zero byte, so the zero terminates it: commits of different runs never interleave, even if one
//! id is a prefix of the other.

use orkestra_core::model::{RunId, Seq, Timestamp};
use orkestra_core::store::{LetterId, ListCursor};

use super::error::BackendError;

/// The boot number: how many times the store was opened.
pub(crate) const META_BOOT: &[u8] = b"mboot";
/// The number of the last group commit that was checkpointed into sled. Read only from sled itself.
pub(crate) const META_APPLIED: &[u8] = b"mapplied";

pub(crate) const ALL_COMMITS: &[u8] = b"j";
pub(crate) const ALL_RECORDS: &[u8] = b"r";
pub(crate) const ALL_LETTERS: &[u8] = b"l";
pub(crate) const ALL_TERMS: &[u8] = b"i";
pub(crate) const ALL_WAKE_UPS: &[u8] = b"d";
/// Greater than every key of a wake-up.
pub(crate) const AFTER_WAKE_UPS: &[u8] = b"e";

const NUMBER: usize = size_of::<u64>();

fn key(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The prefix of the keys of all commits of `run`.
pub(crate) fn journal(run: &str) -> Vec<u8> {
    key(&[ALL_COMMITS, run.as_bytes(), &[0]])
}

/// Greater than the keys of all commits of `run`, and not greater than those of later runs.
pub(crate) fn journal_end(run: &str) -> Vec<u8> {
    key(&[ALL_COMMITS, run.as_bytes(), &[1]])
}

pub(crate) fn commit(run: &str, first: Seq) -> Vec<u8> {
    key(&[ALL_COMMITS, run.as_bytes(), &[0], &first.0.to_be_bytes()])
}

pub(crate) fn record(run: &str) -> Vec<u8> {
    key(&[ALL_RECORDS, run.as_bytes()])
}

pub(crate) fn terms(term: u64) -> Vec<u8> {
    key(&[ALL_TERMS, &term.to_be_bytes()])
}

pub(crate) fn term(term: u64, created_at: Timestamp, run: &str) -> Vec<u8> {
    key(&[ALL_TERMS, &term.to_be_bytes(), &created_at.as_millis().to_be_bytes(), run.as_bytes()])
}

pub(crate) fn wake_up(at: Timestamp, run: &str) -> Vec<u8> {
    key(&[ALL_WAKE_UPS, &at.as_millis().to_be_bytes(), run.as_bytes()])
}

pub(crate) fn small(name: &str) -> Vec<u8> {
    key(&[b"k", name.as_bytes()])
}

/// The prefix of the keys of all blobs of `run`.
pub(crate) fn blobs(run: &str) -> Vec<u8> {
    key(&[b"b", run.as_bytes(), &[0]])
}

pub(crate) fn blob(run: &str, name: &str) -> Vec<u8> {
    key(&[b"b", run.as_bytes(), &[0], name.as_bytes()])
}

/// The prefix of the keys of all letters of `run`.
pub(crate) fn letters(run: &str) -> Vec<u8> {
    key(&[ALL_LETTERS, run.as_bytes(), &[0]])
}

/// Greater than the keys of all letters of `run`, and not greater than those of later runs.
pub(crate) fn letters_end(run: &str) -> Vec<u8> {
    key(&[ALL_LETTERS, run.as_bytes(), &[1]])
}

pub(crate) fn letter(run: &str, id: LetterId) -> Vec<u8> {
    key(&[ALL_LETTERS, run.as_bytes(), &[0], &id.0.to_be_bytes()])
}

pub(crate) fn snapshot(run: &str) -> Vec<u8> {
    key(&[b"s", run.as_bytes()])
}

/// The key of continuation part `number` of the value at `whole`.
pub(crate) fn part(whole: &[u8], number: u32) -> Vec<u8> {
    key(&[b"x", whole, &number.to_be_bytes()])
}

/// The run and first position in a commit's key.
pub(crate) fn parse_commit(key: &[u8]) -> Result<(RunId, Seq), BackendError> {
    parse_numbered(key).map(|(run, number)| (run, Seq(number)))
}

/// The run and id in a letter's key.
pub(crate) fn parse_letter(key: &[u8]) -> Result<(RunId, LetterId), BackendError> {
    parse_numbered(key).map(|(run, number)| (run, LetterId(number)))
}

/// The name in a blob's key. `all` is the prefix of the run's blobs.
pub(crate) fn parse_blob(key: &[u8], all: &[u8]) -> Result<String, BackendError> {
    let name = key.get(all.len()..).ok_or_else(|| BackendError::key(key))?;
    String::from_utf8(name.to_vec()).map_err(|_| BackendError::key(key))
}

/// `<run> 0 <number>`.
fn parse_numbered(key: &[u8]) -> Result<(RunId, u64), BackendError> {
    let (run, number) = key[1..].split_last_chunk::<NUMBER>().ok_or_else(|| BackendError::key(key))?;
    let run = run.strip_suffix(&[0]).ok_or_else(|| BackendError::key(key))?;
    Ok((parse_run(key, run)?, u64::from_be_bytes(*number)))
}

/// The list position in the key of an index entry.
pub(crate) fn parse_term(key: &[u8]) -> Result<ListCursor, BackendError> {
    let rest = key.get(1 + NUMBER..).ok_or_else(|| BackendError::key(key))?;
    let (created_at, run) = parse_time(key, rest)?;
    Ok(ListCursor { created_at, id: parse_run(key, run)? })
}

/// The time and run in a wake-up's key.
pub(crate) fn parse_wake_up(key: &[u8]) -> Result<(Timestamp, RunId), BackendError> {
    let (at, run) = parse_time(key, &key[1..])?;
    Ok((at, parse_run(key, run)?))
}

/// The run in a record's key.
pub(crate) fn parse_record(key: &[u8]) -> Result<RunId, BackendError> {
    parse_run(key, &key[1..])
}

/// The name in a small value's key.
pub(crate) fn parse_small(key: &[u8]) -> Result<String, BackendError> {
    String::from_utf8(key[1..].to_vec()).map_err(|_| BackendError::key(key))
}

fn parse_time<'a>(key: &[u8], rest: &'a [u8]) -> Result<(Timestamp, &'a [u8]), BackendError> {
    let (number, run) = rest.split_first_chunk::<NUMBER>().ok_or_else(|| BackendError::key(key))?;
    Ok((Timestamp::from_millis(u64::from_be_bytes(*number)), run))
}

fn parse_run(key: &[u8], run: &[u8]) -> Result<RunId, BackendError> {
    let text = std::str::from_utf8(run).map_err(|_| BackendError::key(key))?;
    RunId::new(text).map_err(|_| BackendError::key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_the_values_they_encode() {
        let time = Timestamp::from_millis;
        assert!(commit("a", Seq(255)) < commit("a", Seq(256)));
        assert!(wake_up(time(9), "z") < wake_up(time(10), "a"));
        assert!(term(7, time(1), "z") < term(7, time(2), "a"));
        assert!(journal("run") <= commit("run", Seq(0)) && commit("run", Seq(u64::MAX)) < journal_end("run"));
        assert!(!commit("run-2", Seq(1)).starts_with(&journal("run")));
        assert!(journal_end("run") < commit("run-2", Seq(1)));
    }

    #[test]
    fn keys_are_read_back() {
        let run = RunId::new("a/b:1").expect("a run id");
        let at = Timestamp::from_millis(77);
        assert_eq!(parse_commit(&commit(&run, Seq(3))).ok(), Some((run.clone(), Seq(3))));
        assert_eq!(parse_letter(&letter(&run, LetterId(7))).ok(), Some((run.clone(), LetterId(7))));
        assert_eq!(parse_blob(&blob(&run, "name"), &blobs(&run)).ok().as_deref(), Some("name"));
        assert_eq!(parse_wake_up(&wake_up(at, &run)).ok(), Some((at, run.clone())));
        assert_eq!(parse_term(&term(5, at, &run)).ok(), Some(ListCursor { created_at: at, id: run }));
        assert!(parse_commit(b"jshort").is_err());
        assert!(parse_term(b"ishort").is_err());
    }
}
