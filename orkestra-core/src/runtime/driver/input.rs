//! From a message to a decision.

use tokio::sync::oneshot;
use tracing::Span;

use crate::kernel::{Event, Input, InputKind, NodeStatus, Rejection, TaskRequest, decide_next, unread};
use crate::model::{Growth, Name, NodeId, RunId, Seq};
use crate::store::StoreErrorKind;

use super::commit::{Reply, Start, check_growth};
use super::session::Session;
use super::{CLOCK_CHECK, Duration, Stop};
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;
use crate::runtime::task::keys::is_race;
use crate::runtime::task::message::{Message, StepReply};
use crate::runtime::task::outbox::{Note, NoteKind};
use crate::runtime::telemetry::placed;

impl Session<'_> {
    pub(super) async fn message(&mut self, message: Option<Message>) -> Result<(), Stop> {
        self.driver.set_active();
        // A task's earlier notes come before its request in the journal.
        if let Err(stop) = self.reports().await {
            message.into_iter().for_each(|message| self.driver.held_back.push_front(message));
            return Err(stop);
        }
        match message {
            None => Err(Stop::ShutDown),
            Some(Message::Inbox) => self.read_inbox().await,
            Some(Message::Input { kind, reply }) => {
                if let Some(id) = self.resumes_with_slots(&kind) {
                    self.perform(id);
                    drop(reply.send(Ok(())));
                    return Ok(());
                }
                match insist(|| blobs::keep_again(&*self.driver.shared.store, &self.driver.run, &kind)).await {
                    Ok(()) => self.input(kind, Some(Reply::Input(reply))).await,
                    Err(error) => {
                        drop(reply.send(Err(error)));
                        Ok(())
                    }
                }
            }
            Some(Message::Ended { node, attempt, result }) => {
                let id = self.state.plan().id(&node);
                if let Some(id) =
                    id.filter(|id| self.driver.invoked.get(id).is_some_and(|known| known.attempt == attempt))
                {
                    self.driver.invoked.remove(&id);
                }
                self.input(InputKind::AttemptEnded { node, attempt, result }, None).await
            }
            Some(Message::Request { node, attempt, request, reply, span }) => {
                let before = self.state.last();
                let went = self.request(node, attempt, request, reply).await;
                placed(&span, before, self.state.last());
                went
            }
        }
    }

    /// Whether this attempt is running.
    pub(super) fn is_under_way(&self, node: &Name, attempt: u32) -> bool {
        let known = self.state.plan().id(node).map(|id| self.state.node(id));
        known.is_some_and(|known| known.status == NodeStatus::Running && known.attempt == attempt)
    }

    /// Whether the slots are for a running attempt that lost them with its driver and waits for them.
    fn resumes_with_slots(&self, granted: &InputKind) -> Option<NodeId> {
        let InputKind::SlotGranted { node, attempt } = granted else { return None };
        self.state.plan().id(node).filter(|_| self.is_under_way(node, *attempt))
    }

    pub(super) async fn tick(&mut self) -> Result<(), Stop> {
        self.driver.set_active();
        self.end_silent().await?;
        let due = self.state.next_timer();
        if due.is_some_and(|due| due <= self.driver.shared.clock.now()) {
            self.input(InputKind::Tick, None).await?;
        }
        Ok(())
    }

    pub(super) fn until_timer(&self) -> Option<Duration> {
        let timer = self.state.next_timer();
        let due = self.heartbeats().map(|(_, due)| due).chain(timer).min()?;
        Some(due.since(self.driver.shared.clock.now()).min(CLOCK_CHECK))
    }

    pub(super) async fn reports(&mut self) -> Result<(), Stop> {
        for Note { node, attempt, what } in self.driver.outbox.take() {
            // IMPORTANT: a wait that an ended attempt withdrew may be open in the next attempt.
            if !self.is_under_way(&node, attempt) {
                continue;
            }
            let request = match what {
                NoteKind::Emitted { kind, payload } => TaskRequest::Emit { kind, payload },
                NoteKind::Withdrawn { step, begun } => TaskRequest::LetGo { step, begun },
            };
            self.input(InputKind::Task { node, attempt, request }, None).await?;
        }
        Ok(())
    }

    /// Decides on an input whose answer is only success or failure.
    pub(super) async fn input(&mut self, kind: InputKind, reply: Option<Reply>) -> Result<(), Stop> {
        match self.decide(kind) {
            Ok(events) if events.is_empty() => {
                if let Some(reply) = reply {
                    self.answer_after_pending(reply, Ok(()));
                }
                Ok(())
            }
            Ok(events) => self.commit(events, reply, Vec::new()).await,
            Err(Rejection::Broken(illegal)) => Err(Stop::Reload(Rejection::Broken(illegal).into())),
            Err(rejection) => {
                match reply {
                    Some(reply) => self.answer_after_pending(reply, Err(rejection.into())),
                    None => {
                        tracing::debug!(run = %self.driver.run, %rejection, "an input was rejected and changed nothing");
                    }
                }
                Ok(())
            }
        }
    }

    /// Decides on a task's request, which is answered when the step it names is settled and durable. While the run is
    /// paused nothing starts: requests that would start something are deferred.
    async fn request(
        &mut self,
        node: Name,
        attempt: u32,
        request: TaskRequest,
        reply: oneshot::Sender<StepReply>,
    ) -> Result<(), Stop> {
        // A request that was withdrawn before it arrived needs no answer. A finished step is recorded all the same.
        let done = |step: &str| !is_race(step);
        if reply.is_closed()
            && !matches!(&request, TaskRequest::EndStep { step, .. } | TaskRequest::Charge { step, .. } if done(step))
        {
            return Ok(());
        }
        if self.is_paused() && request.begins_something() && !self.is_known(&node, &request) {
            self.driver.deferred.push(Deferred { node, attempt, request, reply });
            return Ok(());
        }
        if let TaskRequest::Grow { step, growth } = &request
            && let Err(mistake) = self.check_growth(&node, step, growth)
        {
            drop(reply.send(Err(mistake)));
            return Ok(());
        }
        if let TaskRequest::Grow { growth, .. } = &request
            && let Err(stop) = self.read_unread(Some(growth)).await
        {
            // Its task still waits for the answer.
            self.driver.held_back.push_front(Message::Request { node, attempt, request, reply, span: Span::none() });
            return Err(stop);
        }
        let starts_step = matches!(request, TaskRequest::StartStep { .. });
        let key = request.step().map(|step| (node.clone(), step.to_owned()));
        let given = node.clone();
        match self.decide(InputKind::Task { node, attempt, request }) {
            Err(Rejection::Broken(illegal)) => Err(Stop::Reload(Rejection::Broken(illegal).into())),
            Err(rejection) => {
                self.answer_after_pending(Reply::Refused(reply), Err(rejection.into()));
                Ok(())
            }
            Ok(events) if starts_step => {
                let step = key.map(|(_, step)| step).unwrap_or_default();
                let reply = Reply::Start(Start { node: given, attempt, step, reply });
                if events.is_empty() {
                    self.answer_after_pending(reply, Ok(()));
                    return Ok(());
                }
                self.commit(events, Some(reply), Vec::new()).await
            }
            Ok(events) => {
                if let Some(key) = key {
                    self.driver.waiters.entry(key.clone()).or_default().push(reply);
                    let paused = self.is_paused();
                    match self.pending.back_mut() {
                        Some(pending) if events.is_empty() => pending.settle_too(key),
                        None if events.is_empty() && !paused => self.answer(&key),
                        _ => {}
                    }
                }
                if events.is_empty() { Ok(()) } else { self.commit(events, None, Vec::new()).await }
            }
        }
    }

    /// Whether the step of the request already exists.
    fn is_known(&self, node: &Name, request: &TaskRequest) -> bool {
        let steps = self.state.plan().id(node).map(|id| &self.state.node(id).steps);
        steps.zip(request.step()).is_some_and(|(steps, step)| steps.contains_key(step))
    }

    /// A pause has ended: decides on the deferred requests. If the run is stopping, they are refused.
    pub(super) async fn begin_deferred(&mut self) -> Result<(), Stop> {
        while !self.is_paused() && !self.driver.deferred.is_empty() {
            let Deferred { node, attempt, request, reply } = self.driver.deferred.remove(0);
            if self.state.status().is_ending() {
                self.answer_after_pending(Reply::Refused(reply), Err(Rejection::Stopping.into()));
                continue;
            }
            self.request(node, attempt, request, reply).await?;
        }
        Ok(())
    }

    /// The run was paused before the work of these steps began, or their attempt ended: they have not started.
    pub(super) async fn defer_unstarted(&mut self) -> Result<(), Stop> {
        for Start { node, attempt, step, reply } in std::mem::take(&mut self.driver.unstarted) {
            let request = TaskRequest::LetGo { step: step.clone(), begun: false };
            self.input(InputKind::Task { node: node.clone(), attempt, request }, None).await?;
            if !self.is_under_way(&node, attempt) {
                continue;
            }
            self.driver.deferred.push(Deferred { node, attempt, request: TaskRequest::StartStep { step }, reply });
        }
        Ok(())
    }

    /// Reads the large values that the plan's conditions need and whose answers are not known: from journals of older
    /// versions, and for a growth. If one cannot be read, the node that needs it fails.
    pub(super) async fn read_unread(&mut self, growth: Option<&Growth>) -> Result<(), Stop> {
        for one in unread(&self.state, growth) {
            match insist(|| blobs::fetch(&*self.driver.shared.store, &self.driver.run, one.payload().clone())).await {
                Ok(value) => self.decide_and_commit(one.read(&value)).await?,
                Err(error) if error.store_kind().is_some_and(|kind| kind != StoreErrorKind::Damaged) => {
                    return Err(Stop::Reload(error));
                }
                Err(error) => {
                    tracing::warn!(run = %self.driver.run, %error, "cannot read a value that a condition needs");
                }
            }
        }
        Ok(())
    }

    async fn decide_and_commit(&mut self, kind: InputKind) -> Result<(), Stop> {
        match self.decide(kind) {
            Ok(events) if events.is_empty() => Ok(()),
            Ok(events) => self.commit(events, None, Vec::new()).await,
            Err(rejection) => Err(Stop::Reload(rejection.into())),
        }
    }

    fn check_growth(&self, node: &Name, step: &str, growth: &Growth) -> Result<(), Error> {
        // A growth that nests too deep is refused before it is encoded.
        growth.check()?;
        check_growth(&self.driver.run, node, step, growth)?;
        let missing = self.driver.shared.code.missing_growth_task(&self.state, growth);
        missing.map_or(Ok(()), |task| {
            let message = format!("the growth needs task `{task}`, which is not registered with this engine");
            Err(Error::new(ErrorKind::Invalid, message))
        })
    }

    pub(super) fn decide(&mut self, kind: InputKind) -> Result<Vec<Event>, Rejection> {
        let (last, was_paused) = (self.state.last(), self.is_paused());
        self.deciding = Some(kind.clone());
        if let InputKind::ChildEnded { child, .. } = &kind {
            self.stop_starting(child);
        }
        let input = Input { at: self.driver.shared.clock.now(), chance: chance(&self.driver.run, last), kind };
        let decided = decide_next(&mut self.state, input);
        // Closed at once; opened when the decision is durable.
        if self.is_paused() {
            self.driver.known.paused.send_replace(true);
        } else if was_paused {
            self.reset_heartbeats();
        }
        decided
    }

    /// A pause has ended: its time does not count as silence.
    pub(super) fn reset_heartbeats(&self) {
        let now = self.driver.shared.clock.now();
        self.driver.invoked.values().for_each(|call| call.activity.beat(now));
    }
}

/// A request that waits for the end of a pause.
pub(super) struct Deferred {
    node: Name,
    attempt: u32,
    request: TaskRequest,
    reply: oneshot::Sender<StepReply>,
}

/// A pseudo-random number without a source of randomness: different for every run and position, the same whenever it is
/// computed.
fn chance(run: &RunId, last: Seq) -> f64 {
    // FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = run.bytes().chain(last.0.to_le_bytes()).fold(0x811c_9dc5, step);
    f64::from(hash) / f64::from(u32::MAX)
}
