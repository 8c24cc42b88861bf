//! From a decision to its acknowledgement, and what follows from that.
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

use super::Turn;
use super::session::Session;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::storage::committer::Ack;
use crate::runtime::storage::load::keep_snapshot;
use crate::runtime::task::message::StepReply;
use crate::runtime::telemetry::Tally;

/// A decision on its way to the store, and what is to be done once it is there.
pub(super) struct Pending {
    ack: Ack,
    /// When it was handed over.
    since: Instant,
    /// What it was decided on, to decide again should it not become durable.
    asked: Option<InputKind>,
    /// Whether the first of the replies is for whoever asked that.
    answers_asker: bool,
    /// Why it did not become durable.
    failed: Option<Error>,
    last: Seq,
    follows: Consequences,
    replies: Vec<(Reply, Answer)>,
    /// Letters that nothing followed from, because of this decision or those before.
    idle_letters: Vec<LetterId>,
    tally: Tally,
}

/// What somebody is told once a decision is durable: that it was made, or that theirs was refused because of it.
pub(super) type Answer = Result<(), Error>;

/// Somebody who waits until a decision is durable, and for nothing else.
pub(super) enum Reply {
    /// Whoever gave an input from outside.
    Input(oneshot::Sender<Result<(), Error>>),
    /// A task that is about to begin a step.
    Start(Start),
    /// A task that is told why it does not get what it asked for.
    Refused(oneshot::Sender<StepReply>),
}

/// A step that is about to begin, once that is durable.
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

    /// Whoever asked may have stopped waiting: that is no concern of ours.
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
    /// Tells those outside. A task is told nothing: its attempt goes on wherever the run is driven next, and it must not
    /// go on here as if its step had failed.
    pub(super) fn refuse(self, error: &Error) {
        let error = self.failed.as_ref().unwrap_or(error);
        for (reply, _) in self.replies {
            if let reply @ Reply::Input(_) = reply {
                reply.send(Err(error.clone()));
            }
        }
    }

    /// Tells those outside that it will not be, and asks no more for what they wanted.
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

    /// Whether somebody who waits for the step is answered with this decision.
    pub(super) fn settles(&self, step: &(Name, String)) -> bool {
        self.follows.answers.contains(step)
    }

    /// What it was decided on, who is to be told of that, and who waits until it is durable.
    pub(super) fn into_asked(self) -> (Option<InputKind>, Option<Reply>, Vec<(Reply, Answer)>) {
        let mut replies = self.replies;
        let own = (self.answers_asker && !replies.is_empty()).then(|| replies.remove(0).0);
        (self.asked, own, replies)
    }

    /// Lets letters be discarded once this decision is durable.
    pub(super) fn discard_too(&mut self, letters: Vec<LetterId>) {
        self.idle_letters.extend(letters);
    }

    /// Lets the step be answered together with this decision.
    pub(super) fn settle_too(&mut self, step: (Name, String)) {
        self.follows.answers.push(step);
    }
}

