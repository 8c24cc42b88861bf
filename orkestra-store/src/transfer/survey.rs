//! Reading everything that belongs to a run, to see whether it is whole.

use orkestra_core::journal::Replayer;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, Store, StoreError, StoreErrorKind};

use super::report::{Counts, Damage, Survey};
use super::runs::Runs;

/// Commits that are read at a time: some may be large.
pub(super) const COMMITS_AT_ONCE: usize = 64;

/// Letters that are read at a time.
pub(super) const LETTERS_AT_ONCE: usize = 32;

/// Reads all that `store` has through its own doors, replays every journal, and tells what is damaged. What only the store
/// itself can see, its indexes, is looked at by its own check, if it has one.
///
/// Nobody should write meanwhile: a run that changes while it is read may look damaged.
///
/// # Errors
/// When the store fails in another way than by being damaged.
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

/// What a look at a run found.
pub(super) struct Look {
    pub(super) counts: Counts,
    pub(super) damage: Vec<Damage>,
}

impl Look {
    /// Whether the journal and the record are good: the run can go on from them.
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

/// How many commits of `run` can be replayed, and why no more can, or why its record does not fit.
async fn journal(store: &dyn Store, run: &RunId) -> Result<(u64, Option<String>), StoreError> {
    let mut journal = Journal { run, replayer: Replayer::new(run.clone()), commits: 0, from: Seq(1) };
    let record = loop {
        if let Some(what) = journal.read(store).await? {
            return Ok((journal.commits, Some(what)));
        }
        let record = store.record(run).await;
        // NOTE: somebody may write: a record is compared with the journal that it was written with.
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
        // It was deleted meanwhile.
        (None, None) => None,
        (None, _) => Some(format!("run `{run}` has no record")),
        (_, None) => Some(format!("run `{run}` has no journal")),
        (Some(record), Some(state)) if record.status != state.status() => {
            Some(format!("the record of run `{run}` says {:?}, its journal {:?}", record.status, state.status()))
        }
        _ => None,
    };
    Ok((commits, why))
}

/// A journal on the way to its end.
struct Journal<'a> {
    run: &'a RunId,
    replayer: Replayer,
    commits: u64,
    from: Seq,
}

impl Journal<'_> {
    /// Reads on to the end, or to what is damaged: that is the answer then.
    async fn read(&mut self, store: &dyn Store) -> Result<Option<String>, StoreError> {
        loop {
            // One by one where the store finds damage: what stands before it counts.
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

/// Damage is what is looked for; any other error ends the look.
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
