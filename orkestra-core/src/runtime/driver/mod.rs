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

mod commit;
mod errands;
mod inbox;
mod input;
mod leave;
mod park;
mod perform;
mod reload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::Instant;
use tracing::Instrument;

use crate::kernel::{InputKind, RunState, agenda};
use crate::model::limits::COMMITS_IN_FLIGHT_MAX;
use crate::model::{Epoch, Name, NodeId, Payload, RunId, Seq};
use crate::store::{Claimed, Lease, LetterId, RunRecord};

use self::commit::{Pending, Start, next_ack};
use self::errands::Errands;
use self::input::Deferred;
use self::reload::{Trouble, is_lasting, panicked};
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
    state: Option<RunState>,
    durable: Seq,
    record: Option<RunRecord>,
    pending: VecDeque<Pending>,
    /// What is being decided on.
    deciding: Option<InputKind>,
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
    errands: Errands,
    /// When children were last looked at that others may drive.
    looked_at: Instant,
    /// Whether the run is paused, for tasks that are about to begin something.
    paused: watch::Sender<bool>,
    /// What tasks asked for that waits until a pause is over.
    deferred: Vec<Deferred>,
    /// Steps that were about to begin when the run was paused.
    taken_back: Vec<Start>,
    /// Messages from outside that came while the state was thrown away.
    kept: Vec<Message>,
    /// The last letter of the inbox that was decided on.
    read_up_to: LetterId,
    /// From which position on a snapshot is worth its price.
    snapshot_at: Seq,
    /// Whether the run only waits and cannot be parked.
    rests: bool,
    /// Whether it does not count as one of the runs in memory.
    leaves_room: bool,
    /// What the run was given, read once: all of its tasks may ask for it.
    run_input: Arc<OnceCell<Payload>>,
    trace: Trace,
}

