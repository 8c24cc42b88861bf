//! What a run owes other runs, done beside its driver: children started and cancelled, the parent told of the end.
//!
//! An errand tells its own run when it is done, through the driver's mailbox like anybody else. One that is lost with
//! its process is owed still: it is run again, and finds what the first one did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::kernel::{ChildState, InputKind, Outcome, RunState, StepState, Work, work_for_others};
use crate::model::{Amount, Failure, FailureKind, Name, Parent, RunId};

use super::session::Session;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::ownership::damaged::{given_up, is_over, unreadable};
use crate::runtime::shared::Shared;
use crate::runtime::storage::blobs;
use crate::runtime::storage::load::load;
use crate::runtime::support::panics;

/// The delay before an errand that could not be run is tried again; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

pub(super) type Errands = BTreeMap<Work, JoinHandle<()>>;

impl Session<'_> {
    /// Runs what is owed to other runs, durable, and not under way.
    pub(super) fn run_errands(&mut self) {
        let state = &self.state;
        let owed: BTreeMap<_, _> = work_for_others(state).collect();
        self.errands.retain(|work, errand| {
            let is_owed = owed.contains_key(work);
            if !is_owed {
                // One that is late must not begin what nobody waits for.
                errand.abort();
            }
            is_owed
        });
        let jobs = &self.driver.shared.jobs;
        for (work, since) in owed {
            if since <= self.driver.durable && !self.errands.contains_key(&work) {
                let errand = Errand { shared: Arc::clone(&self.driver.shared), run: self.driver.run.clone() };
                let handle = match &work {
                    Work::StartChild { child } => {
                        child_of(state, child).map(|(parent, child)| jobs.spawn(errand.start(parent, child)))
                    }
                    Work::CancelChild { child } => abandoned(state, child)
                        .map(|(parent, workflow)| jobs.spawn(errand.cancel(child.clone(), parent, workflow))),
                    Work::TellParent => told(state).map(|told| jobs.spawn(errand.tell(told))),
                    _ => None,
                };
                self.errands.extend(handle.map(|handle| (work, handle)));
            }
        }
    }

    /// Looks at the children again that this run waits for. A child tells by itself that it has ended; but one that is driven
    /// by another engine cannot reach a run that does not leave this one.
    pub(super) fn look_at_children(&mut self) {
        if self.looked_at.elapsed() < self.driver.shared.lease {
            return;
        }
        self.looked_at = Instant::now();
        self.errands.retain(|work, errand| !(matches!(work, Work::StartChild { .. }) && errand.is_finished()));
        self.run_errands();
    }

    /// The child has ended, and may be deleted from now on: an errand that is late must not begin it anew.
    pub(super) fn stop_starting(&mut self, child: &RunId) {
        if let Some(errand) = self.errands.remove(&Work::StartChild { child: child.clone() }) {
            errand.abort();
        }
    }

    /// Whether no errand is under way.
    pub(super) fn errands_done(&self) -> bool {
        self.errands.values().all(JoinHandle::is_finished)
    }
}

/// A child that is waited for, and who asked for it.
fn child_of(state: &RunState, child: &RunId) -> Option<(Parent, ChildState)> {
    let (node, step) = state.children().get(child)?;
    match state.node(*node).steps.get(step) {
        Some(StepState::Child(known)) => Some((state.parent_of(child)?, (**known).clone())),
        _ => None,
    }
}

/// Who asked for a child that nobody waits for any more, and its workflow.
fn abandoned(state: &RunState, child: &RunId) -> Option<(Parent, Name)> {
    Some((state.parent_of(child)?, state.abandoned().get(child)?.workflow.clone()))
}

/// What became of a child that was asked for.
enum Found {
    /// It is there and tells by itself how it ended.
    Child,
    /// It has ended, and owes nobody the news any more: it has told before the run that waits was cut short or reopened.
    Ended(Outcome, BTreeMap<Name, Amount>),
    /// Another run is there in its place.
    Another(Failure),
    /// It is there, and nobody can read it.
    Unreadable(Error),
}

/// The parent, and which run of which workflow ended how, having spent what.
type Told = (RunId, RunId, Name, Outcome, BTreeMap<Name, Amount>);

/// The parent, and what it is to be told.
fn told(state: &RunState) -> Option<Told> {
    let parent = state.options().parent.as_ref()?.run.clone();
    let workflow = state.plan().workflow().clone();
    Some((parent, state.id().clone(), workflow, state.outcome()?.clone(), state.spent().clone()))
}

struct Errand {
    shared: Arc<Shared>,
    run: RunId,
}

impl Errand {
    /// Starts the child unless it is there.
    async fn start(self, parent: Parent, child: ChildState) {
        let mut patience = Patience::new(&self.shared);
        let found = loop {
            match guarded(self.find(&child, &parent)).await {
                Ok(found) => break found,
                // What it is to work on is lost, or what was there of it.
                Err(error) if error.is_damaged() || !is_passing(&error) => {
                    break Found::Another(not_started(error.to_string()));
                }
                Err(error) if !patience.again(&error).await => return,
                Err(_) => {}
            }
        };
        match found {
            Found::Child => {}
            Found::Unreadable(error) => given_up(Arc::clone(&self.shared), child.run, error).await,
            Found::Ended(outcome, spent) => {
                let between = (&child.run, &self.run);
                let Some(outcome) = self.adopted(between, &child.workflow, outcome).await else { return };
                self.ended(child.run, outcome, spent).await;
            }
            Found::Another(failure) => {
                let outcome = Outcome::Failed { node: parent.node, failure };
                self.ended(child.run, outcome, BTreeMap::new()).await;
            }
        }
    }

