//! Orkestra's own pipeline as a contestant. A trial is a run of it, so a crash loses nothing: the run continues.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use orkestra_agents::{Orkestra, PipelineRequest, SandboxSpec, TOKENS_METER, is_lost_hosts_pause};
use orkestra_core::prelude::{Amount, Cursor, Outcome, PauseReason, Run, RunId};
use orkestra_tools::Network;
use tokio::sync::SetOnce;
use tokio::time::{Instant, sleep_until, timeout};

use super::record::{self, cut};
use super::{Assignment, Attempt, AttemptError, Contestant, outside};
use crate::delivery::{self, File};
use crate::result::{AgentInfo, Ending};

/// How long a run may take to end after it was cancelled, before it is ended by force.
const CANCEL_TIME: Duration = Duration::from_secs(30);
/// The name of this contestant.
const NAME: &str = "orkestra";
/// What a reader of a result of the demo model has to know first.
const DEMO: &str = "demo: no AI";
/// The label by which the runs of trials are found.
const TRIAL_LABEL: &str = "trial";

/// Orkestra's pipeline.
#[derive(Default)]
pub struct PipelineContestant {
    model: Option<String>,
    attached: SetOnce<Attached>,
}

/// What works on the trials.
struct Attached {
    orkestra: Weak<Orkestra>,
    info: AgentInfo,
    place: String,
}

impl PipelineContestant {
    /// The pipeline with this model; `None` leaves the choice to the Orkestra.
    #[must_use]
    pub fn new(model: Option<String>) -> Self {
        Self { model, attached: SetOnce::new() }
    }

    /// Sets the Orkestra, which may be on the engine of the benchmark itself. Trials wait until this was called.
    ///
    /// # Errors
    /// When commands have nowhere to run ([`orkestra_agents::ErrorKind::Sandbox`]).
    pub async fn attach(&self, orkestra: &Arc<Orkestra>) -> Result<(), orkestra_agents::Error> {
        let model = orkestra.model(self.model.as_deref()).await;
        let sandbox = orkestra.sandbox(&model).await?;
        let notice = model.is_demo().then(|| DEMO.to_owned());
        let attached = Attached {
            orkestra: Arc::downgrade(orkestra),
            info: AgentInfo { name: NAME.to_owned(), model: model.name.clone(), notice },
            place: format!("agents work in {}", described(&sandbox)),
        };
        // A second one is ignored: trials are under way on the first.
        let _ = self.attached.set(attached);
        Ok(())
    }

    async fn orkestra(&self) -> Result<Arc<Orkestra>, AttemptError> {
        let orkestra = self.attached.wait().await.orkestra.upgrade();
        orkestra.ok_or_else(|| AttemptError::passing("the Orkestra of the benchmark has been shut down"))
    }

    /// The run of the trial: a new one, or the one that an earlier process began.
    async fn run(&self, orkestra: &Orkestra, assignment: &Assignment) -> Result<Run, AttemptError> {
        let workspace = orkestra.workspace_of(&assignment.id);
        let id = RunId::new(&assignment.id).map_err(|error| AttemptError::lasting(error.to_string()))?;
        if orkestra.engine().get(&id).await.map_err(|error| engine(&error))?.is_none() {
            for (path, content) in &assignment.start {
                delivery::write(&workspace, &File::new(path, content.clone()))
                    .map_err(|error| AttemptError::passing(format!("cannot write {path}: {error}")))?;
            }
        }
        let tokens = assignment.limits.tokens.map(|tokens| (TOKENS_METER.to_owned(), Amount::whole(tokens)));
        let request = PipelineRequest {
            id: Some(assignment.id.clone()),
            objective: assignment.objective.clone(),
            model: self.model.clone(),
            labels: [(TRIAL_LABEL.to_owned(), assignment.id.clone())].into(),
            budgets: tokens.into_iter().collect(),
            ..PipelineRequest::default()
        };
        let run = orkestra.create(request).await.map_err(|error| match error.kind() {
            orkestra_agents::ErrorKind::Usage | orkestra_agents::ErrorKind::Model => {
                AttemptError::lasting(error.to_string())
            }
            _ => AttemptError::passing(error.to_string()),
        })?;
        // NOTE: only after a person has seen why: this process may have paused it a moment ago.
        if assignment.was_resumed {
            let pause = run.view().await.map_err(|error| engine(&error))?.pause;
            if matches!(&pause, Some(PauseReason::Asked { reason }) if is_lost_hosts_pause(reason)) {
                run.resume().await.map_err(|error| engine(&error))?;
            }
        }
        Ok(run)
    }
}