/// Why a driver stops waiting for the next thing.
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
        let looked_at = Instant::now();
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
            state: None,
            durable: Seq::ZERO,
            record: None,
            pending: VecDeque::new(),
            deciding: None,
            unsure: VecDeque::new(),
            failing_since: None,
            recovered: None,
            wrote_as: None,
            inbox_delay: Duration::ZERO,
            waiters: BTreeMap::new(),
            invoked: BTreeMap::new(),
            beating: BTreeSet::new(),
            errands: Errands::new(),
            looked_at,
            paused: watch::Sender::new(false),
            deferred: Vec::new(),
            taken_back: Vec::new(),
            kept: Vec::new(),
            read_up_to: LetterId::ZERO,
            snapshot_at: Seq::ZERO,
            rests: false,
            leaves_room: false,
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
            shared.block(&run, panicked(panic), None);
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
        let refusal = loop {
            let (before, began) = (self.durable, Instant::now());
            let (ownership, shared) = (Arc::clone(&self.ownership), Arc::clone(&self.shared));
            // What is interrupted here is thrown away next: state, tasks, and whatever was being decided.
            let turn = tokio::select! {
                biased;
                () = ownership.ended() => Turn::Fenced,
                turn = panics::guard(self.drive_once()) => {
                    turn.unwrap_or_else(|panic| Turn::Blocked(panicked(&panic)))
                }
                () = shared.down_for_long() => Turn::ShutDown,
            };
            let (error, lasting) = match turn {
                Turn::Rest => break None,
                Turn::Fenced => {
                    self.shared.telemetry.leases_lost.increment(self.lease.is_some().into());
                    break Some(Error::elsewhere());
                }
                Turn::NotHere => break Some(Error::elsewhere()),
                Turn::ShutDown => break Some(Error::shut_down()),
                Turn::Blocked(error) => (error, true),
                Turn::Reload(error) => {
                    let lasting = error.store_kind().is_some_and(is_lasting);
                    (error, lasting)
                }
            };
            let failed = self.failing_since.take().unwrap_or_else(Instant::now);
            trouble.got_on(self.durable > before, began, failed);
            let delay = if lasting { None } else { trouble.again(&error, failed) };
            let Some(delay) = delay else {
                self.give_up(&error, lasting);
                if lasting || self.invoked.is_empty() {
                    break Some(error);
                }
                if self.outlast(&error).await.is_break() {
                    break Some(Error::shut_down());
                }
                continue;
            };
            tracing::warn!(run = %self.run, %error, "the run goes on from its journal");
            self.shared.telemetry.reloads.increment(1);
            self.put_off();
            if self.rest_before_reload(delay).await.is_break() {
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

    /// From the journal to whatever ends it.
    async fn drive_once(&mut self) -> Turn {
        if let Err(turn) = self.begin().await {
            return turn;
        }
        self.shared.slots.arrived(&self.run);
        self.turn().await
    }

    /// Takes the run over: lease, journal, and what the process before left undone.
    async fn begin(&mut self) -> Result<(), Turn> {
        let claimed = self.shared.claims.claim(&self.run).await;
        let claimed = claimed.map_err(|error| Turn::Reload(error.into()))?;
        let Claimed { lease, last, mail: has_letters } = claimed.ok_or(Turn::Fenced)?;
        self.shared.leases.add(lease.clone(), self.shared.clock.now(), Arc::clone(&self.ownership));
        let known = self.durable;
        let lease = self.lease.insert(lease);
        if last > Seq::ZERO && self.shared.capacity.is_closed() {
            return Err(Turn::NotHere);
        }
        // What begins now has nothing to be read.
        if last > Seq::ZERO {
            let (store, run) = (&*self.shared.store, &self.run);
            let long = self.shared.may_have_snapshot(last);
            let loaded = if long { load_long(store, run).await } else { load(store, run).await };
            self.state = loaded.map_err(Turn::Reload)?;
        }
        let Some(state) = &self.state else {
            if known > Seq::ZERO {
                // It was deleted meanwhile.
                self.abandon(&Error::elsewhere()).await;
            }
            self.recovered = Some(Seq::ZERO);
            self.decide_again().await?;
            return self.answer_kept().await;
        };
        self.durable = state.last();
        self.snapshot_at = self.shared.next_snapshot(state.last());
        self.trace.knows(&self.shared.telemetry, state, lease.epoch);
        self.record = Some(RunRecord::of(state));
        let ends = state.status().is_ending();
        if !ends {
            self.paused.send_replace(state.pause().is_some());
        }
        self.forgive_silence();
        self.publish();
        let goes_on = self.goes_on(known).await?;
        let Some(state) = &self.state else { return Ok(()) };
        if state.status().is_final() {
            self.decide_again().await?;
            self.perform_all();
            self.answer_kept().await?;
            return if has_letters { self.read_inbox().await } else { Ok(()) };
        }
        if let Some(task) = self.shared.missing_task(state.plan()) {
            let workflow = state.plan().workflow();
            let message = format!("workflow `{workflow}` needs the task `{task}`, which this engine does not know");
            return Err(Turn::Blocked(Error::not_drivable(message)));
        }
        if let Some(limit) = self.shared.missing_limit(state.plan()) {
            let message =
                format!("workflow `{}` needs the limit `{limit}`, which is not defined", state.plan().workflow());
            return Err(Turn::Blocked(Error::not_drivable(message)));
        }
        self.read_unread(None).await?;
        self.hold_slots();
        if !goes_on {
            self.input(InputKind::Recover, None).await?;
            self.recovered = self.state.as_ref().map(RunState::last);
        }
        // IMPORTANT: before anything is called. An attempt whose end is decided again is over.
        self.decide_again().await?;
        self.perform_all();
        if ends {
            self.answer_deferred();
        }
        self.answer_kept().await?;
        if has_letters { self.read_inbox().await } else { Ok(()) }
    }

    /// Decides on what came while the state was thrown away.
    async fn answer_kept(&mut self) -> Result<(), Turn> {
        for message in std::mem::take(&mut self.kept) {
            self.message(Some(message)).await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> Turn {
        let shared = Arc::clone(&self.shared);
        loop {
            if self.nothing_left() {
                return Turn::Rest;
            }
            self.leave_room(self.rests || self.waits_for_children());
            let timer = self.until_timer();
            let quiet = self.may_park();
            let may_decide = self.pending.len() < COMMITS_IN_FLIGHT_MAX;
            let went = tokio::select! {
                biased;
                result = next_ack(&mut self.pending), if !self.pending.is_empty() => self.acknowledged(result).await,
                () = shared.down() => self.release().await,
                message = self.messages.recv(), if may_decide => self.message(message).await,
                () = self.outbox.filled(), if may_decide => self.reports().await,
                () = tokio::time::sleep(timer.unwrap_or(CLOCK_CHECK)), if timer.is_some() && may_decide => {
                    self.tick().await
                }
                () = tokio::time::sleep(self.shared.park_after), if quiet => self.park().await,
            };
            if let Err(turn) = went {
                return turn;
            }
        }
    }

    /// Whether the run has ended or is not there, and everybody has been answered.
    fn nothing_left(&self) -> bool {
        let over = self.state.as_ref().is_none_or(|state| state.status().is_final() && agenda(state).next().is_none());
        over && self.pending.is_empty() && self.messages.is_empty()
    }
}
