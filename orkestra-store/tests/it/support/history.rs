//! What a child process wrote, in order, and whether a store contains all of it, an older state, or a wrong state.
//!
//! The process makes one call after another. So in an older state, everything up to some call is there and nothing
//! after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, RunQuery, Store, StoreError};

/// How the part `storm` names a commit that it is about to write.
pub(crate) fn word(commit: &Written) -> String {
    format!("{}:{}:{}", commit.run, commit.last, sum(commit))
}

fn sum(commit: &Written) -> u64 {
    let mut hasher = DefaultHasher::new();
    commit.body.hash(&mut hasher);
    hasher.finish()
}

#[derive(Default)]
pub(crate) struct History {
    facts: Vec<Fact>,
    /// Runs and letters that may be gone although that was not acknowledged.
    deleting: BTreeSet<String>,
    taking: BTreeSet<(String, u64)>,
    /// The hash of every commit that was written, acknowledged or not.
    sums: BTreeMap<(String, u64), u64>,
}

struct Fact {
    what: What,
    acknowledged: bool,
}

#[derive(Debug)]
enum What {
    /// The commits of one batch: runs and last positions.
    Batch(Vec<(String, u64)>),
    Sent(String, u64),
    Gone(String, u64),
    Deleted(String),
    Counted(u64),
}

/// Why a store cannot be compared with a history.
#[derive(Debug)]
pub(crate) enum SeeError {
    /// A read failed.
    Unreadable(StoreError),
    /// It contains something that was never written.
    Invented(String),
}

impl fmt::Display for SeeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot read the store: {error}"),
            Self::Invented(what) => f.write_str(what),
        }
    }
}

impl From<StoreError> for SeeError {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

/// The content of a store.
pub(crate) struct Seen {
    runs: BTreeMap<String, BTreeSet<u64>>,
    letters: BTreeSet<(String, u64)>,
    counted: u64,
}

impl History {
    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().expect("a number");
        match words[..] {
            // What the previous process was writing when it ended may be there or not. If not, its positions are
            // reused.
            ["opened"] => self.facts.retain(|fact| fact.acknowledged),
            ["batch", ref commits @ ..] => self.hear_batch(commits),
            ["ack", run, last] => {
                let place = (run.to_owned(), number(last));
                let holds = |fact: &Fact| matches!(&fact.what, What::Batch(commits) if commits.contains(&place));
                let batch = self.facts.iter_mut().rfind(|fact| holds(fact));
                batch.expect("a batch is reported before it is written").acknowledged = true;
            }
            ["deleting", run] => {
                self.deleting.insert(run.to_owned());
            }
            ["deleted", run] => self.acknowledged(What::Deleted(run.to_owned())),
            ["sent", run, id] => self.acknowledged(What::Sent(run.to_owned(), number(id))),
            ["taking", run, id] => {
                self.taking.insert((run.to_owned(), number(id)));
            }
            ["gone", run, id] => self.acknowledged(What::Gone(run.to_owned(), number(id))),
            ["counted", version] => self.acknowledged(What::Counted(number(version))),
            _ => panic!("unknown report `{line}`"),
        }
    }

    fn hear_batch(&mut self, commits: &[&str]) {
        let mut places = Vec::new();
        for commit in commits {
            let parts: Vec<_> = commit.split(':').collect();
            let [run, last, sum] = parts[..] else { panic!("invalid commit `{commit}`") };
            let place = (run.to_owned(), last.parse().expect("a position"));
            self.sums.insert(place.clone(), sum.parse().expect("a sum"));
            places.push(place);
        }
        self.facts.push(Fact { what: What::Batch(places), acknowledged: false });
    }

    fn acknowledged(&mut self, what: What) {
        self.facts.push(Fact { what, acknowledged: true });
    }

    /// Whether anything was acknowledged.
    #[cfg(target_os = "linux")]
    pub(crate) fn any(&self) -> bool {
        self.facts.iter().any(|fact| fact.acknowledged)
    }

    /// What was acknowledged and is missing. The error says why the state is wrong: half of a batch is there, or a
    /// later write without an earlier one.
    pub(crate) fn missing(&self, seen: &Seen) -> Result<Vec<String>, String> {
        let (mut missing, mut first) = (Vec::new(), None);
        for fact in &self.facts {
            match (self.is_there(&fact.what, seen)?, first) {
                (Some(true), Some(earlier)) => {
                    return Err(format!("{:?} is there without the earlier {earlier:?}", fact.what));
                }
                (Some(false), _) => {
                    first = first.or(Some(&fact.what));
                    missing.extend(fact.acknowledged.then(|| format!("{:?}", fact.what)));
                }
                _ => {}
            }
        }
        Ok(missing)
    }

    /// Forgets what is missing: the store continues from an older state.
    #[cfg(target_os = "linux")]
    pub(crate) fn accept(&mut self, seen: &Seen) {
        let facts = std::mem::take(&mut self.facts);
        self.facts = facts.into_iter().filter(|fact| self.is_there(&fact.what, seen) != Ok(Some(false))).collect();
    }

