//! Reads everything that belongs to a run, to find damage.

use orkestra_core::journal::Replayer;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, Store, StoreError, StoreErrorKind};

use super::report::{Counts, Damage, Survey};
use super::runs::Runs;

/// Commits read at a time. Some may be large.
pub(super) const COMMITS_AT_ONCE: usize = 64;

/// Letters read at a time.
pub(super) const LETTERS_AT_ONCE: usize = 32;

/// Reads everything in `store` through the `Store` trait, replays every journal, and reports damage. Indexes are not
/// visible that way; use the store's own check for them, if it has one.
///
/// Nothing should write to the store meanwhile: a run that changes while it is read may look damaged.
///
/// # Errors
/// Errors of the store other than damage.
pub async fn survey(store: &dyn Store) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut runs = Runs::salvaging(store);
    while let Some(page) = runs.page(&mut survey.damage).await? {
        for run in page {
            match look(store, &run).await? {
                Look { counts, damage } if damage.is_empty() => survey.whole.add(counts),
                Look { damage, .. } => survey.damage.extend(damage),
            }
            tokio::task::yield_now().await;
        }
    }
    match store.keys("", usize::MAX).await {
        Err(error) => survey.damage.push(damaged(None, error, 0, false)?),
        Ok(keys) => {
            for key in keys {
                match store.get(&key).await {
                    Ok(_) => survey.whole.values += 1,
                    Err(error) => survey.damage.push(damaged(None, error, 0, false)?),
                }
            }
        }
    }
    Ok(survey)
}

/// The result of reading a run.
pub(super) struct Look {
    pub(super) counts: Counts,
    pub(super) damage: Vec<Damage>,
}

impl Look {
    /// Whether the journal and the record are intact, so that the run can continue.
    pub(super) fn can_be_saved(&self) -> bool {
        self.damage.iter().all(|damage| damage.saved)
    }
}

/// Reads all of `run`.
pub(super) async fn look(store: &dyn Store, run: &RunId) -> Result<Look, StoreError> {
    let mut counts = Counts::default();
    let mut damage = Vec::new();
    let (commits, broken) = journal(store, run).await?;
    counts.commits = commits;
    if let Some(what) = broken {
        damage.push(Damage { run: Some(run.clone()), what, commits, saved: false });
        return Ok(Look { counts, damage });
    }
    counts.runs = u64::from(commits > 0);
    match store.blob_keys(run).await {
        Err(error) => damage.push(damaged(Some(run), error, commits, true)?),
        Ok(keys) => {
            for key in keys {
                match store.blob(run, &key).await {
                    Ok(_) => counts.blobs += 1,
                    Err(error) => damage.push(damaged(Some(run), error, commits, true)?),
                }
            }
        }
    }
    let mut after = LetterId::ZERO;
    loop {
        match store.letters(run, after, LETTERS_AT_ONCE).await {
            Err(error) => {
                damage.push(damaged(Some(run), error, commits, true)?);
                break;
            }
            Ok(letters) => {
                counts.letters += letters.len() as u64;
                let Some(last) = letters.last() else { break };
                after = last.id;
            }
        }
    }
    Ok(Look { counts, damage })
}

/// How many commits of `run` can be replayed, and what is wrong after them or with its record.
async fn journal(store: &dyn Store, run: &RunId) -> Result<(u64, Option<String>), StoreError> {
    let mut journal = Journal { run, replayer: Replayer::new(run.clone()), commits: 0, from: Seq(1) };
    let record = loop {
        if let Some(what) = journal.read(store).await? {
            return Ok((journal.commits, Some(what)));
        }
        let record = store.record(run).await;
        // NOTE: others may write: the record must be compared with the journal it was written with.
        match store.read(run, journal.from, 1).await {
            Ok(more) if !more.is_empty() => {}
            _ => break record,
        }
    };
    let Journal { replayer, commits, .. } = journal;
    let record = match record {
        Err(error) => return Ok((commits, Some(damaged(Some(run), error, commits, false)?.what))),
        Ok(record) => record,
    };
    let why = match (record, replayer.finish()) {
        // It was deleted in the meantime.
        (None, None) => None,
        (None, _) => Some(format!("run `{run}` has no record")),
        (_, None) => Some(format!("run `{run}` has no journal")),
        (Some(record), Some(state)) if record.status != state.status() => {
            Some(format!("run `{run}` is {:?} in its record, but {:?} in its journal", record.status, state.status()))
        }
        _ => None,
    };
    Ok((commits, why))
}

/// A journal being read.
struct Journal<'a> {
    run: &'a RunId,
    replayer: Replayer,
    commits: u64,
    from: Seq,
}

impl Journal<'_> {
    /// Reads to the end, or to the first damage, which is returned.
    async fn read(&mut self, store: &dyn Store) -> Result<Option<String>, StoreError> {
        loop {
            // If the store reports damage, read commits one by one, to count those before it.
            let read = match store.read(self.run, self.from, COMMITS_AT_ONCE).await {
                Err(error) if error.kind() == StoreErrorKind::Damaged => store.read(self.run, self.from, 1).await,
                read => read,
            };
            let read = match read {
                Err(error) => return Ok(Some(damaged(Some(self.run), error, self.commits, false)?.what)),
                Ok(read) => read,
            };
            let Some(last) = read.last() else { return Ok(None) };
            self.from = last.last.plus(1);
            for commit in &read {
                if let Err(error) = self.replayer.add(commit) {
                    return Ok(Some(error.to_string()));
                }
                self.commits += 1;
            }
        }
    }
}

/// Turns damage into a report. Any other error is returned.
pub(super) fn damaged(run: Option<&RunId>, error: StoreError, commits: u64, saved: bool) -> Result<Damage, StoreError> {
    if error.kind() != StoreErrorKind::Damaged {
        return Err(error);
    }
    Ok(Damage { run: run.cloned(), what: error.to_string(), commits, saved })
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.commits += other.commits;
        self.letters += other.letters;
        self.blobs += other.blobs;
        self.values += other.values;
        self.skipped += other.skipped;
    }
}
