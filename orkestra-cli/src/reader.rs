//! Reads runs without driving them: an engine whose agents do nothing, on a store that reports no run as due.

use std::path::PathBuf;

use orkestra_agents::{PROJECT_LABEL, Rooms, model::ModelChoice, pipeline};
use orkestra_core::model::{FailureKind, RunId};
use orkestra_core::prelude::{Context, Engine, Run, RunRecord, TaskError, TaskResult};
use orkestra_tools::Workspace;

use crate::exit::Failure;
use crate::place::Place;

/// An engine for reading and cancelling runs. It never calls a model and never runs a command.
pub(crate) struct Reader {
    pub(crate) engine: Engine,
    rooms: Rooms,
}

impl Reader {
    /// For reading: it drives no run.
    pub(crate) async fn start(place: &Place) -> Result<Self, Failure> {
        Self::start_with(place, &[]).await
    }

    /// For finishing the cancellation of `runs`. A run among them that is not being cancelled only waits.
    pub(crate) async fn start_with(place: &Place, runs: &[RunId]) -> Result<Self, Failure> {
        let mut engine = Engine::builder().shared_store(place.leaving_all_but(runs));
        for agent in pipeline::AGENTS {
            engine = engine.task(agent, wait_for_the_end);
        }
        let rooms = Rooms::new(&place.data, ModelChoice::demo())?;
        Ok(Self { engine: engine.start().await?, rooms })
    }

    /// Finds a run by the id that the user gave.
    pub(crate) async fn find(&self, id: &str) -> Result<Run, Failure> {
        let unknown =
            || Failure::usage(format!("there is no run {id:?} here; list the runs of this directory with `aios ls`"));
        let run_id = RunId::new(id).map_err(|_| unknown())?;
        self.engine.get(&run_id).await?.ok_or_else(unknown)
    }

    /// The directory with the files of a run.
    pub(crate) fn workspace_path(&self, run: &RunRecord) -> PathBuf {
        self.rooms.workspace_path(run.id.as_str(), run.labels.get(PROJECT_LABEL).map(String::as_str))
    }

    /// The files of a run, as its agents see them.
    pub(crate) fn files(&self, run: &RunRecord) -> Vec<String> {
        let path = self.workspace_path(run);
        // NOTE: `Workspace::open` would create the directory.
        let listing = path.is_dir().then(|| Workspace::open(&path).and_then(|workspace| workspace.list()));
        let entries = listing.and_then(Result::ok).map(|listing| listing.files).unwrap_or_default();
        entries.into_iter().map(|entry| entry.path).filter(|path| !path.starts_with(".orkestra-")).collect()
    }
}

/// Replaces every agent while a run is cancelled: running attempts end without making a call.
async fn wait_for_the_end(cx: Context, _input: serde_json::Value) -> TaskResult<serde_json::Value> {
    cx.cancelled().await;
    Err(TaskError::permanent("the run was cancelled").with_kind(FailureKind::Cancelled))
}