    /// `None` when it is unknown, because it may have been removed later.
    fn is_there(&self, what: &What, seen: &Seen) -> Result<Option<bool>, String> {
        Ok(match what {
            What::Batch(commits) => {
                let mut there = None;
                for (run, last) in commits {
                    let now = match seen.runs.get(run) {
                        Some(journal) => Some(journal.contains(last)),
                        None if self.deleting.contains(run) => None,
                        None => Some(false),
                    };
                    if there.is_some() && now.is_some() && there != now {
                        return Err(format!("half of the batch {commits:?} is there"));
                    }
                    there = there.or(now);
                }
                there
            }
            What::Sent(run, id) => {
                let letter = (run.clone(), *id);
                let gone = self.taking.contains(&letter) || self.deleting.contains(run);
                let there = seen.letters.contains(&letter);
                (there || !gone).then_some(there)
            }
            What::Gone(run, id) => seen.letters.contains(&(run.clone(), *id)).then_some(false),
            What::Deleted(run) => seen.runs.contains_key(run).then_some(false),
            What::Counted(version) => Some(seen.counted >= *version),
        })
    }

    /// Reads the content of a store.
    pub(crate) async fn see(&self, store: &dyn Store) -> Result<Seen, SeeError> {
        let listed = store.list(&RunQuery { limit: usize::MAX, ..RunQuery::default() }).await?;
        let mut names: BTreeSet<RunId> = listed.items.into_iter().map(|record| record.id).collect();
        names.extend(self.sums.keys().map(|(run, _)| RunId::new(run).expect("a run's id")));
        let counted = store.get("counter").await?.map_or(0, |value| value.version);
        let mut seen = Seen { runs: BTreeMap::new(), letters: BTreeSet::new(), counted };
        for run in names {
            let journal =
                self.journal(&run, &store.read(&run, Seq(1), usize::MAX).await?).map_err(SeeError::Invented)?;
            let letters = store.letters(&run, LetterId::ZERO, usize::MAX).await?;
            seen.letters.extend(letters.into_iter().map(|letter| (run.to_string(), letter.id.0)));
            if !journal.is_empty() {
                seen.runs.insert(run.to_string(), journal);
            }
        }
        Ok(seen)
    }

    /// The last positions of the commits of a run. The error names a gap, or a commit that was never written.
    fn journal(&self, run: &RunId, commits: &[Written]) -> Result<BTreeSet<u64>, String> {
        let mut last = Seq::ZERO;
        for commit in commits {
            if commit.first != last.plus(1) {
                return Err(format!("run {run} continues with {} after {last}", commit.first));
            }
            last = commit.last;
            if self.sums.get(&(run.to_string(), last.0)) != Some(&sum(commit)) {
                return Err(format!("run {run} has a commit up to {last} that was never written"));
            }
        }
        Ok(commits.iter().map(|commit| commit.last.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_in_progress_when_a_process_ended_may_exist_or_not() {
        for position in [1, 2] {
            let mut history = History::default();
            let lines = ["opened", "batch a:1:7", "ack a 1", "batch a:2:8 b:1:8", "opened", "batch b:1:9", "ack b 1"];
            lines.iter().for_each(|line| history.hear(line));
            let runs =
                BTreeMap::from([("a".to_owned(), (1..=position).collect()), ("b".to_owned(), BTreeSet::from([1]))]);
            assert_eq!(history.missing(&Seen { runs, letters: BTreeSet::new(), counted: 0 }), Ok(Vec::new()));
        }
    }

    #[test]
    fn an_older_state_is_distinguished_from_a_wrong_one() {
        let mut history = History::default();
        let lines =
            ["opened", "batch a:1:7 b:1:7", "ack a 1", "ack b 1", "sent a 4", "batch a:2:7", "ack a 2", "counted 1"];
        lines.iter().for_each(|line| history.hear(line));
        // The last positions of `a` and `b`, whether the letter is there, the counter; then how much is missing.
        let cases = [
            (2, 1, true, 1, Ok(0)),
            (2, 1, true, 0, Ok(1)),
            (1, 1, false, 0, Ok(3)),
            (0, 0, false, 0, Ok(4)),
            (2, 0, true, 1, Err("half of the batch")),
            (2, 1, false, 1, Err("is there without")),
        ];
        for (a, b, letter, counted, expected) in cases {
            let runs = [("a", a), ("b", b)].into_iter().filter(|(_, last)| *last > 0);
            let runs = runs.map(|(run, last)| (run.to_owned(), (1..=last).collect())).collect();
            let letters = letter.then(|| ("a".to_owned(), 4)).into_iter().collect();
            let missing = history.missing(&Seen { runs, letters, counted });
            match expected {
                Ok(count) => assert_eq!(missing.map(|missing| missing.len()), Ok(count)),
                Err(why) => assert!(missing.as_ref().is_err_and(|error| error.contains(why)), "{missing:?}"),
            }
        }
    }
}
