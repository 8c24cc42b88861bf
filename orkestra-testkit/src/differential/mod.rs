//! Differential tests of stores: makes the same random calls on two stores and compares their answers.

mod driven;

use std::collections::BTreeMap;
use std::fmt::Debug;

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{
    AppendError, Claimed, DueCursor, DueQuery, Lease, LeaseState, LetterId, ListCursor, RunQuery, Store, StoreError,
    StoreErrorKind, claim_one,
};

use crate::chance::Chance;

use driven::Driven;

/// Makes `calls` calls on both stores, chosen by `seed`, and compares their answers.
///
/// Both stores must be empty. Epochs and letter ids are each store's own: they are not compared, but used in later calls, so
/// that what one store fences the other must fence too.
///
/// # Errors
/// The first call that the stores answer differently, with the seed.
pub async fn compare(seed: u64, calls: usize, left: &dyn Store, right: &dyn Store) -> Result<(), String> {
    let mut pair = Pair { stores: [left, right], chance: Chance::new(seed), ..Pair::empty(left, right) };
    for call in 0..calls {
        pair.call().await.map_err(|difference| {
            format!("seed {seed}, call {call}: {} and {} differ: {difference}", left.describe(), right.describe())
        })?;
    }
    pair.compare_all().await.map_err(|difference| format!("seed {seed}, at the end: {difference}"))
}

const RUNS: usize = 12;
const WORKERS: [&str; 3] = ["one", "two", "three"];
const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "c"];

struct Pair<'a> {
    stores: [&'a dyn Store; 2],
    chance: Chance,
    runs: Vec<Driven>,
    leases: Vec<[Lease; 2]>,
    letters: Vec<(RunId, [LetterId; 2])>,
    cursor: Option<ListCursor>,
    due: Option<DueCursor>,
    now: u64,
}

fn same<T: PartialEq + Debug>(what: impl Debug, left: &T, right: &T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what:?}: {left:?} and {right:?}")) }
}

impl<'a> Pair<'a> {
    fn empty(left: &'a dyn Store, right: &'a dyn Store) -> Self {
        let (stores, chance) = ([left, right], Chance::new(0));
        Self {
            stores,
            chance,
            runs: Vec::new(),
            leases: Vec::new(),
            letters: Vec::new(),
            cursor: None,
            due: None,
            now: 1_000,
        }
    }

    async fn call(&mut self) -> Result<(), String> {
        self.now += self.chance.next_u64() % 50;
        match self.chance.below(28) {
            0..8 => self.append().await,
            8..10 => self.read().await,
            10 => self.record().await,
            11 | 12 => self.list().await,
            13 => self.due().await,
            14 | 15 => self.claim().await,
            16 => self.release().await,
            17 => self.small().await,
            18 => self.keys().await,
            19 | 20 => self.renew().await,
            21 => self.blob().await,
            22 | 23 => self.send().await,
            24 => self.letters().await,
            25 => self.discard().await,
            26 => self.lease().await,
            _ => self.delete().await,
        }
    }

    fn some_run(&mut self) -> usize {
        if self.runs.len() < RUNS && (self.runs.is_empty() || self.chance.one_in(4)) {
            let driven = Driven::new(self.runs.len(), self.now, &mut self.chance);
            self.runs.push(driven);
        }
        self.chance.below(self.runs.len())
    }

    fn some_id(&mut self) -> RunId {
        let run = self.some_run();
        self.runs[run].sample.id().clone()
    }