impl Session<'_> {
    /// Sends what was decided to the store, and with it the letters that it answers.
    pub(super) async fn commit(
        &mut self,
        events: Vec<Event>,
        reply: Option<Reply>,
        taken: Vec<LetterId>,
    ) -> Result<(), Turn> {
        let commit = commit_of(&self.state, self.lease.epoch, events);
        let written = encode(&commit).map_err(|error| Turn::Reload(internal(error)))?;
        self.submit(&commit, written, reply, taken).await;
        Ok(())
    }

    /// Sends a commit to the store whose events are applied to the state already.
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
        self.driver.wrote_as = Some(epoch);
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

    /// Answers when all that was decided so far is durable: a refusal, too, tells of what was decided before.
    pub(super) fn answer_after_pending(&mut self, reply: Reply, answer: Answer) {
        match self.pending.back_mut() {
            Some(pending) => pending.replies.push((reply, answer)),
            None => self.reply(reply, answer),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.pause().is_some()
    }

    /// Answers, unless it would let a step begin in a run that is paused, or of an attempt that is over.
    fn reply(&mut self, reply: Reply, answer: Answer) {
        match (reply, &answer) {
            (Reply::Start(start), Ok(())) if self.is_paused() || !self.is_under_way(&start.node, start.attempt) => {
                self.driver.taken_back.push(start);
            }
            (reply, _) => reply.send(answer),
        }
    }

    /// A pause is over: answers what was held back.
    pub(super) fn answer_deferred(&mut self) {
        self.driver.paused.send_replace(false);
        let steps: Vec<_> = self.driver.waiters.keys().cloned().collect();
        steps.iter().for_each(|step| self.answer_if_durable(step));
    }

    pub(super) async fn acknowledged(&mut self, result: Result<(), AppendError>) -> Result<(), Turn> {
        let Some(mut pending) = self.pending.pop_front() else { return Ok(()) };
        let error = match result {
            Ok(()) => {
                // Who has asked for something meanwhile is answered by this driver: it stays.
                let leaves = pending.follows.begins_run && self.pending.is_empty() && self.driver.shared.is_crowded();
                let ends_pause = pending.follows.ends_pause;
                self.settle(pending, leaves);
                self.take_back().await?;
                if ends_pause {
                    self.begin_deferred().await?;
                }
                return if leaves { Err(Turn::Rest) } else { Ok(()) };
            }
            Err(AppendError::Fenced { .. }) => {
                // Neither it nor what comes after it is there, or will be: whoever asked may ask the run's new driver.
                self.pending.push_front(pending);
                self.pending.drain(..).for_each(|pending| pending.refuse(&Error::elsewhere()));
                return Err(Turn::Fenced);
            }
            Err(AppendError::Failed(error)) => Error::from(error),
            Err(error) => Error::from_cause(ErrorKind::Unknown, error),
        };
        self.driver.failing_since = Some(pending.since);
        pending.failed = Some(error.clone());
        self.driver.unsure.push_back(pending);
        Err(Turn::Reload(error))
    }

    /// What was given up turns out to be durable.
    pub(super) fn was_written(&mut self, pending: Pending) {
        self.driver.trace.settled(&pending.tally, pending.last, &self.state);
        self.driver.discard(pending.idle_letters);
        pending.replies.into_iter().for_each(|(reply, answer)| self.reply(reply, answer));
    }

    /// Without what the state owes when the run is left to whoever has room for it.
    pub(super) fn settle(&mut self, pending: Pending, leaves: bool) {
        let Pending { last, follows, replies, idle_letters, tally, .. } = pending;
        let Consequences { perform, answers, ends_pause, wants_child, begins_run: _ } = follows;
        self.driver.durable = last;
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
            self.driver.shared.look_for_owing();
        } else {
            self.perform_what(perform, wants_child);
        }
        // IMPORTANT: after tasks were asked to stop. What a pause held back does not begin in a run that is to end.
        if ends_pause && !self.is_paused() {
            self.answer_deferred();
        }
    }

    /// Performs what may be owed anew.
    fn perform_what(&mut self, perform: Perform, wants_child: bool) {
        match perform {
            Perform::EveryNode => self.perform_all(),
            Perform::Nodes(nodes) => {
                nodes.into_iter().for_each(|node| self.perform(node));
                // Looking at what is owed costs as much as there are other runs: only when there may be something new.
                if wants_child || owes_others(&self.state) {
                    self.run_errands();
                }
            }
        }
    }

    /// Keeps the state as a snapshot, now and then, when all of it is durable. Each one costs what the state is large:
    /// they are ever farther apart.
    fn keep_snapshot(&mut self) {
        if self.driver.durable < self.snapshot_at || !self.pending.is_empty() {
            return;
        }
        self.snapshot_at = self.driver.shared.next_snapshot(self.driver.durable);
        if !self.state.status().is_final() {
            self.driver.shared.jobs.spawn(keep_snapshot(Arc::clone(&self.driver.shared.store), self.state.clone()));
        }
    }

    pub(super) fn publish(&self) {
        let durable = self.driver.durable;
        if self.state.status().is_final() && self.state.last() == durable {
            self.driver.shared.live.over(&self.driver.run);
        }
        self.driver.progress.send_replace(durable);
        self.driver.shared.live.beat(&self.driver.run, durable);
        self.driver.shared.neighbours.tell_of(&self.driver.run);
    }

    /// Answers all who wait for a step, if it is settled; a wait that goes on from before keeps them waiting.
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

/// The commit of the events that were applied to the state last.
pub(super) fn commit_of(state: &RunState, epoch: Epoch, events: Vec<Event>) -> Commit {
    let first = Seq(state.last().0 + 1 - events.len() as u64);
    Commit { run: state.id().clone(), first, epoch, at: state.updated_at(), events }
}

/// Nothing that the engine decides on can fail to be encoded.
pub(super) fn internal(error: CodecError) -> Error {
    Error::from_cause(ErrorKind::Internal, error)
}

/// What was to be written could not be read back.
pub(super) fn unreadable(error: CodecError) -> Error {
    Error::new(ErrorKind::Invalid, format!("this cannot be written down: {error}")).with_source(error)
}

/// Whether a growth can be read back, looked at before anything is decided: what was decided cannot be taken back.
pub(super) fn check_growth(run: &RunId, node: &Name, step: &str, growth: &Growth) -> Result<(), Error> {
    let grown = Event::Grown { node: node.clone(), step: step.to_owned(), growth: growth.clone() };
    let (first, epoch, at) = (Seq(1), Epoch::default(), Timestamp::ZERO);
    let commit = Commit { run: run.clone(), first, epoch, at, events: vec![grown] };
    encode(&commit).and_then(|written| check_written(&commit, &written)).map_err(unreadable)
}

/// The store's answer to the oldest decision under way.
pub(super) async fn next_ack(pending: &mut VecDeque<Pending>) -> Result<(), AppendError> {
    let Some(first) = pending.front_mut() else { return std::future::pending().await };
    (&mut first.ack).await.unwrap_or_else(|_| Err(AppendError::Unknown("the committer is gone".into())))
}
