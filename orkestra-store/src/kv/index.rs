//! The indexes of runs: the entries of a record, and which index answers a query best.
//!
//! Each record has one entry per term: one term for all runs, one each for its status, its workflow and its labels.
//! Terms are hashed so that labels can have any length. Hashes may collide, so readers check the record itself.

use std::collections::BTreeSet;

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::Timestamp;
use orkestra_core::store::{RunQuery, RunRecord};

use super::changes::Changes;
use super::keys;

/// A record, and whether letters wait for its run.
pub(crate) type Waiting<'a> = (&'a RunRecord, bool);

/// The keys of all index entries of a record.
pub(crate) fn entries((record, mail): Waiting<'_>) -> BTreeSet<Vec<u8>> {
    let labels = record.labels.iter().map(|(key, value)| label(key, value));
    let terms = [all(), status(record.status), workflow(&record.workflow)].into_iter().chain(labels);
    let found = terms.map(|term| keys::term(term, record.created_at, &record.id));
    let wake_at = if mail { Some(Timestamp::ZERO) } else { record.wake_at };
    found.chain(wake_at.map(|at| keys::wake_up(at, &record.id))).collect()
}

/// Replaces the entries of `old` by those of `new`.
pub(crate) fn change(changes: &mut Changes, old: Option<Waiting<'_>>, new: Option<Waiting<'_>>) {
    let (old, new) = (old.map(entries).unwrap_or_default(), new.map(entries).unwrap_or_default());
    for gone in old.difference(&new) {
        changes.remove(gone.as_slice());
    }
    for come in new.difference(&old) {
        changes.insert_new(come.as_slice(), &[] as &[u8]);
    }
}

/// The terms that are likely to match the fewest runs: a label, else the statuses, else the workflow. No run has
/// entries for two of them.
pub(crate) fn best_terms(query: &RunQuery) -> Vec<u64> {
    if let Some((key, value)) = query.labels.iter().next() {
        return vec![label(key, value)];
    }
    let statuses = query.wanted_statuses();
    if !statuses.is_empty() {
        return statuses.into_iter().map(status).collect();
    }
    vec![query.workflow.as_ref().map_or_else(all, |name| workflow(name))]
}

fn all() -> u64 {
    hash(&["all"])
}

fn status(status: RunStatus) -> u64 {
    hash(&["status", &format!("{status:?}")])
}

fn workflow(name: &str) -> u64 {
    hash(&["workflow", name])
}

fn label(key: &str, value: &str) -> u64 {
    hash(&["label", key, value])
}

/// FNV-1a. Part of the format: the same on every machine and in every version.
fn hash(words: &[&str]) -> u64 {
    // 0xff never occurs in UTF-8, so `["a", "bc"]` and `["ab", "c"]` differ.
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_part_of_the_format() {
        assert_eq!(all(), 0x84b1_e683_aaee_08a1);
        assert_eq!(status(RunStatus::Running), 0xe4bd_bfa8_5ea4_1910);
        assert_ne!(label("a", "bc"), label("ab", "c"));
    }
}
