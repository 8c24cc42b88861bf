//! From a decision to its acknowledgement, and what follows from it.
//!
//! IMPORTANT: publish, then answer, then perform, and none of them before the acknowledgement.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::journal::{CodecError, Commit, Written, check_written, encode};
use crate::kernel::{Consequences, Event, InputKind, Perform, RunState, StepState, owes_others};
use crate::model::{Epoch, Growth, Name, Payload, RunId, Seq, Timestamp};
use crate::store::{Append, AppendError, LetterId, RunRecord};

use super::Stop;
use super::session::Session;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::storage::committer::Ack;
use crate::runtime::storage::load::keep_snapshot;
use crate::runtime::task::message::StepReply;
use crate::runtime::telemetry::Tally;

/// A decision on its way to the store, and what to do when it is durable.
pub(super) struct Pending {
    ack: Ack,
    /// When it was submitted.
    since: Instant,
    /// The input that was decided on, to decide again if the decision does not become durable.
    asked: Option<InputKind>,
    /// Whether the first reply belongs to the sender of that input.
    answers_asker: bool,
    /// Why it did not become durable.
    failed: Option<Error>,
    last: Seq,
    follows: Consequences,
    replies: Vec<(Reply, Answer)>,
    /// Letters that caused no commit because of this decision or earlier ones.
    idle_letters: Vec<LetterId>,
    tally: Tally,
}

/// The answer when a decision is durable: it was made, or the request was refused because of it.
pub(super) type Answer = Result<(), Error>;

/// A sender that waits only until a decision is durable.
pub(super) enum Reply {
    /// The sender of an input from outside.
    Input(oneshot::Sender<Result<(), Error>>),
    /// A task that is about to start a step.
    Start(Start),
    /// A task whose request is refused.
    Refused(oneshot::Sender<StepReply>),
}

/// A step that starts once that is durable.
pub(super) struct Start {
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) step: String,
    pub(super) reply: oneshot::Sender<StepReply>,
}

impl Reply {
    const fn is_outside(&self) -> bool {
        matches!(self, Self::Input(_))
    }

    /// Sends the answer. The receiver may have stopped waiting, which is not an error.
    pub(super) fn send(self, answer: Result<(), Error>) {
        match self {
            Self::Input(reply) => drop(reply.send(answer)),
            Self::Start(Start { reply, .. }) | Self::Refused(reply) => {
                drop(reply.send(answer.map(|()| Ok(Payload::null()))));
            }
        }
    }
}

impl Pending {
    /// Refuses senders outside. Tasks get no answer: the attempt continues wherever the run is driven next, and must
    /// not continue here as if its step had failed.
    pub(super) fn refuse(self, error: &Error) {
        let error = self.failed.as_ref().unwrap_or(error);
        for (reply, _) in self.replies {
            if let reply @ Reply::Input(_) = reply {
                reply.send(Err(error.clone()));
            }
        }
    }

    /// Refuses senders outside, and does not repeat their request.
    pub(super) fn refuse_asker(&mut self, error: &Error) {
        let error = self.failed.as_ref().unwrap_or(error).clone();
        let (outside, tasks) = std::mem::take(&mut self.replies).into_iter().partition(|(reply, _)| reply.is_outside());
        self.replies = tasks;
        let outside: Vec<(Reply, Answer)> = outside;
        if self.answers_asker && !outside.is_empty() && !matches!(self.asked, Some(InputKind::Task { .. })) {
            (self.asked, self.answers_asker) = (None, false);
        }
        outside.into_iter().for_each(|(reply, _)| reply.send(Err(error.clone())));
    }

    /// The position of its last event.
    pub(super) const fn last(&self) -> Seq {
        self.last
    }

    /// Whether this decision answers those who wait for the step.
    pub(super) fn settles(&self, step: &(Name, String)) -> bool {
        self.follows.answers.contains(step)
    }

    /// The input that was decided on, the reply to its sender, and the replies of those who wait for durability.
    pub(super) fn into_asked(self) -> (Option<InputKind>, Option<Reply>, Vec<(Reply, Answer)>) {
        let mut replies = self.replies;
        let own = (self.answers_asker && !replies.is_empty()).then(|| replies.remove(0).0);
        (self.asked, own, replies)
    }

    /// Also discards these letters when this decision is durable.
    pub(super) fn discard_too(&mut self, letters: Vec<LetterId>) {
        self.idle_letters.extend(letters);
    }

    /// Also answers the step when this decision is durable.
    pub(super) fn settle_too(&mut self, step: (Name, String)) {
        self.follows.answers.push(step);
    }
}

