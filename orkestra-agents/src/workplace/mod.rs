//! Where the agents of a run work: the workspace with its files, the sandbox for commands, and the artifacts.
//!
//! ```text
//! <data>/workspace/run_{id} | project_{id}    what agents see and users get
//! <data>/artifacts/{run}/{node}/              whole outputs of commands; agents cannot write there
//! ```

mod sandbox;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use orkestra_core::prelude::RunId;
use orkestra_tools::{Observer, Sandbox, Secrets, ToolScope, Workspace, policy::Policy};

use crate::{
    Error, ErrorKind,
    agent::{ANSWER_TIME, Consents},
    call_log::CallLog,
};

use sandbox::LazySandbox;
pub use sandbox::SandboxKind;

/// The workplaces of all runs of one process, below one data directory. Cheap to clone; clones share their workplaces.
///
/// All agents of a run share one workplace. Its sandbox starts with the first command and is closed by [`Workplaces::close`];
/// its files stay. A sandbox that is not closed keeps its processes or its container.
#[derive(Clone)]
pub struct Workplaces {
    data: Arc<Path>,
    sandbox: SandboxKind,
    call_log: CallLog,
    rules: Rules,
    open: Arc<Mutex<HashMap<String, Workplace>>>,
}

/// What holds for the tool calls of all runs.
#[derive(Clone)]
struct Rules {
    secrets: Secrets,
    policy: Policy,
    answer_time: Duration,
}

/// The workplace of one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workplace {
    project_id: Option<String>,
    kind: SandboxKind,
    workspace: Workspace,
    sandbox: Arc<LazySandbox>,
    artifacts: PathBuf,
    rules: Rules,
}

