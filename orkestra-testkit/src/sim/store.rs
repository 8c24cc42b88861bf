//! The store as one process sees it: remote, slow, losing answers, sometimes unreachable, and correct unless a [`Bug`] was put
//! into it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orkestra_core::journal::decode_letter;
use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{
    Append, AppendError, Claimed, Due, DueQuery, Lease, LeaseState, LetterId, Listener, Renewed, Store, StoreError,
    StoreErrorKind, StoreMethod, StoreWrapper,
};

use super::Bug;
use super::rates::WriteFault;
use super::world::{Kind, Process, World, lock};

/// The longest time that a process waits for a store that does not answer, in milliseconds.
const PATIENCE_MS_MAX: usize = 8_000;
/// The longest delay of a late write, in milliseconds.
const LATE_MS_MAX: usize = 5_000;

/// The store as one process reaches it.
pub(super) struct SimStore {
    world: Arc<World>,
    process: Arc<Process>,
}

fn refused(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Io, format!("the simulated store {why}"))
}

impl SimStore {
    pub(super) const fn new(world: Arc<World>, process: Arc<Process>) -> Self {
        Self { world, process }
    }

    /// One way of a call between process and store.
    async fn travel(&self) -> Result<(), StoreError> {
        self.world.delay().await;
        self.process.halt_if_dead().await;
        if self.process.is_cut_off() {
            self.process.disturb(self.world.now());
            let patience = self.world.draw(|chance| 1 + chance.below(PATIENCE_MS_MAX) as u64);
            tokio::time::sleep(Duration::from_millis(patience)).await;
            self.process.halt_if_dead().await;
            return Err(refused("does not answer"));
        }
        Ok(())
    }

    /// Records the answer to a claim of `run`.
    fn seen_claiming(&self, run: &RunId, claimed: Option<Claimed>, until: Timestamp) -> Option<Claimed> {
        let epoch = claimed.as_ref().map(|claimed| claimed.lease.epoch);
        self.world.note(format_args!("{} claims {run}: {epoch:?}", self.process.name));
        if let Some(epoch) = epoch {
            self.world.audit().claimed(run, epoch, &self.process.name);
        }
        claimed.map(|claimed| Claimed { lease: Lease { until, ..claimed.lease }, ..claimed })
    }

    /// The time that leases are judged by.
    fn lease_time(&self, now: Timestamp) -> Timestamp {
        if self.world.store_has_clock { self.world.now() } else { now }
    }

    /// When a lease requested until `until` ends, by the clock that leases are judged by.
    fn lease_end(&self, now: Timestamp, until: Timestamp) -> Timestamp {
        self.lease_time(now).saturating_add(until.since(now))
    }

    async fn append_with(&self, batch: Vec<Append>, fault: Option<WriteFault>) -> Vec<Result<(), AppendError>> {
        let count = batch.len();
        let unknown = |why: &str| vec![Err(AppendError::Unknown(format!("the simulated store {why}"))); count];
        if self.travel().await.is_err() {
            return unknown("does not answer");
        }
        let rates = self.world.rates();
        let sync_ms = self.world.draw(|chance| rates.delay_ms(chance));
        let answer = match fault {
            Some(WriteFault::Lost) => return unknown("lost it"),
            Some(WriteFault::Failed) => return vec![Err(refused("fails").into()); count],
            Some(WriteFault::Conflict) => {
                let last = |append: &Append| self.world.audit().last(&append.commit.run);
                return batch.iter().map(|append| Err(AppendError::Conflict { last: last(append) })).collect();
            }
            Some(WriteFault::Late) => {
                let late = self.world.draw(|chance| chance.below(LATE_MS_MAX) as u64);
                drop(self.world.send(&self.process, batch, sync_ms + late).await);
                return unknown("is slow");
            }
            Some(WriteFault::Torn) => {
                let part = self.world.draw(|chance| chance.below(count + 1));
                let batch = batch.into_iter().take(part).collect();
                drop(self.world.send(&self.process, batch, sync_ms).await.await);
                return unknown("tore it");
            }
            Some(WriteFault::AckLost) | None => self.world.send(&self.process, batch, sync_ms).await,
        };
        // The write was lost in a power failure; a surviving sender does not know its outcome.
        let Ok(answers) = answer.await else { return unknown("lost its power") };
        if self.travel().await.is_err() || fault.is_some() {
            return unknown("was not heard");
        }
        answers
    }
}

impl StoreWrapper for SimStore {
    fn inner(&self) -> &dyn Store {
        &self.world.disk
    }

