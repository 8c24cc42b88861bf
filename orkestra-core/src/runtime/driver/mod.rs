//! Drives one run: the only writer of its state.
//!
//! ```text
//! claim, replay, recover ──► wait for: acknowledgement | message | report | timer | shutdown
//!        ▲                        │ decide + apply (nobody sees it yet) ──► committer
//!        │ append failed          ▼ acknowledged
//!        └──────────────── publish ► answer ► perform what the state owes
//! ```
//!
//! It must never show, answer or perform anything that is not durable. Whenever the committer's answer is anything but
//! `Ok`, the state in memory is thrown away and the journal is read again; tasks under way go on meanwhile (`reload.rs`).

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
use crate::model::{Epoch, Name, NodeId, Payload, RunId, Seq, Timestamp};
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

/// The longest a timer sleeps before the clock is read again: clocks jump, and machines sleep.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

pub(super) struct Driver {
    shared: Arc<Shared>,
    run: RunId,
    sender: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    outbox: Arc<Outbox>,
    progress: watch::Sender<Seq>,
    lease: Option<Lease>,
    /// How long the run is ours.
    ownership: Arc<Ownership>,
    /// Up to where the journal is known to be durable.
    durable: Seq,
    /// Decisions that failed to become durable, or may have: they are decided again.
    unsure: VecDeque<Pending>,
    /// Since when the oldest of them waited.
    failing_since: Option<Instant>,
    /// Where the journal ended when this driver had taken the run over, if it has.
    recovered: Option<Seq>,
    /// The epoch of its last commit.
    wrote_as: Option<Epoch>,
    /// How long it waits before it reads letters again that could not be read.
    inbox_delay: Duration,
    waiters: BTreeMap<(Name, String), Vec<oneshot::Sender<StepReply>>>,
    invoked: BTreeMap<NodeId, Invocation>,
    /// Those of them whose silence is limited.
    beating: BTreeSet<NodeId>,
    /// Whether the run is paused, for tasks that are about to begin something.
    paused: watch::Sender<bool>,
    /// What tasks asked for that waits until a pause is over.
    deferred: Vec<Deferred>,
    /// Steps that were about to begin when the run was paused.
    taken_back: Vec<Start>,
    /// Messages from outside that came while the state was thrown away.
    kept: Vec<Message>,
    /// Whether the run only waits and cannot be parked.
    rests: bool,
    /// Whether it does not count as one of the runs in memory.
    leaves_capacity: bool,
    /// What the run was given, read once: all of its tasks may ask for it.
    run_input: Arc<OnceCell<Payload>>,
    trace: Trace,
}

/// What a driver does when a session is over.
enum Next {
    /// Leaves the run: with the reason why there is no driver for now, and when to wake it.
    Leave(Option<Error>, Option<Timestamp>),
    /// Reads the journal again after this delay.
    Reload(Duration),
    /// Keeps the tasks of a run that cannot be driven for now.
    Outlast(Error),
}

