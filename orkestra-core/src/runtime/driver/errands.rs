//! What a run owes other runs, done beside its driver: children started and cancelled, the parent told of the end.
//!
//! An errand tells its own run when it is done, through the driver's mailbox like anybody else. One that is lost with
//! its process is owed still: it is run again, and finds what the first one did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::kernel::{ChildState, InputKind, Outcome, RunState, StepState, Work, work_for_others};
use crate::model::{Amount, Failure, Name, Parent, RunId};

use super::super::blobs;
use super::super::damaged::given_up;
use super::super::error::{Error, ErrorKind};
use super::super::load::load;
use super::super::run::Run;
use super::super::shared::Shared;
use super::Driver;

/// The delay before an errand that could not be run is tried again; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

pub(super) type Errands = BTreeMap<Work, JoinHandle<()>>;

impl Driver {
    /// Runs what is owed to other runs, durable, and not under way.
    pub(super) fn run_errands(&mut self) {
        let Some(state) = &self.state else { return };
        let owed: BTreeMap<_, _> = work_for_others(state).collect();
        self.errands.retain(|work, _| owed.contains_key(work));
        for (work, since) in owed {
            if since <= self.durable && !self.errands.contains_key(&work) {
                let errand = Errand { shared: Arc::clone(&self.shared), run: self.run.clone() };
                let handle = match &work {
                    Work::StartChild { child } => {
                        child_of(state, child).map(|(node, child)| tokio::spawn(errand.start(node, child)))
                    }
                    Work::CancelChild { child } => Some(tokio::spawn(errand.cancel(child.clone()))),
                    Work::TellParent => told(state).map(|told| tokio::spawn(errand.tell(told))),
                    _ => None,
                };
                self.errands.extend(handle.map(|handle| (work, handle)));
            }
        }
    }

    /// Looks at the children again that this run waits for. A child tells by itself that it has ended; but one that is driven
    /// by another engine cannot reach a run that does not leave this one.
    pub(super) fn look_at_children(&mut self) {
        let now = self.shared.clock.now();
        if now.since(self.looked_at) < self.shared.lease {
            return;
        }
        self.looked_at = now;
        self.errands.retain(|work, errand| !(matches!(work, Work::StartChild { .. }) && errand.is_finished()));
        self.run_errands();
    }

    /// Whether no errand is under way.
    pub(super) fn errands_done(&self) -> bool {
        self.errands.values().all(JoinHandle::is_finished)
    }
}

fn child_of(state: &RunState, child: &RunId) -> Option<(Name, ChildState)> {
    let (node, step) = state.children().get(child)?;
    match state.node(*node).steps.get(step) {
        Some(StepState::Child(child)) => Some((state.name(*node).clone(), (**child).clone())),
        _ => None,
    }
}

/// The parent, and which run ended how, having spent what.
type Told = (RunId, RunId, Outcome, BTreeMap<Name, Amount>);

/// The parent, and what it is to be told.
fn told(state: &RunState) -> Option<Told> {
    let parent = state.options().parent.as_ref()?.run.clone();
    Some((parent, state.id().clone(), state.outcome()?.clone(), state.spent().clone()))
}

struct Errand {
    shared: Arc<Shared>,
    run: RunId,
}

impl Errand {
    /// Starts the child unless it is there. It will tell by itself how it ended, unless somebody else started it.
    async fn start(self, node: Name, child: ChildState) {
        let parent = Parent::new(self.run.clone(), node.clone());
        let mut patience = Patience::new(&self.shared);
        let started = loop {
            match self.child(&child, &parent).await {
                Ok(run) => break Ok(run),
                Err(error) if !is_passing(&error) => break Err(error),
                Err(error) if !patience.again(&error).await => return,
                Err(_) => {}
            }
        };
        match started {
            Ok(run) => self.watch(&run, &parent).await,
            Err(error) => {
                let failure = Failure::permanent("child_not_started", error.to_string());
                self.ended(child.run, Outcome::Failed { node, failure }, BTreeMap::new()).await;
            }
        }
    }

