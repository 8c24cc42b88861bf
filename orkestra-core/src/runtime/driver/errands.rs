//! Errands: what a run owes other runs, done in the background. Children are started and cancelled, the parent gets the
//! outcome.
//!
//! When an errand is done, it sends its own run a message, like any other sender. If it is lost with its process, it is
//! still owed: it runs again and finds what the first one did.

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

/// The first delay before a failed errand is repeated; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

pub(super) type Errands = BTreeMap<Work, JoinHandle<()>>;

impl Session<'_> {
    /// Starts the errands that are owed, durable and not running yet.
    pub(super) fn run_errands(&mut self) {
        let state = &self.state;
        let owed: BTreeMap<_, _> = work_for_others(state).collect();
        self.errands.retain(|work, errand| {
            let is_owed = owed.contains_key(work);
            if !is_owed {
                // A late errand must not start something that is no longer waited for.
                errand.abort();
            }
            is_owed
        });
        let jobs = &self.driver.shared.jobs;
        for (work, since) in owed {
            if since <= self.driver.known.durable && !self.errands.contains_key(&work) {
                let errand = Errand { shared: Arc::clone(&self.driver.shared), run: self.driver.run.clone() };
                let handle = match &work {
                    Work::StartChild { child } => {
                        child_of(state, child).map(|(parent, child)| jobs.spawn(errand.start(parent, child)))
                    }
                    Work::CancelChild { child } => abandoned(state, child)
                        .map(|(parent, workflow)| jobs.spawn(errand.cancel(child.clone(), parent, workflow))),
                    Work::TellParent => parent_report(state).map(|report| jobs.spawn(errand.report(report))),
                    _ => None,
                };
                self.errands.extend(handle.map(|handle| (work, handle)));
            }
        }
    }

    /// Checks the children that this run waits for. A child reports its end itself, but one that another engine drives
    /// cannot reach a run that never leaves this engine.
    pub(super) fn look_at_children(&mut self) {
        if self.looked_at.elapsed() < self.driver.shared.lease {
            return;
        }
        self.looked_at = Instant::now();
        self.errands.retain(|work, errand| !(matches!(work, Work::StartChild { .. }) && errand.is_finished()));
        self.run_errands();
    }

    /// The child has ended and may be deleted from now on: a late errand must not start it again.
    pub(super) fn stop_starting(&mut self, child: &RunId) {
        if let Some(errand) = self.errands.remove(&Work::StartChild { child: child.clone() }) {
            errand.abort();
        }
    }

    /// Whether no errand is running.
    pub(super) fn errands_done(&self) -> bool {
        self.errands.values().all(JoinHandle::is_finished)
    }
}

/// A child that is waited for, and the request for it.
fn child_of(state: &RunState, child: &RunId) -> Option<(Parent, ChildState)> {
    let (node, step) = state.children().get(child)?;
    match state.node(*node).steps.get(step) {
        Some(StepState::Child(known)) => Some((state.parent_of(child)?, (**known).clone())),
        _ => None,
    }
}

/// The request for a child that is no longer waited for, and its workflow.
fn abandoned(state: &RunState, child: &RunId) -> Option<(Parent, Name)> {
    Some((state.parent_of(child)?, state.abandoned().get(child)?.workflow.clone()))
}

/// The state of a requested child.
enum Found {
    /// It exists and will report its outcome itself.
    Child,
    /// It has ended and already reported its outcome, before the waiting run was truncated or reopened.
    Ended(Outcome, BTreeMap<Name, Amount>),
    /// Another run has its id.
    Another(Failure),
    /// It exists, but cannot be read.
    Unreadable(Error),
}

/// The parent; the run, its workflow, its outcome and its spending.
type ParentReport = (RunId, RunId, Name, Outcome, BTreeMap<Name, Amount>);

/// The parent and what to report to it.
fn parent_report(state: &RunState) -> Option<ParentReport> {
    let parent = state.options().parent.as_ref()?.run.clone();
    let workflow = state.plan().workflow().clone();
    Some((parent, state.id().clone(), workflow, state.outcome()?.clone(), state.spent().clone()))
}

struct Errand {
    shared: Arc<Shared>,
    run: RunId,
}

