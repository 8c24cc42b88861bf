//! Letters: what waits for a run, and what sending, taking and discarding change. While letters wait for a run its place among
//! the wake-ups is another one: whoever changes the one changes the other.
//!
//! A letter's id is the number of the opening and a counter, as epochs are: none ever comes back, and the next one needs no
//! look at those before.

use std::collections::HashSet;
use std::ops::Bound;

use orkestra_core::model::RunId;
use orkestra_core::model::limits::{LETTER_BYTES_MAX, LETTERS_MAX};
use orkestra_core::store::{Letter, LetterId};

use super::changes::Changes;
use super::error::Trouble;
use super::heads::Heads;
use super::map::View;
use super::{index, keys, read, value};

/// The ids of letters that are sent while a store is open.
pub(crate) struct LetterIds {
    boot: u32,
    given: u32,
}

impl LetterIds {
    /// None yet, since the store was opened for the `boot`-th time.
    pub(crate) fn new(boot: u32) -> Self {
        Self { boot, given: 0 }
    }

    fn next(&mut self) -> Result<LetterId, Trouble> {
        let exhausted = || Trouble::Invalid("four thousand million letters were sent: open the store anew".into());
        self.given = self.given.checked_add(1).ok_or_else(exhausted)?;
        Ok(LetterId(u64::from(self.boot) << 32 | u64::from(self.given)))
    }
}

/// Whether letters wait for `run`.
pub(crate) fn has_mail(view: &dyn View, run: &RunId) -> Result<bool, Trouble> {
    Ok(view.prefix(&keys::letters(run)).next().transpose()?.is_some())
}

/// How many letters wait for `run`.
pub(crate) fn count(view: &dyn View, run: &RunId) -> Result<usize, Trouble> {
    view.prefix(&keys::letters(run)).try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// The letters of `run` after `after`, at most `limit`.
pub(crate) fn letters(view: &dyn View, run: &RunId, after: LetterId, limit: usize) -> Result<Vec<Letter>, Trouble> {
    let begin = keys::letter(run, after);
    let found = view.range(Bound::Excluded(&begin), &keys::letters_end(run)).take(limit);
    let read = found.map(|entry| {
        let (key, raw) = entry?;
        Ok(Letter { id: keys::parse_letter(&key)?.1, body: value::whole(view, &key, &raw)?.into() })
    });
    read.collect()
}

/// Adds to `changes` what puts a letter into the inbox of `run`.
pub(crate) fn send(
    view: &dyn View,
    heads: &mut Heads,
    ids: &mut LetterIds,
    changes: &mut Changes,
    (run, body): (&RunId, &[u8]),
) -> Result<LetterId, Trouble> {
    let head = heads.of(view, run)?;
    if !head.has_journal() {
        return Err(Trouble::Invalid(format!("there is no run `{run}` to send anything to")));
    }
    if body.len() > LETTER_BYTES_MAX {
        let why = format!("a letter has {} bytes, {LETTER_BYTES_MAX} are the most", body.len());
        return Err(Trouble::Invalid(why));
    }
    if head.letters >= LETTERS_MAX {
        return Err(Trouble::Invalid(format!("{} letters wait for run `{run}`, no more are taken", head.letters)));
    }
    let moved = if head.has_mail() { None } else { read::record(view, run)? };
    let id = ids.next()?;
    if let Some(record) = moved {
        index::change(changes, Some((&record, false)), Some((&record, true)));
    }
    value::put_new(changes, &keys::letter(run, id), body);
    heads.set(run, head.with_letters(head.letters + 1));
    Ok(id)
}

/// Letters that are there, on their way out: their keys, and how many further parts each has.
pub(crate) type Leaving = Vec<(Vec<u8>, u32)>;

/// Those of `letters` that wait for `run`, but for those that are `gone` already.
pub(crate) fn leaving(
    view: &dyn View,
    run: &RunId,
    letters: &[LetterId],
    gone: &HashSet<Vec<u8>>,
) -> Result<Leaving, Trouble> {
    let mut leaving = Leaving::new();
    for id in letters {
        let key = keys::letter(run, *id);
        let named = gone.contains(&key) || leaving.iter().any(|(other, _)| *other == key);
        if !named && let Some(raw) = view.get(&key)? {
            let parts = value::parts(&key, &raw)?;
            leaving.push((key, parts));
        }
    }
    Ok(leaving)
}

/// What removes letters that nothing follows from.
pub(crate) fn discard(
    view: &dyn View,
    heads: &mut Heads,
    run: &RunId,
    letters: &[LetterId],
) -> Result<Changes, Trouble> {
    let (mut changes, head) = (Changes::default(), heads.of(view, run)?);
    let leaving = leaving(view, run, letters, &HashSet::new())?;
    let after = head.with_letters(head.letters.saturating_sub(leaving.len()));
    if head.has_mail() != after.has_mail()
        && let Some(record) = read::record(view, run)?
    {
        index::change(&mut changes, Some((&record, head.has_mail())), Some((&record, after.has_mail())));
    }
    for (key, parts) in leaving {
        value::remove(&mut changes, &key, parts);
    }
    heads.set(run, after);
    Ok(changes)
}