/// Why a session is over.
enum Turn {
    /// Nothing more to do for now: ended, parked, or not there.
    Rest,
    /// The engine shuts down.
    ShutDown,
    /// The journal must be read again.
    Reload(Error),
    /// Somebody else drives the run.
    Fenced,
    /// The run is there, and this engine drives none.
    NotHere,
    /// The run cannot be driven here.
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
            durable: Seq::ZERO,
            unsure: VecDeque::new(),
            failing_since: None,
            recovered: None,
            wrote_as: None,
            inbox_delay: Duration::ZERO,
            waiters: BTreeMap::new(),
            invoked: BTreeMap::new(),
            beating: BTreeSet::new(),
            paused: watch::Sender::new(false),
            deferred: Vec::new(),
            taken_back: Vec::new(),
            kept: Vec::new(),
            rests: false,
            leaves_capacity: false,
            run_input: Arc::default(),
            trace,
        }
    }

    /// Drives the run until there is nothing to do for now. The seat is given back however that ends.
    pub(super) async fn drive(self, registration: Registration) {
        let (shared, span, run) = (Arc::clone(&self.shared), self.trace.span(), self.run.clone());
        let driven = panics::guard(self.drive_on()).instrument(span).await;
        if let Err(panic) = &driven {
            // Not even leaving went well.
            shared.blocked.add(&run, panicked(panic), None);
            shared.telemetry.blocked.increment(1);
            shared.leases.remove(&run);
            shared.slots.release_all(&run);
            shared.slots.arrived(&run);
        }
        // IMPORTANT: after the span is gone. Whoever shuts the engine down then closes what its spans are exported to.
        drop(registration);
        if driven.is_err() {
            shared.live.stir(&run);
        }
        if shared.capacity.has_waiting() {
            shared.parked.notify_one();
        }
    }

    async fn drive_on(mut self) {
        let mut trouble = Trouble::default();
        let (refusal, wake) = loop {
            let again = match self.drive_once(&mut trouble).await {
                Next::Leave(refusal, wake) => break (refusal, wake),
                Next::Reload(delay) => self.rest_before_reload(delay).await,
                Next::Outlast(error) => self.outlast(&error).await,
            };
            if again.is_break() {
                break (Some(Error::shut_down()), None);
            }
        };
        let given_up = refusal.clone().filter(Error::is_damaged);
        let (shared, run) = (Arc::clone(&self.shared), self.run.clone());
        self.leave(refusal, wake).await;
        if let Some(error) = given_up {
            let given_up = given_up_run(Arc::clone(&shared), run, error);
            shared.jobs.spawn(given_up);
        }
    }

    /// From the journal to whatever ends the session, and what is to be done then.
    async fn drive_once(&mut self, trouble: &mut Trouble) -> Next {
        let (before, began) = (self.durable, Instant::now());
        let (ownership, shared) = (Arc::clone(&self.ownership), Arc::clone(&self.shared));
        let (lease, state, opening) = match or_interrupted(&ownership, &shared, self.open()).await {
            Ok(opened) => opened,
            Err(turn) => {
                shared.slots.release_all(&self.run);
                return self.after(turn, trouble, (before, began));
            }
        };
        let mut session = Session::new(self, lease, state);
        let Err(turn) = or_interrupted(&ownership, &shared, session.drive(opening)).await;
        match session.driver.after(turn, trouble, (before, began)) {
            Next::Leave(refusal, _) => {
                let wake = session.part(refusal.is_some());
                Next::Leave(refusal, wake)
            }
            next => next,
        }
    }

    /// Claims the run and reads its journal, or waits for what begins it.
    async fn open(&mut self) -> Result<(Lease, RunState, Opening), Turn> {
        let shared = Arc::clone(&self.shared);
        let claimed = shared.claims.claim(&self.run).await;
        let claimed = claimed.map_err(|error| Turn::Reload(error.into()))?;
        let Claimed { lease, last, mail: has_letters } = claimed.ok_or(Turn::Fenced)?;
        shared.leases.add(lease.clone(), shared.clock.now(), Arc::clone(&self.ownership));
        self.lease = Some(lease.clone());
        let mut state = None;
        // What begins now has nothing to be read.
        if last > Seq::ZERO {
            if shared.capacity.is_closed() {
                return Err(Turn::NotHere);
            }
            let (store, run) = (&*shared.store, &self.run);
            let long = shared.may_have_snapshot(last);
            let loaded = if long { load_long(store, run).await } else { load(store, run).await };
            state = loaded.map_err(Turn::Reload)?;
        }
        if let Some(state) = state {
            return Ok((lease, state, Opening::Resumed { has_letters }));
        }
        let (state, begun) = self.first_decision(lease.epoch).await?;
        Ok((lease, state, Opening::Begun(Box::new(begun))))
    }

    /// What is to be done after a turn, of a session that began then with so much of the journal known.
    fn after(&mut self, turn: Turn, trouble: &mut Trouble, (before, began): (Seq, Instant)) -> Next {
        let (error, lasting) = match turn {
            Turn::Rest => return Next::Leave(None, None),
            Turn::Fenced => {
                self.shared.telemetry.leases_lost.increment(self.lease.is_some().into());
                return Next::Leave(Some(Error::elsewhere()), None);
            }
            Turn::NotHere => return Next::Leave(Some(Error::elsewhere()), None),
            Turn::ShutDown => return Next::Leave(Some(Error::shut_down()), None),
            Turn::Blocked(error) => (error, true),
            Turn::Reload(error) => {
                let lasting = error.store_kind().is_some_and(is_lasting);
                (error, lasting)
            }
        };
        let failed = self.failing_since.take().unwrap_or_else(Instant::now);
        trouble.got_on(self.durable > before, began, failed);
        let delay = if lasting { None } else { trouble.again(&error, failed) };
        if let Some(delay) = delay {
            tracing::warn!(run = %self.run, %error, "the run goes on from its journal");
            self.shared.telemetry.reloads.increment(1);
            return Next::Reload(delay);
        }
        self.give_up(&error, lasting);
        if lasting || self.invoked.is_empty() { Next::Leave(Some(error), None) } else { Next::Outlast(error) }
    }
}

/// The work, unless the run is lost or the engine shuts down. What is interrupted is thrown away: state, tasks, and whatever was
/// being decided.
async fn or_interrupted<T>(
    ownership: &Ownership,
    shared: &Shared,
    work: impl Future<Output = Result<T, Turn>>,
) -> Result<T, Turn> {
    tokio::select! {
        biased;
        () = ownership.ended() => Err(Turn::Fenced),
        done = panics::guard(work) => done.unwrap_or_else(|panic| Err(Turn::Blocked(panicked(&panic)))),
        () = shared.down_for_long() => Err(Turn::ShutDown),
    }
}