impl Session<'_> {
    /// Sends a decision to the store, together with the letters that it answers.
    pub(super) async fn commit(
        &mut self,
        events: Vec<Event>,
        reply: Option<Reply>,
        taken: Vec<LetterId>,
    ) -> Result<(), Stop> {
        let commit = commit_of(&self.state, self.lease.epoch, events);
        let written = encode(&commit).map_err(|error| Stop::Reload(internal(error)))?;
        self.submit(&commit, written, reply, taken).await;
        Ok(())
    }

    /// Sends a commit to the store whose events have been applied to the state.
    pub(super) async fn submit(
        &mut self,
        commit: &Commit,
        written: Written,
        reply: Option<Reply>,
        taken: Vec<LetterId>,
    ) {
        let (state, epoch) = (&self.state, self.lease.epoch);
        self.driver.trace.knows(&self.driver.shared.telemetry, state, epoch);
        let tally = Tally::of(&commit.events);
        let follows = Consequences::of(state.plan(), &commit.events);
        let last = state.last();
        let record = self.record.as_ref().is_none_or(|record| !record.tells(state)).then(|| RunRecord::of(state));
        if record.is_some() {
            self.record.clone_from(&record);
        }
        let repeats = |kind: &InputKind| taken.is_empty() && !matches!(kind, InputKind::Recover);
        self.driver.known.last_epoch = Some(epoch);
        let (asked, since) = (self.deciding.take().filter(repeats), Instant::now());
        let ack = self.driver.shared.committer.submit(Append { commit: written, record, taken }).await;
        self.pending.push_back(Pending {
            ack,
            since,
            asked,
            answers_asker: reply.is_some(),
            failed: None,
            last,
            follows,
            replies: reply.map(|reply| (reply, Ok(()))).into_iter().collect(),
            idle_letters: Vec::new(),
            tally,
        });
    }

    /// Answers when all earlier decisions are durable: a refusal, too, reveals them.
    pub(super) fn answer_after_pending(&mut self, reply: Reply, answer: Answer) {
        match self.pending.back_mut() {
            Some(pending) => pending.replies.push((reply, answer)),
            None => self.reply(reply, answer),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.pause().is_some()
    }

    /// Sends an answer, unless it would start a step in a paused run or in an attempt that is over.
    fn reply(&mut self, reply: Reply, answer: Answer) {
        match (reply, &answer) {
            (Reply::Start(start), Ok(())) if self.is_paused() || !self.is_under_way(&start.node, start.attempt) => {
                self.driver.unstarted.push(start);
            }
            (reply, _) => reply.send(answer),
        }
    }

    /// A pause has ended: answers the deferred requests.
    pub(super) fn answer_deferred(&mut self) {
        self.driver.known.paused.send_replace(false);
        let steps: Vec<_> = self.driver.waiters.keys().cloned().collect();
        steps.iter().for_each(|step| self.answer_if_durable(step));
    }

    pub(super) async fn acknowledged(&mut self, result: Result<(), AppendError>) -> Result<(), Stop> {
        let Some(mut pending) = self.pending.pop_front() else { return Ok(()) };
        let error = match result {
            Ok(()) => {
                // If a request is waiting, this driver stays to answer it.
                let leaves = pending.follows.begins_run && self.pending.is_empty() && self.driver.shared.is_crowded();
                let ends_pause = pending.follows.ends_pause;
                self.settle(pending, leaves);
                self.defer_unstarted().await?;
                if ends_pause {
                    self.begin_deferred().await?;
                }
                return if leaves { Err(Stop::Idle) } else { Ok(()) };
            }
            Err(AppendError::Fenced { .. }) => {
                // Neither this commit nor later ones are stored or will be: senders may ask the run's new driver.
                self.pending.push_front(pending);
                self.pending.drain(..).for_each(|pending| pending.refuse(&Error::elsewhere()));
                return Err(Stop::Fenced);
            }
            Err(AppendError::Failed(error)) => Error::from(error),
            Err(error) => Error::from_cause(ErrorKind::Unknown, error),
        };
        self.driver.failing_since = Some(pending.since);
        pending.failed = Some(error.clone());
        self.driver.uncertain.push_back(pending);
        Err(Stop::Reload(error))
    }

    /// A decision that was given up turns out to be durable.
    pub(super) fn was_written(&mut self, pending: Pending) {
        self.driver.trace.settled(&pending.tally, pending.last, &self.state);
        self.driver.discard(pending.idle_letters);
        pending.replies.into_iter().for_each(|(reply, answer)| self.reply(reply, answer));
    }

    /// `leaves`: the run is left to an engine with capacity, so what the state owes is not performed here.
    pub(super) fn settle(&mut self, pending: Pending, leaves: bool) {
        let Pending { last, follows, replies, idle_letters, tally, .. } = pending;
        let Consequences { perform, answers, ends_pause, wants_child, begins_run: _ } = follows;
        self.driver.known.durable = last;
        self.driver.trace.settled(&tally, last, &self.state);
        self.publish();
        self.keep_snapshot();
        self.driver.discard(idle_letters);
        replies.into_iter().for_each(|(reply, answer)| self.reply(reply, answer));
        if !self.is_paused() {
            answers.iter().for_each(|step| self.answer(step));
        }
        if leaves {
            self.queue_up();
            self.driver.shared.search_owing();
        } else {
            self.perform_what(perform, wants_child);
        }
        // IMPORTANT: after tasks were asked to stop. Deferred requests do not start in a run that is stopping.
        if ends_pause && !self.is_paused() {
            self.answer_deferred();
        }
    }

    /// Performs work that may be newly owed.
    fn perform_what(&mut self, perform: Perform, wants_child: bool) {
        match perform {
            Perform::EveryNode => self.perform_all(),
            Perform::Nodes(nodes) => {
                nodes.into_iter().for_each(|node| self.perform(node));
                // Computing the work owed costs as much as there are other runs: only when there may be some.
                if wants_child || owes_others(&self.state) {
                    self.run_errands();
                }
            }
        }
    }

    /// Takes a snapshot from time to time, when the whole state is durable. It costs as much as the state is large, so
    /// snapshots are ever farther apart.
    fn keep_snapshot(&mut self) {
        if self.driver.known.durable < self.snapshot_at || !self.pending.is_empty() {
            return;
        }
        self.snapshot_at = self.driver.shared.next_snapshot(self.driver.known.durable);
        if !self.state.status().is_final() {
            self.driver.shared.jobs.spawn(keep_snapshot(Arc::clone(&self.driver.shared.store), self.state.clone()));
        }
    }

    pub(super) fn publish(&self) {
        let durable = self.driver.known.durable;
        if self.state.status().is_final() && self.state.last() == durable {
            self.driver.shared.live.over(&self.driver.run);
        }
        self.driver.progress.send_replace(durable);
        self.driver.shared.live.beat(&self.driver.run, durable);
        self.driver.shared.neighbours.notify_news(&self.driver.run);
    }

    /// Answers everything that waits for a step, if it is settled; a wait that is still open stays.
    pub(super) fn answer(&mut self, step: &(Name, String)) {
        let known = self.state.plan().id(&step.0).and_then(|id| self.state.node(id).steps.get(&step.1));
        let Some(result) = known.and_then(StepState::result) else { return };
        let Some(waiters) = self.driver.waiters.remove(step) else { return };
        let result = result.cloned().map_err(Clone::clone);
        for waiter in waiters {
            drop(waiter.send(Ok(result.clone())));
        }
    }
}