impl Workplaces {
    /// Workplaces below the directory `data`. Commands run in Docker unless [`Workplaces::with_sandbox`] or a brief says
    /// otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the directory cannot be created.
    pub fn new(data: impl AsRef<Path>) -> Result<Self, Error> {
        let data = data.as_ref();
        let workspaces = data.join("workspace");
        std::fs::create_dir_all(&workspaces).map_err(|error| {
            let message = format!("cannot use the data directory {}: {error}; use another directory", data.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        let (sandbox, call_log) = (SandboxKind::Docker, CallLog::default());
        let rules = Rules { secrets: Secrets::default(), policy: Policy::default(), answer_time: ANSWER_TIME };
        Ok(Self { data: data.into(), sandbox, call_log, rules, open: Arc::default() })
    }

    /// Sets where commands run when a brief does not say it.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: SandboxKind) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Writes lines about each model and tool call to this file, for observers outside the process.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the file cannot be opened for appending.
    pub fn with_call_log(mut self, path: &Path) -> Result<Self, Error> {
        self.call_log = CallLog::open(path)?;
        Ok(self)
    }

    /// Masks these secrets in everything that agents store, emit and send: the keys of models, tokens, passwords.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.rules.secrets = secrets;
        self
    }

    /// Sets which tool calls agents make by themselves. The default is [`Policy::default`].
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// Sets how long an agent waits for a person's answer, 24 hours by default. The time limit of its node counts this too.
    #[must_use]
    pub fn with_answer_time(mut self, answer_time: Duration) -> Self {
        self.rules.answer_time = answer_time;
        self
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.rules.secrets
    }

    pub(crate) fn call_log(&self) -> &CallLog {
        &self.call_log
    }

    /// The directory with the files of a run.
    #[must_use]
    pub fn workspace_path(&self, run: &str, project_id: Option<&str>) -> PathBuf {
        let name = match project_id {
            Some(project) => format!("project_{}", file_name(project)),
            None => format!("run_{}", file_name(run)),
        };
        self.data.join("workspace").join(name)
    }

    /// The workplace of a run, created by its first agent.
    pub(crate) fn open(
        &self,
        run: &RunId,
        project_id: Option<&str>,
        sandbox: Option<SandboxKind>,
    ) -> Result<Workplace, Error> {
        let kind = sandbox.unwrap_or(self.sandbox);
        let mut open = self.opened();
        if let Some(workplace) = open.get(run.as_str()) {
            // A second workspace would need a second sandbox, which would replace the first: they are known by the run.
            if workplace.project_id.as_deref() == project_id && workplace.kind == kind {
                return Ok(workplace.clone());
            }
            let message = format!(
                "cannot open a second workplace for run {run}; give all agents of a run the same project and sandbox"
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let path = self.workspace_path(run.as_str(), project_id);
        let workspace = Workspace::open(&path).map_err(|error| {
            let message = format!("cannot open the workspace {}: {error}", path.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        let sandbox = Arc::new(LazySandbox::new(kind, run.as_str(), &path, workspace.clone()));
        let artifacts = self.data.join("artifacts").join(file_name(run.as_str()));
        let (project_id, rules) = (project_id.map(str::to_owned), self.rules.clone());
        let workplace = Workplace { project_id, kind, workspace, sandbox, artifacts, rules };
        open.insert(run.as_str().to_owned(), workplace.clone());
        Ok(workplace)
    }

    /// Closes the sandbox of a run that has ended; the files of the run stay. Ignored when the run has no workplace here.
    ///
    /// [`Orkestra`](crate::Orkestra) calls it for its runs. Call it yourself for the runs of an engine of your own.
    pub async fn close(&self, run: &str) {
        let workplace = self.opened().remove(run);
        if let Some(workplace) = workplace
            && let Err(error) = workplace.sandbox.close().await
        {
            tracing::warn!(run, %error, "cannot close a sandbox; `DockerSandbox::reap` removes a container that is left");
        }
    }

    /// Closes the sandboxes of all runs. Call it when the process shuts down.
    pub async fn close_all(&self) {
        let runs: Vec<String> = self.opened().keys().cloned().collect();
        for run in runs {
            self.close(&run).await;
        }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Workplace>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workplace {
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the tools of the agent at `node` may touch.
    pub(crate) fn scope(&self, node: &str, observer: Arc<impl Observer + 'static>) -> ToolScope {
        let sandbox: Arc<dyn Sandbox> = Arc::clone(&self.sandbox) as Arc<dyn Sandbox>;
        let artifacts = self.artifacts.join(file_name(node));
        ToolScope::new(self.workspace.clone(), sandbox, artifacts, observer).with_secrets(self.rules.secrets.clone())
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.rules.secrets
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.rules.policy
    }

    /// What people consented to for the rest of this run. No node's directory has this name.
    pub(crate) fn consents(&self) -> Consents {
        Consents::new(self.artifacts.join("%consents"))
    }

    pub(crate) fn answer_time(&self) -> Duration {
        self.rules.answer_time
    }
}

/// An id as one part of a path. Ids may hold `/`, `:` and dots; two ids never get the same name.
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
    use orkestra_tools::{Command, Unobserved};

    use super::*;

    #[test]
    fn ids_cannot_leave_their_directory() {
        assert_eq!(file_name("my-blog.2"), "my-blog.2");
        assert_eq!(file_name("a/../../b"), "a%2F..%2F..%2Fb");
        assert_eq!(file_name(".."), "%2E.");
        assert_ne!(file_name("a:b"), file_name("a/b"));
    }

    #[test]
    fn a_run_has_one_workplace() {
        let data = tempfile::tempdir().expect("a directory");
        let workplaces = Workplaces::new(data.path()).expect("it can be used");
        let run = RunId::new("r1").expect("an id");
        assert!(workplaces.open(&run, None, None).is_ok());
        assert!(workplaces.open(&run, None, Some(SandboxKind::Docker)).is_ok());
        for (project, sandbox) in [(Some("shop"), None), (None, Some(SandboxKind::Local))] {
            let error = workplaces.open(&run, project, sandbox).err().expect("a second workplace");
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn closing_a_run_ends_its_commands_and_keeps_its_files() {
        let data = tempfile::tempdir().expect("a directory");
        let workplaces = Workplaces::new(data.path()).expect("it can be used").with_sandbox(SandboxKind::Local);
        let mut running = Vec::new();
        for id in ["r1", "r2", "r3"] {
            let workplace = workplaces.open(&RunId::new(id).expect("an id"), None, None).expect("it can be opened");
            let sandbox = Arc::clone(&workplace.sandbox);
            // The test would not end if these commands did not.
            let command = Command::new("echo yes > started; sleep 590");
            let command =
                tokio::spawn(async move { sandbox.execute(command, &Unobserved).await.map(|done| done.exit_code) });
            while workplace.workspace.read("started").is_err() {
                tokio::task::yield_now().await;
            }
            running.push((workplace, command));
        }
        let is_open = |id: &str| workplaces.opened().contains_key(id);
        workplaces.close("unknown").await;
        workplaces.close("r1").await;
        assert_eq!(["r1", "r2", "r3"].map(is_open), [false, true, true]);
        workplaces.close_all().await;
        assert_eq!(["r1", "r2", "r3"].map(is_open), [false; 3]);
        for (workplace, command) in running {
            assert_ne!(command.await.expect("it does not panic").ok(), Some(0), "it was killed");
            assert_eq!(workplace.workspace.read("started").expect("its files stay"), b"yes\n");
        }
    }
}