impl Errand {
    /// Starts the child unless it exists.
    async fn start(self, parent: Parent, child: ChildState) {
        let mut patience = Patience::new(&self.shared);
        let found = loop {
            match guarded(self.find(&child, &parent)).await {
                Ok(found) => break found,
                // Its input, or the run itself, is damaged.
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

    /// Starts the child, or finds the existing run if this very request started it. An existing run may be driven by
    /// another engine: it is left alone.
    async fn find(&self, child: &ChildState, parent: &Parent) -> Result<Found, Error> {
        if self.shared.store.record(&child.run).await?.is_none() {
            let is_new = self.shared.begin_new(self.shared.child_run(child, parent.clone())?).await?;
            if is_new {
                return Ok(Found::Child);
            }
        }
        let state = match load(&*self.shared.store, &child.run).await {
            // The parent is told that the run cannot be read.
            Err(error) if error.is_damaged() => return Ok(Found::Unreadable(error)),
            state => state?,
        };
        let Some(state) = state else {
            return Err(Error::new(
                ErrorKind::Unknown,
                format!("run `{}` was deleted while it was being started; it is started again", child.run),
            ));
        };
        let theirs = state.options().parent.as_ref();
        Ok(match state.outcome() {
            _ if !parent.asked_for(theirs) => Found::Another(not_started(another(&child.run, theirs))),
            Some(outcome) if !state.owes_parent() => Found::Ended(outcome.clone(), state.spent().clone()),
            _ => Found::Child,
        })
    }

    /// Reports to the run that its child has ended.
    async fn ended(&self, child: RunId, outcome: Outcome, spent: BTreeMap<Name, Amount>) {
        self.deliver(&self.run, InputKind::ChildEnded { child, outcome, spent }).await;
    }

    /// Cancels the child, or reserves its id so that it cannot be started.
    async fn cancel(self, child: RunId, parent: Parent, workflow: Name) {
        let reason = format!("its parent run `{}` no longer waits for it", self.run);
        let kind = InputKind::CancelChild { parent, workflow, reason, incarnation: None };
        if self.deliver(&child, kind).await {
            self.deliver(&self.run, InputKind::ChildCancelled { child }).await;
        }
    }

    async fn report(self, (parent, child, workflow, outcome, spent): ParentReport) {
        let Some(outcome) = self.adopted((&self.run, &parent), &workflow, outcome).await else { return };
        let kind = InputKind::ChildEnded { child, outcome, spent };
        if self.deliver(&parent, kind).await {
            self.deliver(&self.run, InputKind::ParentTold).await;
        }
    }

    /// The first run's outcome with its output copied for the second, which may outlive the first. An output that
    /// cannot be read becomes a failure with the reason.
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

    /// Repeats until it is accepted or there is no receiver; returns `false` if the engine shuts down: then it is still
    /// owed.
    async fn deliver(&self, run: &RunId, kind: InputKind) -> bool {
        let mut patience = Patience::new(&self.shared);
        loop {
            match guarded(self.shared.tell_checked(run, kind.clone())).await {
                Err(error) if error.is_damaged() && is_over(&self.shared, run).await.unwrap_or(false) => return true,
                Err(error) if is_passing(&error) => {
                    if !patience.again(&error).await {
                        return false;
                    }
                }
                // It waits in the other run's inbox, which is not being read at the moment. If it counted as delivered,
                // this run could be deleted, and the other run's next driver would start it again.
                Ok(false) => {
                    if !patience.again(&Error::elsewhere()).await {
                        return false;
                    }
                }
                // A run that does not exist, has ended or does not wait for this needs no report.
                _ => return true,
            }
        }
    }
}

/// A panic counts as a temporary error: what is owed stays owed.
async fn guarded<T, E: Into<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    let panicked = |panic| Err(Error::new(ErrorKind::Internal, format!("an errand panicked: {panic}")));
    panics::guard(work).await.map_or_else(panicked, |done| done.map_err(Into::into))
}

fn not_started(message: String) -> Failure {
    Failure::permanent(FailureKind::ChildNotStarted, message)
}

/// The message if another run has the child's id.
fn another(run: &RunId, parent: Option<&Parent>) -> String {
    let whose = match parent {
        None => "not a child of any run".to_owned(),
        Some(parent) => format!("a child of node `{}` of run `{}`, from another request", parent.node, parent.run),
    };
    format!("run `{run}` already exists and is {whose}; it is left alone")
}

/// Whether a repetition may succeed.
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

    /// Waits before the next try; returns `false` if there must be none.
    async fn again(&mut self, error: &Error) -> bool {
        if error.kind() == ErrorKind::ShutDown {
            return false;
        }
        tracing::debug!(%error, "cannot reach another run; trying again");
        let delay = self.delay;
        self.delay = (delay * 2).min(AGAIN_AFTER_MAX);
        tokio::select! {
            biased;
            () = self.shared.down() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
