//! Plans a group commit: which commits are accepted, and what they change.
//!
//! Pure planning: it writes nothing and waits for nothing. Everything it needs is in memory, except what the store sees
//! for the first time: the head of a run, and the record that a new one replaces.

use std::collections::{HashMap, HashSet};

use orkestra_core::journal::Written;
use orkestra_core::model::RunId;
use orkestra_core::store::{Append, AppendError, Refusal, RunRecord};

use super::changes::Changes;
use super::error::BackendError;
use super::heads::{Head, Heads};
use super::inbox::{self, Removals};
use super::lease::Leases;
use super::map::View;
use super::{index, keys, read, value};

/// The outcome of planning one commit.
#[derive(Debug)]
pub(crate) enum Planned {
    /// Part of the batch: durable when the batch is.
    InBatch,
    /// Already durable.
    Duplicate,
    /// Rejected.
    Refused(AppendError),
    /// Could not be planned.
    Failed(BackendError),
}

/// A planned group commit.
pub(crate) struct GroupCommit {
    pub(crate) changes: Changes,
    /// One answer per append, in order.
    pub(crate) answers: Vec<Planned>,
}

/// A group commit being planned.
pub(crate) struct Plan<'a> {
    view: &'a dyn View,
    heads: &'a mut Heads,
    leases: &'a Leases,
    changes: Changes,
    /// Records written by this batch, each with the number of its continuation parts.
    records: HashMap<&'a RunId, (&'a RunRecord, u32)>,
    /// Keys of the letters that this batch removes.
    taken: HashSet<Vec<u8>>,
    answers: Vec<Planned>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(view: &'a dyn View, heads: &'a mut Heads, leases: &'a Leases) -> Self {
        let (changes, records, taken) = (Changes::default(), HashMap::new(), HashSet::new());
        Self { view, heads, leases, changes, records, taken, answers: Vec::new() }
    }

    /// Plans `appends` in order.
    pub(crate) fn make(mut self, appends: &'a [Append]) -> GroupCommit {
        for (place, append) in appends.iter().enumerate() {
            let answer = self.add(append, &appends[..place]).unwrap_or_else(Planned::Failed);
            self.answers.push(answer);
        }
        GroupCommit { changes: self.changes, answers: self.answers }
    }

    fn add(&mut self, append: &'a Append, before: &[Append]) -> Result<Planned, BackendError> {
        let Append { commit, taken, .. } = append;
        let head = self.heads.of(self.view, &commit.run)?;
        if commit.first != head.last.plus(1) {
            let refused = Planned::Refused(AppendError::Conflict { last: head.last });
            return Ok(self.repeated(commit, before)?.unwrap_or(refused));
        }
        if let Some(held) = self.leases.fence(&commit.run, commit.epoch) {
            return Ok(Planned::Refused(AppendError::Fenced { held }));
        }
        Refusal::check_append(append, !head.has_journal())?;
        let letters = inbox::removals(self.view, &commit.run, taken, &self.taken)?;
        let after = Head { last: commit.last, letters: head.letters.saturating_sub(letters.len()) };
        // IMPORTANT: no fallible step may follow the first change: a rejected commit must not remove letters.
        self.change_record(append, head.has_letters(), after.has_letters())?;
        self.take(letters);
        let numbers = [commit.last.0.to_be_bytes(), commit.epoch.0.to_be_bytes()].concat();
        let bytes = [&numbers, &*commit.body].concat();
        value::put(&mut self.changes, &keys::commit(&commit.run, commit.first), &bytes, 0);
        self.heads.set(&commit.run, after);
        Ok(Planned::InBatch)
    }

    fn take(&mut self, letters: Removals) {
        for (key, parts) in letters {
            value::remove(&mut self.changes, &key, parts);
            self.taken.insert(key);
        }
    }

    /// The answer if `commit` is a repetition of one in this batch or in the store; `None` otherwise.
    fn repeated(&self, commit: &Written, before: &[Append]) -> Result<Option<Planned>, BackendError> {
        let same = |(other, answer): &(&Append, &Planned)| {
            matches!(answer, Planned::InBatch)
                && other.commit.run == commit.run
                && other.commit.first == commit.first
                && other.commit.body == commit.body
        };
        if before.iter().zip(&self.answers).any(|pair| same(&pair)) {
            return Ok(Some(Planned::InBatch));
        }
        let there = read::commit(self.view, &commit.run, commit.first)?;
        Ok(there.is_some_and(|there| there.body == commit.body).then_some(Planned::Duplicate))
    }

    /// Updates the record and its index entries. `before` and `after` say whether letters wait before and after the
    /// commit.
    fn change_record(&mut self, append: &'a Append, before: bool, after: bool) -> Result<(), BackendError> {
        let run = &append.commit.run;
        let known = self.records.get(run).copied();
        let Some(record) = &append.record else {
            if before != after {
                let read = if known.is_none() { read::record(self.view, run)? } else { None };
                let same = known.map(|(record, _)| record).or(read.as_ref());
                index::change(&mut self.changes, same.map(|same| (same, before)), same.map(|same| (same, after)));
            }
            return Ok(());
        };
        let bytes = read::record_bytes(record)?;
        let read = if known.is_none() { read::record_with_parts(self.view, run)? } else { None };
        let old = known.or(read.as_ref().map(|(record, parts)| (record, *parts)));
        index::change(&mut self.changes, old.map(|(old, _)| (old, before)), Some((record, after)));
        let parts = value::put(&mut self.changes, &keys::record(run), &bytes, old.map_or(0, |(_, parts)| parts));
        self.records.insert(run, (record, parts));
        Ok(())
    }
}
