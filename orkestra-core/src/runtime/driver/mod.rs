//! The driver of one run: the only writer of its state.
//!
//! ```text
//! claim, replay, recover ──► wait for: acknowledgement | message | report | timer | shutdown
//!        ▲                        │ decide + apply (not visible yet) ──► committer
//!        │ append failed          ▼ acknowledged
//!        └──────────────── publish ► answer ► perform what the state owes
//! ```
//!
//! It must never show, answer or perform anything that is not durable. If the committer answers anything but `Ok`, the
//! state in memory is discarded and the journal is read again; running tasks continue in the meantime (`reload.rs`).

mod again;
mod commit;
mod errands;
mod inbox;
mod input;
mod leave;
mod park;
mod perform;
mod reload;
mod session;
mod vacant;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

use crate::kernel::RunState;
use crate::model::{Epoch, Incarnation, Name, NodeId, Payload, RunId, Seq, Timestamp};
use crate::store::{Claimed, Lease};

use self::commit::{Pending, Start};
use self::input::Deferred;
use self::reload::{Trouble, is_lasting, panicked};
use self::session::{Opening, Session};
use crate::runtime::error::Error;
use crate::runtime::ownership::damaged::given_up as given_up_run;
use crate::runtime::ownership::live::{Channels, Registration};
use crate::runtime::shared::Shared;
use crate::runtime::storage::load::{load, load_long};
use crate::runtime::support::ownership::Ownership;
use crate::runtime::support::panics;
use crate::runtime::support::watch;
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::message::{Message, StepReply};
use crate::runtime::task::outbox::Outbox;
use crate::runtime::telemetry::Trace;

/// The longest time before the clock is read again: clocks jump, and machines are suspended.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

pub(super) struct Driver {
    shared: Arc<Shared>,
    run: RunId,
    sender: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    outbox: Arc<Outbox>,
    progress: watch::Sender<Seq>,
    lease: Option<Lease>,
    /// Whether this engine still owns the run.
    ownership: Arc<Ownership>,
    known: Known,
    /// Decisions that failed to become durable, or may have failed: they are made again.
    uncertain: VecDeque<Pending>,
    /// Since when the oldest of them has been waiting.
    failing_since: Option<Instant>,
    /// The delay before a failed read of the inbox is repeated.
    inbox_delay: Duration,
    waiters: BTreeMap<(Name, String), Vec<oneshot::Sender<StepReply>>>,
    invoked: BTreeMap<NodeId, Invocation>,
    /// Those of them with a heartbeat timeout.
    beating: BTreeSet<NodeId>,
    /// Requests of tasks that are deferred until the pause ends.
    deferred: Vec<Deferred>,
    /// Steps that were about to start when the run was paused.
    unstarted: Vec<Start>,
    /// Messages from outside that arrived while there was no session.
    held_back: VecDeque<Message>,
    /// Whether the run is idle but cannot be parked.
    idle: bool,
    /// Whether the run does not count against the engine's capacity.
    frees_capacity: bool,
    trace: Trace,
    /// When to wake the run after the driver has left it.
    wake: Option<Timestamp>,
}

/// What a driver knows of one incarnation of its run. It is replaced as a whole when the run was deleted, and perhaps begun
/// again: nothing of one incarnation may reach another one.
struct Known {
    incarnation: Option<Incarnation>,
    /// The position up to which the journal is known to be durable; zero when nothing is known of the run.
    durable: Seq,
    /// The end of the journal when this driver had recovered the run; `None` before.
    recovered: Option<Seq>,
    /// The epoch of the driver's last commit.
    last_epoch: Option<Epoch>,
    /// Whether the run is paused, for tasks that are about to start something.
    paused: watch::Sender<bool>,
    /// The run's input, read once because all of its tasks may ask for it.
    run_input: Arc<OnceCell<Payload>>,
}

impl Known {
    fn nothing() -> Self {
        Self {
            incarnation: None,
            durable: Seq::ZERO,
            recovered: None,
            last_epoch: None,
            paused: watch::Sender::new(false),
            run_input: Arc::default(),
        }
    }
}

/// What a driver does after a session.
enum Next {
    /// Leave the run; with the reason if it is refused here.
    Leave(Option<Error>),
    /// Read the journal again after this delay.
    Reload(Duration),
    /// Keep the tasks of a run that cannot be driven for now.
    KeepTasks(Error),
}