    /// The child: a new run, or the one that is there, if this very request has asked for it. One that is there may be
    /// driven by another engine: it is left to it.
    async fn find(&self, child: &ChildState, parent: &Parent) -> Result<Found, Error> {
        if self.shared.store.record(&child.run).await?.is_none() {
            let is_new = self.shared.begin_new(self.shared.child_run(child, parent.clone())?).await?;
            if is_new {
                return Ok(Found::Child);
            }
        }
        let state = match load(&*self.shared.store, &child.run).await {
            // Its parent is told that nobody can read it.
            Err(error) if error.is_damaged() => return Ok(Found::Unreadable(error)),
            state => state?,
        };
        let Some(state) = state else {
            return Err(Error::new(ErrorKind::Unknown, format!("run `{}` is gone again", child.run)));
        };
        let theirs = state.options().parent.as_ref();
        Ok(match state.outcome() {
            _ if !parent.asked_for(theirs) => Found::Another(not_started(another(&child.run, theirs))),
            Some(outcome) if !state.owes_parent() => Found::Ended(outcome.clone(), state.spent().clone()),
            _ => Found::Child,
        })
    }

    /// Tells the run that its child has ended.
    async fn ended(&self, child: RunId, outcome: Outcome, spent: BTreeMap<Name, Amount>) {
        self.tell_until_accepted(&self.run, InputKind::ChildEnded { child, outcome, spent }).await;
    }

    /// Cancels the child, or keeps its id from whoever is about to start it.
    async fn cancel(self, child: RunId, parent: Parent, workflow: Name) {
        let reason = format!("run `{}` does not wait for it any more", self.run);
        let kind = InputKind::CancelChild { parent, workflow, reason, incarnation: None };
        if self.tell_until_accepted(&child, kind).await {
            self.tell_until_accepted(&self.run, InputKind::ChildCancelled { child }).await;
        }
    }

    async fn tell(self, (parent, child, workflow, outcome, spent): Told) {
        let Some(outcome) = self.adopted((&self.run, &parent), &workflow, outcome).await else { return };
        let kind = InputKind::ChildEnded { child, outcome, spent };
        if self.tell_until_accepted(&parent, kind).await {
            self.tell_until_accepted(&self.run, InputKind::ParentTold).await;
        }
    }

    /// The outcome of the first run with its output kept for the second, which is told of it and may outlive the other. An
    /// output that nobody can read is none: whoever waits for it hears why.
    async fn adopted(&self, between: (&RunId, &RunId), workflow: &Name, outcome: Outcome) -> Option<Outcome> {
        let mut patience = Patience::new(&self.shared);
        loop {
            let kept = blobs::adopt_outcome(&*self.shared.store, between, outcome.clone());
            match guarded(kept).await {
                Ok(outcome) => return Some(outcome),
                Err(error) if error.is_damaged() || !is_passing(&error) => return Some(unreadable(workflow, &error)),
                Err(error) if !patience.again(&error).await => return None,
                Err(_) => {}
            }
        }
    }

    /// Tells until it goes well or there is nobody to tell; false when the engine shuts down: then it is owed still.
    async fn tell_until_accepted(&self, run: &RunId, kind: InputKind) -> bool {
        let mut patience = Patience::new(&self.shared);
        loop {
            match guarded(self.shared.tell_surely(run, kind.clone())).await {
                Err(error) if error.is_damaged() && is_over(&self.shared, run).await.unwrap_or(false) => return true,
                Err(error) if is_passing(&error) => {
                    if !patience.again(&error).await {
                        return false;
                    }
                }
                // It waits in the other run's inbox, which nobody reads at the moment. Were it taken for told, this run
                // could be deleted, and whoever drives the other one next would begin it anew.
                Ok(false) => {
                    if !patience.again(&Error::elsewhere()).await {
                        return false;
                    }
                }
                // A run that is not there, has ended, or does not wait for this has nothing to be told.
                _ => return true,
            }
        }
    }
}

/// A panic on the way counts as an error that may pass: what is owed stays owed.
async fn guarded<T, E: Into<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    let panicked = |panic| Err(Error::new(ErrorKind::Internal, format!("an errand panicked: {panic}")));
    panics::guard(work).await.map_or_else(panicked, |done| done.map_err(Into::into))
}

fn not_started(message: String) -> Failure {
    Failure::permanent(FailureKind::ChildNotStarted, message)
}

/// Says whose run it is that stands where a child was to be.
fn another(run: &RunId, parent: Option<&Parent>) -> String {
    let whose = match parent {
        None => "nobody's child".to_owned(),
        Some(parent) => format!("a child of node `{}` of run `{}`, asked for at another time", parent.node, parent.run),
    };
    format!("run `{run}` is there already and is {whose}: it is not taken over")
}

/// Whether the same may go well another time.
fn is_passing(error: &Error) -> bool {
    let kind =
        matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Store | ErrorKind::ShutDown | ErrorKind::Internal);
    kind || error.is_not_drivable()
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
