//! Clients that start runs, send signals, cancel, follow events and wait. Every answer that they get must be true.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::kernel::{Event, InputKind, RunState, RunStatus};
use orkestra_core::model::{Amount, Name, Payload, RunId, Seq, Timestamp, WorkflowSpec};
use orkestra_core::{Cursor, Engine, Error, ErrorKind, Run, RunRequest, Schedule, When};

use serde_json::{Value, json};

use super::ability::Ability;
use super::program::METER;
use super::value::{message, number_of, odd};
use super::world::{PANIC, Process, World};

/// What can be done to a run from outside.
#[derive(Clone, Debug)]
pub(super) enum Verb {
    Signal(Name),
    Answer(Seq),
    Cancel,
    Terminate,
    Pause,
    Resume,
    Retry(Name),
    Budget(Option<Amount>),
    /// With this id, from this node.
    Fork(RunId, Name),
    Delete,
}

/// A client of one engine, inside the engine's process.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) engine: Engine,
}

impl Client {
    /// Checks an answer that a client got, if the process is still alive.
    async fn check_answer<T>(&self, what: &str, run: &RunId, answer: Result<T, Error>) -> Result<T, ErrorKind> {
        self.process.halt_if_dead().await;
        let answer = answer.map_err(|error| {
            // A node to fork from is drawn without knowing whether it ever started, one to retry may belong to a deleted run,
            // and some workflows must be refused.
            let drawn = what.starts_with("Fork") || what.starts_with("Retry");
            let refused = what == "starting" && self.world.abilities.has(Ability::Doors);
            let invalid = error.kind() == ErrorKind::Invalid && !drawn && !refused;
            let internal = error.kind() == ErrorKind::Internal && !error.to_string().contains(PANIC);
            if invalid || internal {
                self.world.broken(format!("{what} `{run}`: {error}"));
            }
            error.kind()
        });
        let said = answer.as_ref().err();
        self.world.note(format_args!("{} is answered about {what} {run}: {said:?}", self.process.name));
        answer
    }

    /// Starts a run; returns whether it exists now.
    pub(super) async fn start(self, spec: Arc<WorkflowSpec>, id: RunId, number: u64) -> bool {
        let request = self.engine.run_spec(&spec).id(&id).label("world", &self.world.seed.to_string());
        let answer = match self.with_options(request, number) {
            Ok(request) => request.start().await,
            Err(error) => Err(error),
        };
        match self.check_answer("starting", &id, answer).await {
            Ok(_) => {
                let wanted = &spec.name;
                self.world.audit().acknowledged(
                    &id,
                    &"the start",
                    |event| matches!(event, Event::RunCreated { plan, .. } if plan.workflow() == wanted),
                );
                true
            }
            Err(kind) => {
                if kind == ErrorKind::NotFound {
                    self.world.broken(format!("`{id}` cannot be started: not found"));
                }
                false
            }
        }
    }

    fn has_odd_values(&self) -> bool {
        self.world.abilities.has(Ability::Values)
    }

    fn with_options(&self, request: RunRequest, number: u64) -> Result<RunRequest, Error> {
        let draw = |end| self.world.draw(|chance| chance.below(end));
        let v = odd(self.world.seed, self.has_odd_values(), number);
        let mut request = request.input(&json!({ "start": number, "v": v }))?;
        if draw(8) == 0 {
            request = request.deadline(Duration::from_secs([2, 20, 90][draw(3)]));
        }
        if draw(4) == 0 {
            request = request.budget(METER, Amount::whole(1 + draw(5) as u64))?;
        }
        if draw(4) == 0 {
            request = request.priority(i32::try_from(draw(3)).unwrap_or(0));
        }
        if number % 3 == 2 {
            request = request.lost_processes_max(NonZeroU32::MIN.saturating_add(1));
        }
        Ok(request)
    }

    async fn find(&self, id: &RunId) -> Option<Run> {
        let found = self.engine.get(id).await;
        self.process.halt_if_dead().await;
        found.ok().flatten()
    }

