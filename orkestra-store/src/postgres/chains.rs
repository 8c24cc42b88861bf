//! A batch of commits, cut into chains that one statement can judge. Nothing here waits or knows of databases.

use std::collections::HashMap;

use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::Append;

/// Commits of one run, each following the one before, under one epoch.
///
/// Where a run's journal ends decides alone what becomes of each: what comes after that place is written, what comes before
/// it is there already or conflicts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain<'a> {
    pub(super) run: &'a RunId,
    /// The position before its first commit.
    pub(super) base: Seq,
    /// The position of its last event.
    pub(super) last: Seq,
    pub(super) epoch: Epoch,
    /// Why its only commit must not be written, even if it follows.
    pub(super) refused: Option<&'static str>,
    /// Where in the batch its commits are.
    pub(super) commits: Vec<usize>,
}

impl<'a> Chain<'a> {
    fn begin(at: usize, append: &'a Append) -> Self {
        let commit = &append.commit;
        Self {
            run: &commit.run,
            base: Seq(commit.first.0.saturating_sub(1)),
            last: commit.last,
            epoch: commit.epoch,
            refused: refusal(append),
            commits: vec![at],
        }
    }

    fn goes_on_with(&self, append: &Append) -> bool {
        let commit = &append.commit;
        let follows = commit.first == self.last.plus(1) && commit.epoch == self.epoch;
        follows && self.refused.is_none() && refusal(append).is_none()
    }
}

/// The chains of a batch, in rounds: in each a run has one chain at most, in the order of runs. What an engine sends is one
/// round; what repeats or leaves out commits within a batch is judged one after the other.
pub(super) fn rounds(batch: &[Append]) -> Vec<Vec<Chain<'_>>> {
    let mut rounds: Vec<Vec<Chain<'_>>> = Vec::new();
    let mut newest: HashMap<&RunId, (usize, usize)> = HashMap::new();
    for (at, append) in batch.iter().enumerate() {
        let place = newest.get(&append.commit.run).copied();
        if let Some((round, chain)) = place
            && rounds[round][chain].goes_on_with(append)
        {
            let chain = &mut rounds[round][chain];
            chain.last = append.commit.last;
            chain.commits.push(at);
            continue;
        }
        let round = place.map_or(0, |(round, _)| round + 1);
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        newest.insert(&append.commit.run, (round, rounds[round].len()));
        rounds[round].push(Chain::begin(at, append));
    }
    for round in &mut rounds {
        round.sort_by_key(|chain| chain.run);
    }
    rounds
}

/// Why a commit must not be written.
fn refusal(append: &Append) -> Option<&'static str> {
    let Append { commit, record, .. } = append;
    if commit.first > commit.last || commit.first == Seq::ZERO || i64::try_from(commit.last.0).is_err() {
        return Some("a commit must have positions that can be");
    }
    match record {
        None if commit.first == Seq(1) => Some("the first commit of a run must bring its record"),
        Some(record) if record.id != commit.run => Some("a commit must bring the record of its own run"),
        _ => None,
    }
}
