//! Letters that wait for runs: sending, reading, taking and discarding them. A run with letters is due at time zero in
//! the wake-up index, so changes of its inbox also change that index.
//!
//! A letter's id is the boot number and a counter, like an epoch: ids are never reused, and finding the next one reads
//! nothing.

use std::collections::HashSet;
use std::ops::Bound;

use orkestra_core::model::RunId;
use orkestra_core::model::limits::LETTERS_MAX;
use orkestra_core::store::{Letter, LetterId, Refusal};

use super::changes::Changes;
use super::error::BackendError;
use super::heads::Heads;
use super::map::View;
use super::{index, keys, read, value};

/// Hands out letter ids while the store is open.
pub(crate) struct LetterIds {
    boot: u32,
    given: u32,
}

impl LetterIds {
    /// Starts counting for the boot number `boot`.
    pub(crate) fn new(boot: u32) -> Self {
        Self { boot, given: 0 }
    }

    fn next(&mut self) -> Result<LetterId, BackendError> {
        let exhausted = || {
            let ids = u32::MAX;
            BackendError::Invalid(format!(
                "cannot send a letter: all {ids} letter ids of this opening are used; reopen the store"
            ))
        };
        self.given = self.given.checked_add(1).ok_or_else(exhausted)?;
        Ok(LetterId(u64::from(self.boot) << 32 | u64::from(self.given)))
    }
}

/// Whether letters wait for `run`.
pub(crate) fn has_letters(view: &dyn View, run: &RunId) -> Result<bool, BackendError> {
    Ok(view.prefix(&keys::letters(run)).next().transpose()?.is_some())
}

/// Number of letters waiting for `run`.
pub(crate) fn count(view: &dyn View, run: &RunId) -> Result<usize, BackendError> {
    view.prefix(&keys::letters(run)).try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// The letters of `run` after `after`, at most `limit`.
pub(crate) fn letters(
    view: &dyn View,
    run: &RunId,
    after: LetterId,
    limit: usize,
) -> Result<Vec<Letter>, BackendError> {
    let begin = keys::letter(run, after);
    let found = view.range(Bound::Excluded(&begin), &keys::letters_end(run)).take(limit);
    let read = found.map(|entry| {
        let (key, raw) = entry?;
        Ok(Letter { id: keys::parse_letter(&key)?.1, body: value::whole(view, &key, &raw)?.into() })
    });
    read.collect()
}

/// Adds to `changes` a letter in the inbox of `run`.
pub(crate) fn send(
    view: &dyn View,
    heads: &mut Heads,
    ids: &mut LetterIds,
    changes: &mut Changes,
    (run, body): (&RunId, &[u8]),
) -> Result<LetterId, BackendError> {
    let head = heads.of(view, run)?;
    if !head.has_journal() {
        return Err(Refusal::NoRun(run.clone()).into());
    }
    Refusal::check_letter(run, body)?;
    if head.letters >= LETTERS_MAX {
        return Err(Refusal::FullInbox(run.clone()).into());
    }
    let moved = if head.has_letters() { None } else { read::record(view, run)? };
    let id = ids.next()?;
    if let Some(record) = moved {
        index::change(changes, Some((&record, false)), Some((&record, true)));
    }
    value::put_new(changes, &keys::letter(run, id), body);
    heads.set(run, head.with_letters(head.letters + 1));
    Ok(id)
}

/// Letters to remove: their keys and continuation part counts.
pub(crate) type Removals = Vec<(Vec<u8>, u32)>;

/// Those of `letters` that wait for `run`, without those already `gone`.
pub(crate) fn removals(
    view: &dyn View,
    run: &RunId,
    letters: &[LetterId],
    gone: &HashSet<Vec<u8>>,
) -> Result<Removals, BackendError> {
    let mut removals = Removals::new();
    for id in letters {
        let key = keys::letter(run, *id);
        let named = gone.contains(&key) || removals.iter().any(|(other, _)| *other == key);
        if !named && let Some(raw) = view.get(&key)? {
            let parts = value::parts(&key, &raw)?;
            removals.push((key, parts));
        }
    }
    Ok(removals)
}

/// The changes that discard letters without a commit.
pub(crate) fn discard(
    view: &dyn View,
    heads: &mut Heads,
    run: &RunId,
    letters: &[LetterId],
) -> Result<Changes, BackendError> {
    let (mut changes, head) = (Changes::default(), heads.of(view, run)?);
    let removals = removals(view, run, letters, &HashSet::new())?;
    let after = head.with_letters(head.letters.saturating_sub(removals.len()));
    if head.has_letters() != after.has_letters()
        && let Some(record) = read::record(view, run)?
    {
        index::change(&mut changes, Some((&record, head.has_letters())), Some((&record, after.has_letters())));
    }
    for (key, parts) in removals {
        value::remove(&mut changes, &key, parts);
    }
    heads.set(run, after);
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_after_the_last_id_of_an_opening_is_refused() {
        let mut ids = LetterIds { given: u32::MAX - 1, ..LetterIds::new(7) };
        assert_eq!(ids.next().expect("one is left"), LetterId((7 << 32) + u64::from(u32::MAX)));
        assert_eq!(
            ids.next().expect_err("none is left").at("./data").to_string(),
            "cannot send a letter: all 4294967295 letter ids of this opening are used; reopen the store"
        );
    }
}