    /// Performs `call` if it reaches the store. On an error, the call may have been performed.
    async fn around<T: Send>(
        &self,
        _method: StoreMethod,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.world.may_panic();
        self.travel().await?;
        let rates = self.world.rates();
        if self.world.draw(|chance| rates.fails(chance)) {
            return Err(refused("fails"));
        }
        let answer = call.await;
        self.travel().await?;
        if self.world.draw(|chance| rates.loses_the_answer(chance)) {
            return Err(refused("was not heard"));
        }
        answer
    }

    fn identity(&self) -> usize {
        // Unique, because simulated processes must not communicate within the real process.
        std::ptr::from_ref(self).addr()
    }

    fn describe(&self) -> String {
        format!("the simulated store of {}", self.process.name)
    }

    fn is_shared(&self) -> bool {
        self.world.kind == Kind::Shared
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<(), AppendError>> {
        let rates = self.world.rates();
        let fault = self.world.draw(|chance| rates.write_fault(chance));
        self.world.may_panic();
        let (process, commits) = (&self.process.name, batch.len());
        self.world.note(format_args!("{process} writes {commits} commits, {fault:?}"));
        self.append_with(batch, fault).await
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        let query = DueQuery { now: self.lease_time(query.now), ..query.clone() };
        let mut due = self.around(StoreMethod::Due, self.world.disk.due(&query)).await?;
        if self.world.bug == Some(Bug::ForgottenTimer) {
            let mut forgotten = lock(&self.world.forgotten);
            let timer = due.runs.iter().find(|place| place.wake_at > Timestamp::from_millis(1));
            if let (None, Some(first)) = (&*forgotten, timer) {
                *forgotten = Some((first.id.clone(), first.wake_at));
            }
            due.runs.retain(|place| forgotten.as_ref().is_none_or(|(id, at)| (id, at) != (&place.id, &place.wake_at)));
        }
        Ok(due)
    }

    async fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, StoreError> {
        let claim = async {
            let (time, end) = (self.lease_time(now), self.lease_end(now, until));
            let claimed = self.world.disk.claim(runs, worker, time, end).await?;
            Ok(runs.iter().zip(claimed).map(|(run, claimed)| self.seen_claiming(run, claimed, until)).collect())
        };
        self.around(StoreMethod::Claim, claim).await
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, until: Timestamp) -> Result<Vec<Renewed>, StoreError> {
        let (time, end) = (self.lease_time(now), self.lease_end(now, until));
        let renewed = self.around(StoreMethod::Renew, self.world.disk.renew(leases, time, end)).await;
        if renewed.as_ref().map_or(true, |renewed| renewed.iter().any(|renewed| !renewed.held)) {
            self.process.disturb(self.world.now());
        }
        renewed
    }

    async fn lease(&self, run: &RunId, now: Timestamp) -> Result<LeaseState, StoreError> {
        let time = self.lease_time(now);
        Ok(match self.around(StoreMethod::Lease, self.world.disk.lease(run, time)).await? {
            LeaseState::Held(lease) => {
                LeaseState::Held(Lease { until: now.saturating_add(lease.until.since(time)), ..lease })
            }
            free => free,
        })
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let release = async {
            let undisturbed = self.process.is_undisturbed(self.world.now());
            for lease in leases {
                self.world.audit().released(&lease.run, lease.epoch, undisturbed);
            }
            self.world.disk.release(leases).await
        };
        self.around(StoreMethod::Release, release).await
    }

    async fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        let discard = async {
            for letter in self.world.disk.letters(run, LetterId::ZERO, usize::MAX).await? {
                if let (true, Ok(kind)) = (letters.contains(&letter.id), decode_letter(&letter.body)) {
                    self.world.audit().discarded(run, kind);
                }
            }
            self.world.disk.discard(run, letters).await
        };
        self.around(StoreMethod::Discard, discard).await
    }

    fn listen(&self) -> Box<dyn Listener> {
        let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
        Box::new(SimListener { hears: world.disk.listen(), world, process })
    }

    async fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let delete = async {
            self.world.disk.delete(run).await?;
            self.world.note(format_args!("{run} is gone"));
            self.world.audit().deleted(run);
            Ok(())
        };
        self.around(StoreMethod::Delete, delete).await
    }
}

/// A listener that misses some letters, and all of them while its process is cut off.
struct SimListener {
    hears: Box<dyn Listener>,
    world: Arc<World>,
    process: Arc<Process>,
}

#[async_trait]
impl Listener for SimListener {
    async fn next(&mut self) -> Option<RunId> {
        loop {
            let heard = self.hears.next().await;
            let lost = self.world.draw(|chance| chance.one_in(4));
            if !lost && !self.process.is_cut_off() {
                return heard;
            }
        }
    }
}