    async fn append(&mut self) -> Result<(), String> {
        let mut batches = [Vec::new(), Vec::new()];
        for _ in 0..=self.chance.below(6) {
            let run = self.some_run();
            let driven = &mut self.runs[run];
            // Usually the next commit; otherwise an earlier one again, or one that comes too early because one is skipped.
            let choice = self.chance.below(8);
            if choice == 0 {
                driven.next(&mut self.chance);
            }
            let append = if choice == 1 && !driven.made.is_empty() {
                Some(self.chance.pick(&driven.made).clone())
            } else {
                driven.next(&mut self.chance)
            };
            let Some(append) = append else { continue };
            let lease = self.leases.iter().rev().filter(|pair| pair[0].run == append.commit.run);
            let lease = lease.take(2).last().filter(|_| !self.chance.one_in(5));
            let mine = self.letters.iter().filter(|(run, _)| *run == append.commit.run).map(|(_, ids)| *ids);
            let taken: Vec<_> = mine.filter(|_| self.chance.one_in(4)).collect();
            for (side, batch) in batches.iter_mut().enumerate() {
                let mut append = append.clone();
                append.taken = taken.iter().map(|ids| ids[side]).collect();
                append.commit.epoch = lease.map_or(Epoch(0), |pair| pair[side].epoch);
                batch.push(append);
            }
        }
        let [left, right] = batches;
        let what: Vec<_> = left.iter().map(|append| (append.commit.run.clone(), append.commit.first)).collect();
        let [left, right] = [self.stores[0].append(left).await, self.stores[1].append(right).await];
        same(("append", what), &anonymous(left), &anonymous(right))
    }

    async fn read(&mut self) -> Result<(), String> {
        let (run, from, limit) = (self.some_id(), Seq(self.chance.next_u64() % 40), self.chance.below(10));
        self.same_journal(&run, from, limit).await
    }

    async fn same_journal(&self, run: &RunId, from: Seq, limit: usize) -> Result<(), String> {
        let mut journals = Vec::new();
        for store in self.stores {
            let commits = store.read(run, from, limit).await.map_err(|error| error.to_string())?;
            let commits = commits.into_iter().map(|commit| (commit.run, commit.first, commit.last, commit.body));
            journals.push(commits.collect::<Vec<_>>());
        }
        same(("read", run, from, limit), &journals[0], &journals[1])
    }

    async fn record(&mut self) -> Result<(), String> {
        let run = self.some_id();
        let [left, right] = self.stores;
        same(("record", &run), &left.record(&run).await, &right.record(&run).await)
    }

    async fn list(&mut self) -> Result<(), String> {
        let mut labels = BTreeMap::new();
        if self.chance.one_in(2) {
            labels.insert("shard".to_owned(), ["x", "y"][self.chance.below(2)].to_owned());
        }
        const STATUSES: [&[RunStatus]; 6] = [
            &[],
            &[],
            &[RunStatus::Running],
            &[RunStatus::Completed],
            &RunStatus::LIVE,
            &[RunStatus::Running, RunStatus::Completed],
        ];
        let statuses = self.chance.pick(&STATUSES).iter().copied().collect();
        let cursor = self.cursor.take();
        let time = |chance: &mut Chance| chance.one_in(4).then(|| Timestamp::from_millis(chance.next_u64() % 8_000));
        let (created_from, created_until) = (time(&mut self.chance), time(&mut self.chance));
        let limit = self.chance.below(5);
        let query = RunQuery { statuses, labels, created_from, created_until, cursor, limit, ..RunQuery::default() };
        let [left, right] = [self.stores[0].list(&query).await, self.stores[1].list(&query).await];
        same(("list", &query), &left, &right)?;
        self.cursor = left.ok().and_then(|page| page.next);
        Ok(())
    }

    async fn due(&mut self) -> Result<(), String> {
        let after = self.due.take();
        let until = Timestamp::from_millis(self.chance.next_u64() % 6_000);
        let query = DueQuery { now: Timestamp::from_millis(self.now), until, after, limit: self.chance.below(6) };
        let [left, right] = [self.stores[0].due(&query).await, self.stores[1].due(&query).await];
        same(("due", &query), &left, &right)?;
        self.due = left.ok().and_then(|due| due.runs.last().cloned()).filter(|_| self.chance.one_in(2));
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), String> {
        let run = self.some_id();
        let worker = WorkerId::new(self.chance.pick(&WORKERS)).expect("a worker's name");
        let mut leases = Vec::new();
        let (now, until) = (Timestamp::from_millis(self.now), self.some_end());
        for store in self.stores {
            leases.push(claim_one(store, &run, &worker, now, until).await.map_err(|error| error.to_string())?);
        }
        let told = |claimed: &Option<Claimed>| claimed.as_ref().map(|claimed| (claimed.last, claimed.mail));
        same(("claim", &run, &worker), &told(&leases[0]), &told(&leases[1]))?;
        if let [Some(left), Some(right)] = &leases[..] {
            self.leases.push([left.lease.clone(), right.lease.clone()]);
        }
        Ok(())
    }

