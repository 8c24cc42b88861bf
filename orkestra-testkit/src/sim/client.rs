//! Those outside who start runs, send signals, cancel, read along and wait. What they are told must be true.

use std::sync::Arc;

use orkestra_core::kernel::{Event, RunStatus};
use orkestra_core::model::{Name, RunId, Seq, WorkflowSpec};
use orkestra_core::{Cursor, Engine, Error, ErrorKind, Run};

use super::world::{Process, World};

/// Somebody who talks to one engine from inside its process.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) process: Arc<Process>,
    pub(super) engine: Engine,
}

impl Client {
    /// What somebody was told, if the process was still there to tell it.
    async fn told<T>(&self, what: &str, run: &RunId, answer: Result<T, Error>) -> Result<T, ErrorKind> {
        self.process.must_live().await;
        let answer = answer.map_err(|error| {
            if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Invalid) {
                self.world.broken(format!("{what} `{run}`: {error}"));
            }
            error.kind()
        });
        let said = answer.as_ref().err();
        self.world.note(format_args!("{} is told of {what} {run}: {said:?}", self.process.name));
        answer
    }

    /// Starts a run; whether it is there now.
    pub(super) async fn start(self, spec: Arc<WorkflowSpec>, id: RunId, input: u64) -> bool {
        let request = self.engine.run_spec(&spec).id(&id).label("world", &self.world.seed.to_string());
        let answer = match request.input(&input) {
            Ok(request) => request.start().await,
            Err(error) => Err(error),
        };
        match self.told("starting", &id, answer).await {
            Ok(_) => {
                let wanted = &spec.name;
                self.world.audit().promised(
                    &id,
                    &"the start",
                    |event| matches!(event, Event::RunCreated { plan, .. } if plan.workflow() == wanted),
                );
                true
            }
            Err(kind) => {
                if kind == ErrorKind::NotFound {
                    self.world.broken(format!("`{id}` cannot be started: nothing found"));
                }
                false
            }
        }
    }

    async fn find(&self, id: &RunId) -> Option<Run> {
        let found = self.engine.get(id).await;
        self.process.must_live().await;
        found.ok().flatten()
    }

    /// Sends a signal that can be told from all others; whether it is there now.
    pub(super) async fn signal(self, id: RunId, signal: Name, number: u64) -> bool {
        let Some(run) = self.find(&id).await else { return false };
        let answer = run.signal(&signal, &number).await;
        match self.told(&format!("signal {signal} {number} for"), &id, answer).await {
            Ok(()) => {
                self.world.audit().promised(&id, &(&signal, number), |event| {
                    let Event::SignalReceived { signal: received, payload } = event else { return false };
                    *received == signal && payload.to::<u64>().is_ok_and(|received| received == number)
                });
                true
            }
            Err(kind) => {
                self.expect_over(&id, kind, false);
                false
            }
        }
    }

    /// Cancels a run.
    pub(super) async fn cancel(self, id: RunId) {
        let Some(run) = self.find(&id).await else { return };
        let answer = run.cancel("the world says so").await;
        match self.told("cancelling", &id, answer).await {
            Ok(()) => self.world.audit().promised(&id, &"the cancel", |event| {
                matches!(event, Event::StopRequested { .. } | Event::RunCancelled { .. })
            }),
            Err(kind) => self.expect_over(&id, kind, true),
        }
    }

    /// Only a run that is over, or about to be, is in no state for something.
    fn expect_over(&self, id: &RunId, kind: ErrorKind, stopping_too: bool) {
        let status = self.world.audit().state(id).map(orkestra_core::kernel::RunState::status);
        let over = status.is_some_and(|status| status.is_final() || stopping_too && status == RunStatus::Stopping);
        if kind == ErrorKind::Conflict && !over {
            self.world.broken(format!("`{id}` refuses what it is in the state for: {status:?}"));
        }
    }

    /// Reads along from some point on, until the run ends or the engine does.
    pub(super) async fn read_along(self, id: RunId, after: Seq) {
        let Some(run) = self.find(&id).await else { return };
        let mut events = run.events(Cursor(after.0));
        let mut expected = after.plus(1);
        loop {
            let next = events.next().await;
            self.process.must_live().await;
            match next {
                Ok(Some(event)) => self.world.audit().delivered(&event, expected),
                // Read on where one was, as one does after a failure.
                Err(error) if error.kind() == ErrorKind::Store => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    events = run.events(Cursor(expected.0 - 1));
                    continue;
                }
                Ok(None) => {
                    let ended = self.world.audit().state(&id).is_some_and(|state| state.status().is_final());
                    if !ended {
                        self.world.broken(format!("a reader of `{id}` was told of its end, and it is under way"));
                    }
                    return;
                }
                Err(_) => return,
            }
            expected = expected.plus(1);
        }
    }

    /// Waits for the end.
    pub(super) async fn wait(self, id: RunId) {
        let Some(run) = self.find(&id).await else { return };
        let outcome = run.outcome().await;
        if let Ok(outcome) = self.told("the end of", &id, outcome).await {
            self.world.audit().ended(&id, &outcome);
        }
    }
}