#[async_trait]
impl Contestant for PipelineContestant {
    fn info(&self) -> AgentInfo {
        let unknown =
            || AgentInfo { name: NAME.to_owned(), model: self.model.clone().unwrap_or_default(), notice: None };
        self.attached.get().map_or_else(unknown, |attached| attached.info.clone())
    }

    fn place(&self) -> String {
        self.attached.get().map_or_else(String::new, |attached| attached.place.clone())
    }

    async fn attempt(&self, assignment: &Assignment) -> Result<Attempt, AttemptError> {
        let orkestra = self.orkestra().await?;
        let deadline = Instant::now() + Duration::from_secs(assignment.limits.seconds).saturating_sub(assignment.used);
        let run = self.run(&orkestra, assignment).await?;
        let stopped = tokio::select! {
            stopped = until_stopped(&run) => stopped?,
            () = sleep_until(deadline) => Some(Ending::OutOfTime),
        };
        if let Some(ending) = &stopped {
            stop(&run, ending).await?;
        }
        let outcome = orkestra.settled(&run).await.map_err(|error| AttemptError::passing(error.to_string()))?;
        let record = record::read(&run).await.map_err(|error| engine(&error))?;
        let trouble = match &stopped {
            None => outside::of_outcome(&outcome, &record),
            Some(Ending::OutOfTime) => outside::of_waiting(&record, assignment.limits),
            Some(_) => None,
        };
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let ending = stopped.unwrap_or_else(|| ending(&outcome));
        Ok(Attempt {
            attempts: Some(record.attempts),
            input_tokens: record.input,
            output_tokens: record.output,
            model_calls: Some(record.calls),
            cost_usd: record.cost,
            timeline: record.timeline,
            ..Attempt::new(ending, orkestra.workspace_of(&assignment.id))
        })
    }
}

fn described(sandbox: &SandboxSpec) -> String {
    let runtime = sandbox.runtime.as_ref().map(|runtime| format!(" ({runtime})")).unwrap_or_default();
    format!(
        "{}{runtime}, network {}",
        sandbox.kind.as_str(),
        match sandbox.network_used() {
            Network::None => "none",
            Network::Registries => "registries",
            _ => "open",
        }
    )
}

fn engine(error: &orkestra_core::Error) -> AttemptError {
    AttemptError::passing(format!("the engine failed: {error}"))
}

/// Waits until the run has ended (`None`), or cannot go on.
async fn until_stopped(run: &Run) -> Result<Option<Ending>, AttemptError> {
    let mut events = run.events(Cursor::START);
    while let Some(event) = events.next().await.map_err(|error| engine(&error))? {
        let orkestra_core::prelude::Event::RunPaused { .. } = &event.event else { continue };
        // NOTE: an event of the past says nothing about now.
        match run.view().await.map_err(|error| engine(&error))?.pause {
            Some(PauseReason::Budget { .. }) => return Ok(Some(Ending::OutOfTokens)),
            // Whose fault it is, a person has to find out; then `run` resumes it.
            Some(PauseReason::Asked { reason }) if is_lost_hosts_pause(&reason) => {
                return Err(AttemptError::lasting(format!("run {} is paused: {reason}", run.id())));
            }
            Some(reason) => return Ok(Some(Ending::Failed { reason: format!("it was paused: {reason}") })),
            None => {}
        }
    }
    Ok(None)
}

async fn stop(run: &Run, ending: &Ending) -> Result<(), AttemptError> {
    let why = match ending {
        Ending::OutOfTime => "the time of the trial is used up",
        _ => "the trial ends here",
    };
    match run.cancel(why).await {
        Ok(()) => {}
        // It has ended meanwhile.
        Err(error) if run.outcome().await.is_ok() => {
            tracing::debug!(%error, "a trial ended by itself before it was cancelled");
            return Ok(());
        }
        Err(error) => return Err(engine(&error)),
    }
    if timeout(CANCEL_TIME, run.outcome()).await.is_err() {
        run.terminate(why).await.map_err(|error| engine(&error))?;
    }
    Ok(())
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Completed(_) => Ending::Finished,
        Outcome::Failed { node, failure } => Ending::Failed { reason: format!("{node}: {}", cut(&failure.message)) },
        other => Ending::Failed { reason: cut(&format!("{other:?}")) },
    }
}