    /// When a lease that begins now expires: at once, soon or never.
    fn some_end(&mut self) -> Timestamp {
        let length = *self.chance.pick(&[0, 100, 1_000, u64::MAX / 2]);
        Timestamp::from_millis(self.now + length)
    }

    async fn renew(&mut self) -> Result<(), String> {
        let mut sides = [Vec::new(), Vec::new()];
        for _ in 0..self.chance.below(4) {
            if self.leases.is_empty() {
                break;
            }
            let [left, right] = self.chance.pick(&self.leases).clone();
            sides[0].push(left);
            sides[1].push(right);
        }
        let (now, until) = (Timestamp::from_millis(self.now), self.some_end());
        let [left, right] = self.stores;
        let answers = [left.renew(&sides[0], now, until).await, right.renew(&sides[1], now, until).await];
        same(("renew", sides[0].len(), until), &answers[0], &answers[1])
    }

    async fn blob(&mut self) -> Result<(), String> {
        let (run, key) = (self.some_id(), *self.chance.pick(&KEYS));
        let [left, right] = self.stores;
        same(("blob", &run, key), &left.blob(&run, key).await, &right.blob(&run, key).await)?;
        let bytes = vec![self.chance.next_u64().to_le_bytes()[0]; self.chance.below(12_000)];
        same("put_blob", &left.put_blob(&run, key, &bytes).await, &right.put_blob(&run, key, &bytes).await)
    }

    async fn send(&mut self) -> Result<(), String> {
        let run = self.some_id();
        let body = vec![self.chance.next_u64().to_le_bytes()[0]; self.chance.below(200)];
        let [left, right] = [self.stores[0].send(&run, &body).await, self.stores[1].send(&run, &body).await];
        let answer = |sent: &Result<LetterId, StoreError>| sent.as_ref().map(|_| ()).map_err(plain);
        same(("send", &run), &answer(&left), &answer(&right))?;
        if let (Ok(left), Ok(right)) = (left, right) {
            self.letters.push((run, [left, right]));
        }
        Ok(())
    }

    async fn letters(&mut self) -> Result<(), String> {
        let (run, limit) = (self.some_id(), self.chance.below(5));
        let after = self.letters.iter().rev().find(|(of, _)| *of == run).map_or([LetterId::ZERO; 2], |(_, ids)| *ids);
        let after = if self.chance.one_in(2) { after } else { [LetterId::ZERO; 2] };
        self.same_letters(&run, after, limit).await
    }

    async fn same_letters(&self, run: &RunId, after: [LetterId; 2], limit: usize) -> Result<(), String> {
        let mut boxes = Vec::new();
        for (store, after) in self.stores.into_iter().zip(after) {
            let letters = store.letters(run, after, limit).await.map_err(|error| error.to_string())?;
            boxes.push(letters.into_iter().map(|letter| letter.body).collect::<Vec<_>>());
        }
        same(("letters", run, after, limit), &boxes[0], &boxes[1])
    }

    async fn discard(&mut self) -> Result<(), String> {
        if self.letters.is_empty() {
            return Ok(());
        }
        let (run, ids) = self.chance.pick(&self.letters).clone();
        let [left, right] = self.stores;
        same(("discard", &run), &left.discard(&run, &ids[..1]).await, &right.discard(&run, &ids[1..]).await)
    }

    async fn release(&mut self) -> Result<(), String> {
        if self.leases.is_empty() {
            return Ok(());
        }
        let leases = self.chance.pick(&self.leases).clone();
        let [left, right] = self.stores;
        if self.chance.one_in(6) {
            let worker = &leases[0].worker;
            return same("release_all", &left.release_all(worker).await, &right.release_all(worker).await);
        }
        same("release", &left.release(&leases[..1]).await, &right.release(&leases[1..]).await)
    }