/// The commit of the events that were last applied to the state.
pub(super) fn commit_of(state: &RunState, epoch: Epoch, events: Vec<Event>) -> Commit {
    let first = Seq(state.last().0 + 1 - events.len() as u64);
    Commit { run: state.id().clone(), first, epoch, at: state.updated_at(), events }
}

/// Nothing that the engine decides can fail to be encoded.
pub(super) fn internal(error: CodecError) -> Error {
    Error::from_cause(ErrorKind::Internal, error)
}

/// The error for a commit that could not be read back.
pub(super) fn unreadable(error: CodecError) -> Error {
    Error::new(ErrorKind::Invalid, format!("cannot store this: it could not be read back: {error}")).with_source(error)
}

/// Checks that a growth can be read back, before anything is decided: a decision cannot be undone.
pub(super) fn check_growth(run: &RunId, node: &Name, step: &str, growth: &Growth) -> Result<(), Error> {
    let grown = Event::Grown { node: node.clone(), step: step.to_owned(), growth: growth.clone() };
    let (first, epoch, at) = (Seq(1), Epoch::default(), Timestamp::ZERO);
    let commit = Commit { run: run.clone(), first, epoch, at, events: vec![grown] };
    encode(&commit).and_then(|written| check_written(&commit, &written)).map_err(unreadable)
}

/// The store's answer to the oldest pending decision.
pub(super) async fn next_ack(pending: &mut VecDeque<Pending>) -> Result<(), AppendError> {
    let Some(first) = pending.front_mut() else { return std::future::pending().await };
    (&mut first.ack).await.unwrap_or_else(|_| Err(AppendError::Unknown("the committer has ended".into())))
}
