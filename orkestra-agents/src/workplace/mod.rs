//! Where the agents of a run work: its workspace, its sandbox, its artifacts; and what they work with.
//!
//! ```text
//! <data>/workspace/run_{id} | project_{id}    what agents see and users get
//! <data>/artifacts/{run}/{node}/              whole outputs of commands, outside of what agents can write
//! ```

mod sandbox;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use orkestra_core::prelude::RunId;
use orkestra_tools::{Observer, Sandbox, ToolScope, Workspace};

use crate::{
    Error, ErrorKind,
    call_log::CallLog,
    model::{ModelChoice, ModelSource},
    pipeline::Job,
};

use sandbox::LazySandbox;
pub use sandbox::SandboxChoice;

/// The places and the means of all agents of one process.
pub struct Workplaces {
    data: PathBuf,
    models: ModelSource,
    call_log: CallLog,
    open: Mutex<HashMap<String, Workplace>>,
}

/// The place of one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workplace {
    workspace: Workspace,
    sandbox: Arc<LazySandbox>,
    artifacts: PathBuf,
}

impl Workplaces {
    /// Workplaces below the directory `data`.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the directory cannot be made or written to.
    pub fn new(data: &Path, models: ModelChoice) -> Result<Self, Error> {
        let workspaces = data.join("workspace");
        std::fs::create_dir_all(&workspaces).map_err(|error| {
            let message = format!("the data directory {} cannot be used: {error}", data.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        let models = ModelSource::new(models);
        Ok(Self { data: data.to_owned(), models, call_log: CallLog::default(), open: Mutex::default() })
    }

    /// Writes one line per call to this file, for observers outside the process.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the file cannot be opened for appending.
    pub fn with_call_log(mut self, path: &Path) -> Result<Self, Error> {
        self.call_log = CallLog::open(path)?;
        Ok(self)
    }

    pub(crate) fn models(&self) -> &ModelSource {
        &self.models
    }

    pub(crate) fn call_log(&self) -> &CallLog {
        &self.call_log
    }

    /// Where the files of a run are.
    #[must_use]
    pub fn workspace_path(&self, run: &str, project_id: Option<&str>) -> PathBuf {
        let name = match project_id {
            Some(project) => format!("project_{}", file_name(project)),
            None => format!("run_{}", file_name(run)),
        };
        self.data.join("workspace").join(name)
    }

    /// The workplace of a run, made when it is first asked for.
    pub(crate) fn workplace(&self, run: &RunId, job: &Job) -> Result<Workplace, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workplace) = open.get(run.as_str()) {
            return Ok(workplace.clone());
        }
        let path = self.workspace_path(run.as_str(), job.project_id.as_deref());
        let workspace = Workspace::open(&path).map_err(|error| {
            let message = format!("the workspace {} cannot be used: {error}", path.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        let sandbox = Arc::new(LazySandbox::new(job.sandbox, run.as_str(), &path, workspace.clone()));
        let workplace =
            Workplace { workspace, sandbox, artifacts: self.data.join("artifacts").join(file_name(run.as_str())) };
        open.insert(run.as_str().to_owned(), workplace.clone());
        Ok(workplace)
    }

    /// Closes the sandbox of a run that has ended; its files stay.
    pub(crate) async fn close(&self, run: &str) {
        let workplace = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        if let Some(workplace) = workplace
            && let Err(error) = workplace.sandbox.close().await
        {
            tracing::warn!(run, %error, "a sandbox could not be closed; the next start removes it");
        }
    }

    /// Closes the sandboxes of all runs, at shutdown.
    pub(crate) async fn close_all(&self) {
        let runs: Vec<String> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.keys().cloned().collect()
        };
        for run in runs {
            self.close(&run).await;
        }
    }
}

impl Workplace {
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the tools of the agent at `node` may touch.
    pub(crate) fn scope(&self, node: &str, observer: Arc<impl Observer + 'static>) -> ToolScope {
        let sandbox: Arc<dyn Sandbox> = Arc::clone(&self.sandbox) as Arc<dyn Sandbox>;
        ToolScope::new(self.workspace.clone(), sandbox, self.artifacts.join(file_name(node)), observer)
    }
}

/// An id as one part of a path. Ids may hold `/`, `:` and dots; two ids never become one name.
fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for (position, one) in id.char_indices() {
        let is_plain = one.is_ascii_alphanumeric() || one == '_' || one == '-' || (one == '.' && position > 0);
        if is_plain {
            name.push(one);
        } else {
            name.push_str(&format!("%{:X}", u32::from(one)));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_directory() {
        assert_eq!(file_name("my-blog.2"), "my-blog.2");
        assert_eq!(file_name("a/../../b"), "a%2F..%2F..%2Fb");
        assert_eq!(file_name(".."), "%2E.");
        assert_ne!(file_name("a:b"), file_name("a/b"));
    }
}