    async fn lease(&mut self) -> Result<(), String> {
        let (run, now) = (self.some_id(), Timestamp::from_millis(self.now));
        let mut leases = Vec::new();
        for store in self.stores {
            let mut answer = store.lease(&run, now).await;
            if let Ok(LeaseState::Held(lease)) = &mut answer {
                // Each store has its own epochs, and the times of a database end earlier.
                lease.epoch = Epoch(0);
                lease.until = lease.until.min(Timestamp::from_millis(u64::MAX / 2));
            }
            leases.push(answer);
        }
        same(("lease", &run, now), &leases[0], &leases[1])
    }

    async fn small(&mut self) -> Result<(), String> {
        let key = *self.chance.pick(&KEYS);
        let [left, right] = self.stores;
        let current = left.get(key).await;
        same(("get", key), &current, &right.get(key).await)?;
        let version = current.ok().flatten().map_or(0, |value| value.version);
        let expected = if self.chance.one_in(4) { self.chance.next_u64() % 4 } else { version };
        let bytes = vec![7; self.chance.below(12_000)];
        let [left, right] = [left.put(key, expected, &bytes).await, right.put(key, expected, &bytes).await];
        same(("put", key, expected), &left, &right)
    }

    async fn keys(&mut self) -> Result<(), String> {
        let (prefix, limit) = (*self.chance.pick(&["", "a", "a/", "z"]), self.chance.below(6));
        let [left, right] = self.stores;
        same(("keys", prefix, limit), &left.keys(prefix, limit).await, &right.keys(prefix, limit).await)
    }

    async fn delete(&mut self) -> Result<(), String> {
        let number = self.some_run();
        // Rarely, because a deleted run leaves little to compare.
        if !self.chance.one_in(3) {
            return Ok(());
        }
        let run = self.runs[number].sample.id().clone();
        self.letters.retain(|(of, _)| *of != run);
        self.runs[number] = Driven::new(number, self.now, &mut self.chance);
        let [left, right] = self.stores;
        same(("delete", &run), &left.delete(&run).await, &right.delete(&run).await)
    }

    async fn compare_all(&self) -> Result<(), String> {
        let [left, right] = self.stores;
        for driven in &self.runs {
            let run = driven.sample.id();
            self.same_journal(run, Seq(0), usize::MAX).await?;
            same(("record", run), &left.record(run).await, &right.record(run).await)?;
            same(("blob_keys", run), &left.blob_keys(run).await, &right.blob_keys(run).await)?;
            self.same_letters(run, [LetterId::ZERO; 2], usize::MAX).await?;
            for key in KEYS {
                same(("blob", run, key), &left.blob(run, key).await, &right.blob(run, key).await)?;
            }
        }
        let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
        same("list", &left.list(&query).await, &right.list(&query).await)?;
        let end = DueQuery::at(Timestamp::from_millis(u64::MAX), usize::MAX);
        same("due", &left.due(&end).await, &right.due(&end).await)?;
        for key in KEYS {
            same(("get", key), &left.get(key).await, &right.get(key).await)?;
        }
        Ok(())
    }
}

/// The kind of an error, with the text that all stores give for an invalid request; other texts are each store's own.
fn plain(error: &StoreError) -> String {
    let text = if error.kind() == StoreErrorKind::Invalid { error.to_string() } else { String::new() };
    format!("{:?}: {text}", error.kind())
}

/// The answers without epochs and the error texts of the store itself.
fn anonymous(answers: Vec<Result<(), AppendError>>) -> Vec<Result<(), String>> {
    let anonymous = |error| match error {
        AppendError::Conflict { last } => format!("conflict, the journal ends at {last}"),
        AppendError::Fenced { .. } => "fenced".into(),
        AppendError::Unknown(_) => "unknown".into(),
        AppendError::Failed(error) => format!("failed: {}", plain(&error)),
        other => other.to_string(),
    };
    answers.into_iter().map(|answer| answer.map_err(anonymous)).collect()
}