/// Why a session ended.
enum Stop {
    /// Nothing to do for now: the run has ended, is parked, or does not exist.
    Idle,
    /// The engine shuts down.
    ShutDown,
    /// The journal must be read again.
    Reload(Error),
    /// Another engine owns the run.
    Fenced,
    /// The run exists, but this engine has a capacity of 0.
    NoCapacity,
    /// This engine cannot drive the run.
    Blocked(Error),
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, run: RunId, channels: Channels) -> Self {
        let Channels { sender, messages, progress } = channels;
        let trace = Trace::new(&shared.telemetry, &run);
        let ownership = Arc::new(Ownership::new(shared.store.is_shared()));
        Self {
            shared,
            run,
            sender,
            messages,
            outbox: Arc::default(),
            progress,
            lease: None,
            ownership,
            known: Known::nothing(),
            uncertain: VecDeque::new(),
            failing_since: None,
            inbox_delay: Duration::ZERO,
            waiters: BTreeMap::new(),
            invoked: BTreeMap::new(),
            beating: BTreeSet::new(),
            deferred: Vec::new(),
            unstarted: Vec::new(),
            held_back: VecDeque::new(),
            idle: false,
            frees_capacity: false,
            trace,
            wake: None,
        }
    }

    /// Drives the run until there is nothing to do for now. However that ends, the registration is dropped.
    pub(super) async fn drive(self, registration: Registration) {
        let (shared, span, run) = (Arc::clone(&self.shared), self.trace.span(), self.run.clone());
        let driven = panics::guard(self.drive_on()).instrument(span).await;
        if let Err(panic) = &driven {
            // A panic even while leaving: clean up here.
            shared.blocked.add(&run, panicked(panic), None);
            shared.telemetry.blocked.increment(1);
            shared.leases.remove(&run);
            shared.slots.release_all(&run);
            shared.slots.registered(&run);
        }
        // IMPORTANT: after the span is closed. When the engine has shut down, the application may close the span
        // exporter.
        drop(registration);
        if driven.is_err() {
            shared.live.notify_followers(&run);
        }
        if shared.capacity.has_waiting() {
            shared.parked.notify_one();
        }
    }

    async fn drive_on(mut self) {
        let mut trouble = Trouble::default();
        let refusal = loop {
            let again = match self.drive_once(&mut trouble).await {
                Next::Leave(refusal) => break refusal,
                Next::Reload(delay) => self.wait_before_reload(delay).await,
                Next::KeepTasks(error) => self.keep_tasks(&error).await,
            };
            if again.is_break() {
                break Some(Error::shut_down());
            }
        };
        let given_up = refusal.clone().filter(Error::is_damaged);
        let (shared, run) = (Arc::clone(&self.shared), self.run.clone());
        self.leave(refusal).await;
        if let Some(error) = given_up {
            let given_up = given_up_run(Arc::clone(&shared), run, error);
            shared.jobs.spawn(given_up);
        }
    }

    /// One session: from reading the journal to its end. Returns what to do next.
    async fn drive_once(&mut self, trouble: &mut Trouble) -> Next {
        let (before, began) = (self.known.durable, Instant::now());
        let (ownership, shared) = (Arc::clone(&self.ownership), Arc::clone(&self.shared));
        let (lease, state, opening) = match or_interrupted(&ownership, &shared, Box::pin(self.open())).await {
            Ok(opened) => opened,
            Err(stop) => return self.after(stop, trouble, (before, began)),
        };
        let mut session = Session::new(self, lease, state);
        let Err(stop) = or_interrupted(&ownership, &shared, Box::pin(session.drive(opening))).await;
        let next = session.driver.after(stop, trouble, (before, began));
        if let Next::Leave(refusal) = &next {
            session.finish(refusal.is_some());
        }
        next
    }

    /// Claims the run and reads its journal, or waits for the input that begins it.
    async fn open(&mut self) -> Result<(Lease, RunState, Opening), Stop> {
        let shared = Arc::clone(&self.shared);
        let claimed = shared.claims.claim(&self.run).await;
        let claimed = claimed.map_err(|error| Stop::Reload(error.into()))?;
        let Claimed { lease, last, mail: has_letters } = claimed.ok_or(Stop::Fenced)?;
        shared.leases.add(lease.clone(), shared.clock.now(), Arc::clone(&self.ownership));
        self.lease = Some(lease.clone());
        let mut state = None;
        // A run that begins now has nothing to read.
        if last > Seq::ZERO {
            if shared.capacity.is_closed() {
                return Err(Stop::NoCapacity);
            }
            let (store, run) = (&*shared.store, &self.run);
            let long = shared.may_have_snapshot(last);
            let loaded = if long { load_long(store, run).await } else { load(store, run).await };
            state = loaded.map_err(Stop::Reload)?;
        }
        if let Some(state) = state {
            return Ok((lease, state, Opening::Resumed { has_letters }));
        }
        let (state, begun) = self.first_decision(lease.epoch).await?;
        Ok((lease, state, Opening::Begun(Box::new(begun))))
    }

    /// Decides what to do after a session that began at `began`, when the journal was known up to `before`.
    fn after(&mut self, stop: Stop, trouble: &mut Trouble, (before, began): (Seq, Instant)) -> Next {
        let (error, lasting) = match stop {
            Stop::Idle => return Next::Leave(None),
            Stop::Fenced => {
                self.shared.telemetry.leases_lost.increment(self.lease.is_some().into());
                return Next::Leave(Some(Error::elsewhere()));
            }
            Stop::NoCapacity => return Next::Leave(Some(Error::elsewhere())),
            Stop::ShutDown => return Next::Leave(Some(Error::shut_down())),
            Stop::Blocked(error) => (error, true),
            Stop::Reload(error) => {
                let lasting = error.store_kind().is_some_and(is_lasting);
                (error, lasting)
            }
        };
        let failed = self.failing_since.take().unwrap_or_else(Instant::now);
        trouble.made_progress(self.known.durable > before, began, failed);
        let delay = if lasting { None } else { trouble.again(&error, failed) };
        if let Some(delay) = delay {
            tracing::warn!(run = %self.run, %error, "a session ended with an error; the run continues from its journal");
            self.shared.telemetry.reloads.increment(1);
            return Next::Reload(delay);
        }
        self.give_up(&error, lasting);
        if lasting || self.invoked.is_empty() { Next::Leave(Some(error)) } else { Next::KeepTasks(error) }
    }
}

/// Runs the work unless the run is lost or the engine shuts down. Interrupted work is dropped: state, tasks, and the
/// decision in progress.
async fn or_interrupted<T>(
    ownership: &Ownership,
    shared: &Shared,
    work: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        () = ownership.until_lost() => Err(Stop::Fenced),
        done = panics::guard(work) => done.unwrap_or_else(|panic| Err(Stop::Blocked(panicked(&panic)))),
        () = shared.down_for_long() => Err(Stop::ShutDown),
    }
}
