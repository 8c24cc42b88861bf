//! Splits a batch of commits into chains that one statement can judge. Pure: no I/O.

use std::collections::HashMap;

use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::{Append, Refusal, StoreError, StoreErrorKind};

/// Commits of one run, each following the previous one, under one epoch.
///
/// The end of the run's journal alone decides about each: commits after it are written, commits before it exist already
/// or conflict.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain<'a> {
    pub(super) run: &'a RunId,
    /// The position before the first commit.
    pub(super) base: Seq,
    /// The position of the last event.
    pub(super) last: Seq,
    pub(super) epoch: Epoch,
    /// Why its only commit must not be written, even if it follows.
    pub(super) refused: Option<StoreError>,
    /// The places of its commits in the batch.
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

    fn is_followed_by(&self, append: &Append) -> bool {
        let commit = &append.commit;
        let follows = commit.first == self.last.plus(1) && commit.epoch == self.epoch;
        follows && self.refused.is_none() && refusal(append).is_none()
    }
}

/// The chains of a batch, in rounds, each with at most one chain per run, ordered by run. What an engine sends is one
/// round. Commits that repeat others of the batch or leave a gap are judged in later rounds.
pub(super) fn rounds(batch: &[Append]) -> Vec<Vec<Chain<'_>>> {
    let mut rounds: Vec<Vec<Chain<'_>>> = Vec::new();
    let mut newest: HashMap<&RunId, (usize, usize)> = HashMap::new();
    for (at, append) in batch.iter().enumerate() {
        let place = newest.get(&append.commit.run).copied();
        if let Some((round, chain)) = place
            && rounds[round][chain].is_followed_by(append)
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
fn refusal(append: &Append) -> Option<StoreError> {
    let commit = &append.commit;
    if let Err(refusal) = Refusal::check_append(append, commit.first == Seq(1)) {
        return Some(refusal.into());
    }
    if commit.first > Seq::ZERO && i64::try_from(commit.last.0).is_ok() {
        return None;
    }
    let why = format!(
        "cannot append to run `{}`: a commit from {} to {} is impossible",
        commit.run, commit.first, commit.last
    );
    Some(StoreError::new(StoreErrorKind::Invalid, why))
}