    /// The child: the run that is there, or a new one. One that is there may be driven by another engine: it is left to it.
    async fn child(&self, child: &ChildState, parent: &Parent) -> Result<Run, Error> {
        match self.shared.store.record(&child.run).await? {
            Some(record) if record.workflow == child.workflow => {
                Ok(Run::new(Arc::clone(&self.shared), child.run.clone()))
            }
            _ => self.shared.child_request(child, parent.clone()).start().await,
        }
    }

    /// Waits for a child that was there already and tells nobody of ours: it was started by somebody else, or has told
    /// before this run was forked.
    async fn watch(&self, child: &Run, parent: &Parent) {
        let state = match load(&*self.shared.store, child.id()).await {
            Err(error) if error.is_damaged() => {
                return given_up(self.shared.clone(), child.id().clone(), error).await;
            }
            Ok(Some(state)) => state,
            _ => return,
        };
        if state.options().parent.as_ref() == Some(parent) && !state.status().is_final() {
            return;
        }
        let Ok(outcome) = child.outcome().await else { return };
        let spent = load(&*self.shared.store, child.id()).await.ok().flatten();
        let spent = spent.map(|state| state.spent().clone()).unwrap_or_default();
        let Some(outcome) = self.adopted(&self.run, outcome).await else { return };
        self.ended(child.id().clone(), outcome, spent).await;
    }

    /// Tells the run that its child has ended.
    async fn ended(&self, child: RunId, outcome: Outcome, spent: BTreeMap<Name, Amount>) {
        self.tell_until_accepted(&self.run, InputKind::ChildEnded { child, outcome, spent }).await;
    }

    async fn cancel(self, child: RunId) {
        let reason = format!("run `{}` does not wait for it any more", self.run);
        if self.tell_until_accepted(&child, InputKind::Cancel { reason }).await {
            self.tell_until_accepted(&self.run, InputKind::ChildCancelled { child }).await;
        }
    }

    async fn tell(self, (parent, child, outcome, spent): Told) {
        let Some(outcome) = self.adopted(&parent, outcome).await else { return };
        let kind = InputKind::ChildEnded { child, outcome, spent };
        if self.tell_until_accepted(&parent, kind).await {
            self.tell_until_accepted(&self.run, InputKind::ParentTold).await;
        }
    }

    /// The outcome with its output kept for the run that is told of it, which may outlive the other.
    async fn adopted(&self, run: &RunId, outcome: Outcome) -> Option<Outcome> {
        let mut patience = Patience::new(&self.shared);
        loop {
            match blobs::adopt_outcome(&*self.shared.store, run, outcome.clone()).await {
                Ok(outcome) => return Some(outcome),
                Err(error) if !patience.again(&error).await => return None,
                Err(_) => {}
            }
        }
    }

    /// Tells until it goes well or there is nobody to tell; false when the engine shuts down or cannot drive the other run,
    /// which another engine may: then it is owed still.
    async fn tell_until_accepted(&self, run: &RunId, kind: InputKind) -> bool {
        let mut patience = Patience::new(&self.shared);
        loop {
            match self.shared.tell(run, kind.clone()).await {
                Err(error) if is_passing(&error) => {
                    if !patience.again(&error).await {
                        return false;
                    }
                }
                Err(_) if self.shared.blocked_by(run).is_some() => return false,
                // A run that is not there, has ended, or does not wait for this has nothing to be told.
                _ => return true,
            }
        }
    }
}

/// Whether the same may go well another time.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Store | ErrorKind::ShutDown | ErrorKind::Internal)
}

/// Growing delays between tries.
struct Patience<'a> {
    shared: &'a Shared,
    delay: Duration,
}

impl<'a> Patience<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, delay: AGAIN_AFTER }
    }

    /// Waits before the next try; false when there is to be none.
    async fn again(&mut self, error: &Error) -> bool {
        if error.kind() == ErrorKind::ShutDown {
            return false;
        }
        tracing::debug!(%error, "another run could not be told, it will be tried again");
        let delay = self.delay;
        self.delay = (delay * 2).min(AGAIN_AFTER_MAX);
        tokio::select! {
            biased;
            () = self.shared.down() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