    /// Applies a verb to a run. If it is acknowledged, it must be durable.
    pub(super) async fn tell(self, id: RunId, verb: Verb, number: u64) {
        let Some(run) = self.find(&id).await else { return };
        let (incarnation, before) = {
            let audit = self.world.audit();
            (audit.incarnation(&id), audit.state(&id).map(RunState::status))
        };
        let message = |what: &str| message(self.world.seed, self.has_odd_values(), number, &id, what);
        let answer = match &verb {
            Verb::Signal(signal) => run.signal(signal, &message(signal)).await,
            Verb::Answer(question) => run.answer(*question, &message(&question.0.to_string())).await,
            Verb::Delete => run.delete().await,
            Verb::Cancel => run.cancel("the world says so").await,
            Verb::Terminate => run.terminate("the world says so").await,
            Verb::Pause => run.pause("the world says so").await,
            Verb::Resume => run.resume().await,
            Verb::Retry(node) => run.retry(node).await,
            Verb::Budget(limit) => run.set_budget(METER, *limit).await,
            Verb::Fork(fork, node) => run.fork(fork, node, None::<&u64>).await.map(drop),
        };
        match self.check_answer(&format!("{verb:?} {number} for"), &id, answer).await {
            Ok(()) => {
                let sent = self.world.letters(&id).await;
                // If the run was deleted meanwhile, the verb is gone with it.
                if self.world.audit().incarnation(&id) == incarnation {
                    self.check_acknowledged(&id, &verb, number, &sent);
                }
            }
            Err(kind) => self.expect_over(&id, kind, &verb, before),
        }
    }

    fn check_acknowledged(&self, id: &RunId, verb: &Verb, number: u64, sent: &[InputKind]) {
        // A value kept beside the journal cannot be identified here.
        let same = |payload: &Payload| {
            let found = payload.to::<Value>().ok();
            payload.as_json().starts_with("{\"$orkestra.") || found.as_ref().and_then(number_of) == Some(number)
        };
        let mut audit = self.world.audit();
        match verb {
            Verb::Delete => {}
            Verb::Fork(fork, _) => {
                audit.acknowledged(fork, verb, |event| matches!(event, Event::RunCreated { .. }));
            }
            _ => audit.acknowledged_or_sent(
                id,
                verb,
                |event| match (verb, event) {
                    (Verb::Signal(signal), Event::SignalReceived { signal: received, payload }) => {
                        signal == received && same(payload)
                    }
                    (Verb::Answer(_), Event::QuestionAnswered { answer, .. }) => same(answer),
                    (Verb::Cancel, Event::StopRequested { .. } | Event::RunCancelled { .. })
                    | (Verb::Terminate, Event::RunTerminated { .. })
                    | (Verb::Pause, Event::RunPaused { .. })
                    | (Verb::Resume, Event::RunResumed) => true,
                    (Verb::Retry(node), Event::NodeReset { node: reset } | Event::UndoRetried { node: reset }) => {
                        node == reset
                    }
                    (Verb::Budget(limit), Event::BudgetSet { limit: set, .. }) => limit == set,
                    _ => false,
                },
                sent,
                |sent| match (verb, sent) {
                    (Verb::Signal(signal), InputKind::Signal { signal: sent, payload }) => {
                        signal == sent && same(payload)
                    }
                    (Verb::Answer(_), InputKind::Answer { answer, .. }) => same(answer),
                    (Verb::Cancel, InputKind::Cancel { .. })
                    | (Verb::Terminate, InputKind::Terminate { .. })
                    | (Verb::Pause, InputKind::Pause { .. })
                    | (Verb::Resume, InputKind::Resume) => true,
                    (Verb::Retry(node), InputKind::Retry { node: sent }) => node == sent,
                    (Verb::Budget(limit), InputKind::SetBudget { limit: sent, .. }) => limit == sent,
                    _ => false,
                },
            ),
        }
    }

