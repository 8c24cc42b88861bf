//! Planning a group commit: which commits are taken, and what they change.
//!
//! Nothing is written here, and nothing is waited for. What a commit needs to know is in memory, except for what the
//! store sees for the first time: the head of a run, and the record that a new one replaces.

use std::collections::HashMap;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Append, AppendError, RunRecord};

use super::changes::Changes;
use super::error::Trouble;
use super::lately::Lately;
use super::lease::Leases;
use super::map::View;
use super::{index, keys, read, value};

/// What becomes of a commit.
#[derive(Debug)]
pub(crate) enum Planned {
    /// It is in the batch: durable when that is.
    InBatch,
    /// It is durable already.
    There,
    /// It is not taken.
    Refused(AppendError),
    /// It could not be looked at.
    Failed(Trouble),
}

/// The last positions of the runs that were written to lately: an append must not search for them.
pub(crate) type Heads = Lately<Seq>;

/// A group commit, planned.
pub(crate) struct GroupCommit {
    /// What to write.
    pub(crate) changes: Changes,
    /// What to answer.
    pub(crate) answers: Vec<Planned>,
}

/// A group commit in the making.
pub(crate) struct Plan<'a> {
    view: &'a dyn View,
    heads: &'a mut Heads,
    leases: &'a Leases,
    changes: Changes,
    /// Records that this batch writes, with the number of further parts that stand or will stand in the tree.
    records: HashMap<&'a RunId, (&'a RunRecord, u32)>,
    answers: Vec<Planned>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(view: &'a dyn View, heads: &'a mut Heads, leases: &'a Leases) -> Self {
        Self { view, heads, leases, changes: Changes::default(), records: HashMap::new(), answers: Vec::new() }
    }

    /// Plans `appends` in their order.
    pub(crate) fn make(mut self, appends: &'a [Append]) -> GroupCommit {
        for (place, append) in appends.iter().enumerate() {
            let answer = self.add(append, &appends[..place]).unwrap_or_else(Planned::Failed);
            self.answers.push(answer);
        }
        GroupCommit { changes: self.changes, answers: self.answers }
    }

    fn add(&mut self, append: &'a Append, before: &[Append]) -> Result<Planned, Trouble> {
        let Append { commit, record, .. } = append;
        let last = self.last(&commit.run)?;
        if commit.first != last.plus(1) {
            return Ok(self.repeated(commit, before)?.unwrap_or(Planned::Refused(AppendError::Conflict { last })));
        }
        if let Some(held) = self.leases.fence(&commit.run, commit.epoch) {
            return Ok(Planned::Refused(AppendError::Fenced { held }));
        }
        if commit.last < commit.first {
            return Err(Trouble::Invalid(format!("a commit of run `{}` has no events", commit.run)));
        }
        match record {
            None if last == Seq::ZERO => {
                return Err(Trouble::Invalid("the first commit of a run must bring its record".into()));
            }
            Some(record) if record.id != commit.run => {
                let message = format!("a commit of run `{}` brings the record of `{}`", commit.run, record.id);
                return Err(Trouble::Invalid(message));
            }
            Some(record) => self.set_record(record)?,
            None => {}
        }
        let head = [commit.last.0.to_be_bytes(), commit.epoch.0.to_be_bytes()].concat();
        let bytes = [&head, &*commit.body].concat();
        value::put(&mut self.changes, &keys::commit(&commit.run, commit.first), &bytes, 0);
        self.heads.set(&commit.run, commit.last);
        Ok(Planned::InBatch)
    }

    /// The last position of `run`, with what this batch adds.
    fn last(&mut self, run: &RunId) -> Result<Seq, Trouble> {
        if let Some(last) = self.heads.get(run) {
            return Ok(last);
        }
        let last = read::last(self.view, run)?;
        self.heads.set(run, last);
        Ok(last)
    }

    /// What to answer if `commit` is there already, in this batch or before it.
    fn repeated(&self, commit: &Written, before: &[Append]) -> Result<Option<Planned>, Trouble> {
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
        Ok(there.is_some_and(|there| there.body == commit.body).then_some(Planned::There))
    }

    fn set_record(&mut self, record: &'a RunRecord) -> Result<(), Trouble> {
        let key = keys::record(&record.id);
        let bytes = read::record_bytes(record)?;
        let parts = if let Some((old, parts)) = self.records.get(&record.id) {
            index::change(&mut self.changes, Some(old), Some(record));
            *parts
        } else {
            let old = read::record_with_parts(self.view, &record.id)?;
            index::change(&mut self.changes, old.as_ref().map(|(old, _)| old), Some(record));
            old.map_or(0, |(_, parts)| parts)
        };
        let parts = value::put(&mut self.changes, &key, &bytes, parts);
        self.records.insert(&record.id, (record, parts));
        Ok(())
    }
}