    /// Only a run that has ended, or is about to, may refuse a signal or a cancel with a conflict. `before` is its status before
    /// the call: it may have been reopened since.
    fn expect_over(&self, id: &RunId, kind: ErrorKind, verb: &Verb, before: Option<RunStatus>) {
        if kind != ErrorKind::Conflict || !matches!(verb, Verb::Signal(_) | Verb::Cancel | Verb::Terminate) {
            return;
        }
        let Some(status) = self.world.audit().state(id).map(RunState::status) else { return };
        let ends = |status: RunStatus| status.is_final() || matches!(verb, Verb::Cancel) && status.is_ending();
        if !before.is_some_and(ends) && !ends(status) {
            self.world.broken(format!("`{id}` refuses {verb:?} although its status is {status:?}"));
        }
    }

    /// Follows the run's events from a position on, until the run or the engine ends.
    pub(super) async fn read_along(self, id: RunId, after: Seq) {
        let Some(run) = self.find(&id).await else { return };
        let incarnation = self.world.audit().incarnation(&id);
        let there = self.world.audit().last(&id);
        let mut events = run.events(Cursor(after.0));
        let mut expected = after.plus(1);
        loop {
            let next = events.next().await;
            self.process.halt_if_dead().await;
            match next {
                Ok(Some(_)) if self.world.audit().incarnation(&id) > incarnation => return,
                Ok(Some(event)) => self.world.audit().delivered(&event, expected),
                // The run was deleted, and another one may have its id.
                Err(_) if self.world.audit().incarnation(&id) > incarnation => return,
                // Continue from the last position, as clients do after a failure.
                Err(error) if error.kind() == ErrorKind::Store => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    events = run.events(Cursor(expected.0 - 1));
                    continue;
                }
                Ok(None) => {
                    // It must have read all events that existed when it started, even events after an end.
                    let whole = expected > there && self.world.audit().ends_before(&id, expected);
                    if !whole && self.world.audit().incarnation(&id) == incarnation {
                        self.world.broken(format!("a reader of `{id}` saw its end although it has not ended"));
                    }
                    return;
                }
                Err(_) => return,
            }
            expected = expected.plus(1);
        }
    }

    /// Waits for the outcome.
    pub(super) async fn wait(self, id: RunId) {
        let Some(run) = self.find(&id).await else { return };
        let outcome = run.outcome().await;
        if let Ok(outcome) = self.check_answer("the end of", &id, outcome).await {
            self.world.audit().ended(&id, &outcome);
        }
    }

    /// Reads a run's output, which must consist of its nodes' outputs.
    pub(super) async fn read_output(self, id: RunId) {
        let Some(run) = self.find(&id).await else { return };
        let wanted = self.world.audit().output(&id);
        let output = run.output::<Value>().await;
        let Some(wanted) = wanted else { return };
        match output {
            Ok(output) if output == wanted => {}
            Ok(output) => self.world.broken(format!("the output of `{id}` is {output} and not {wanted}")),
            Err(error) if error.kind() == ErrorKind::Store => {}
            Err(error) if error.kind() == ErrorKind::NotFound && self.world.audit().incarnation(&id) > 0 => {}
            Err(error) => self.world.broken(format!("the output of `{id}` cannot be read: {error}")),
        }
    }

    pub(super) async fn put_schedule(self, schedule: Schedule) {
        let put = self.engine.schedules().put(schedule).await;
        self.process.halt_if_dead().await;
        self.world.note(format_args!("{} puts a schedule: {:?}", self.process.name, put.err().map(|it| it.kind())));
    }

    /// Checks that a schedule's next time is within its period, and removes the schedule.
    pub(super) async fn end_schedule(&self, name: &str, now: Timestamp) -> Result<(), Error> {
        if let Some(status) = self.engine.schedules().get(name).await? {
            let When::Every { period, .. } = status.schedule.when else { return Ok(()) };
            if status.next.is_none_or(|next| next > now.saturating_add(period)) {
                self.world
                    .broken(format!("schedule `{name}` is every {period:?}, and fires next at {:?}", status.next));
            }
        }
        self.engine.schedules().remove(name).await.map(drop)
    }
}
