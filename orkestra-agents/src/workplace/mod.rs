//! Where the agents of a run work: the workspace with its files, the sandbox for commands, and the artifacts.
//!
//! ```text
//! <data>/workspace/run_{id} | project_{id}    what agents see and users get
//! <data>/artifacts/{run}/{node}/              whole outputs of commands; agents cannot write there
//! ```

mod hosts;
mod lost_hosts;
mod sandbox;
mod spec;
mod stream;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use orkestra_core::prelude::RunId;
use orkestra_tools::egress::{EgressOptions, HostUse};
use orkestra_tools::{
    Confinement, LocalSandbox, Observer, Sandbox, SandboxError, Secrets, ToolScope, Workspace, policy::Policy,
};

use tokio::sync::{OnceCell, mpsc};

use crate::{
    Error, ErrorKind,
    agent::{ANSWER_TIME, Consents},
    call_log::CallLog,
};

pub(crate) use hosts::add as add_hosts;
use lost_hosts::LostHosts;
pub use lost_hosts::is_lost_hosts_pause;
pub(crate) use lost_hosts::{Check, LOST_HOSTS_MAX, pause_if_lost};
use sandbox::LazySandbox;
pub(crate) use spec::NO_REGISTRIES;
pub use spec::{SandboxKind, SandboxSpec};
pub(crate) use stream::{StreamBudget, Streamed};

/// The workspace in which a sandbox is started to see what it confines. No id of a run or project gives this name.
const PROBE: &str = ".probe";

/// The workplaces of all runs of one process, below one data directory. Cheap to clone; clones share their workplaces.
///
/// All agents of a run share one workplace. Its sandbox starts with the first command and is closed by [`Workplaces::close`];
/// its files stay. A sandbox that is not closed keeps its processes or its container.
#[derive(Clone)]
pub struct Workplaces {
    data: Arc<Path>,
    sandbox: SandboxSpec,
    egress: EgressOptions,
    call_log: CallLog,
    rules: Rules,
    lost_hosts: LostHosts,
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
    spec: SandboxSpec,
    workspace: Workspace,
    sandbox: Arc<LazySandbox>,
    artifacts: PathBuf,
    rules: Rules,
    checked: Arc<OnceCell<()>>,
    streamed: Arc<StreamBudget>,
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
        create_private(&workspaces).map_err(|error| {
            let message = format!("cannot use the data directory {}: {error}; use another directory", data.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        let (sandbox, egress) = (SandboxKind::Docker.into(), EgressOptions::default());
        let rules = Rules { secrets: Secrets::default(), policy: Policy::default(), answer_time: ANSWER_TIME };
        let call_log = CallLog::default();
        Ok(Self {
            data: data.into(),
            sandbox,
            egress,
            call_log,
            rules,
            lost_hosts: LostHosts::default(),
            open: Arc::default(),
        })
    }

    /// Sets where commands run when a brief does not say it.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: impl Into<SandboxSpec>) -> Self {
        self.sandbox = sandbox.into();
        self
    }

    /// Sets what the network [`Network::Registries`](orkestra_tools::Network::Registries) lets through, besides the hosts that
    /// a run allows. The default is the public registries, without a cache.
    #[must_use]
    pub fn with_egress(mut self, egress: EgressOptions) -> Self {
        self.egress = egress;
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

    /// Lets who reads the receiver pause runs before their agents make a call in this process.
    pub(crate) fn with_checks(mut self) -> (Self, mpsc::Receiver<Check>) {
        let (lost_hosts, checks) = LostHosts::new();
        self.lost_hosts = lost_hosts;
        (self, checks)
    }

    /// Returns when the run was checked, which is done once in a process.
    pub(crate) async fn check(&self, run: &RunId, workplace: &Workplace) {
        workplace.checked.get_or_init(|| self.lost_hosts.check(run)).await;
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
        sandbox: Option<&SandboxSpec>,
    ) -> Result<Workplace, Error> {
        let spec = sandbox.unwrap_or(&self.sandbox).clone();
        let mut open = self.opened();
        if let Some(workplace) = open.get(run.as_str()) {
            // A second workspace would need a second sandbox, which would replace the first: they are known by the run.
            if workplace.project_id.as_deref() == project_id && workplace.spec == spec {
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
        let egress = self.egress.clone();
        let sandbox = Arc::new(LazySandbox::new(spec.clone(), egress, run.as_str(), &path, workspace.clone()));
        let artifacts = self.data.join("artifacts").join(file_name(run.as_str()));
        let (project_id, rules) = (project_id.map(str::to_owned), self.rules.clone());
        let workplace = Workplace {
            project_id,
            spec,
            workspace,
            sandbox,
            artifacts,
            rules,
            checked: Arc::default(),
            streamed: Arc::default(),
        };
        open.insert(run.as_str().to_owned(), workplace.clone());
        Ok(workplace)
    }

    /// What a local sandbox of this kind would confine on this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when it cannot be started here.
    pub(crate) async fn probe_local(&self, spec: &SandboxSpec) -> Result<Confinement, Error> {
        let path = self.data.join(PROBE);
        let unusable = |error: SandboxError| {
            let message = format!("cannot use the local sandbox here: {error}; use Docker, or another network");
            Error::new(ErrorKind::Sandbox, message).with_source(error)
        };
        let sandbox = LocalSandbox::start(spec.local_options().map_err(unusable)?, &path).await.map_err(unusable)?;
        let confinement = sandbox.confinement();
        if let Err(error) = sandbox.close().await {
            tracing::debug!(%error, "cannot close a sandbox that was only looked at");
        }
        // Nothing was run in it. Another probe may still use it; then that one removes it.
        let _ = std::fs::remove_dir(&path);
        Ok(confinement)
    }

    /// Closes the sandbox of a run that has ended; the files of the run stay. Ignored when the run has no workplace here.
    ///
    /// [`Orkestra`](crate::Orkestra) calls it for its runs. Call it yourself for the runs of an engine of your own.
    pub async fn close(&self, run: &str) {
        let Some(workplace) = self.opened().get(run).cloned() else { return };
        if let Err(error) = workplace.sandbox.close().await {
            tracing::warn!(run, %error, "cannot close a sandbox; `DockerSandbox::reap` removes a container that is left");
        }
        // NOTE: afterwards, so that a second caller waits for the end too.
        self.opened().remove(run);
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

    pub(crate) fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    /// What the tools of the agent at `node` may touch.
    pub(crate) fn scope(&self, node: &str, observer: Arc<impl Observer + 'static>) -> ToolScope {
        let sandbox: Arc<dyn Sandbox> = Arc::clone(&self.sandbox) as Arc<dyn Sandbox>;
        let artifacts = self.artifacts.join(file_name(node));
        ToolScope::new(self.workspace.clone(), sandbox, artifacts, observer).with_secrets(self.rules.secrets.clone())
    }

    /// How much output the run may still stream.
    pub(crate) fn streamed(&self) -> &Arc<StreamBudget> {
        &self.streamed
    }

    /// Starts the sandbox if it has not started, and says what it confines.
    pub(crate) async fn confinement(&self) -> Result<Confinement, SandboxError> {
        self.sandbox.started_confinement().await
    }

    /// What a sandbox that has started since the last call confines.
    pub(crate) fn take_report(&self) -> Option<Confinement> {
        self.sandbox.take_report()
    }

    /// How often commands of any agent of the run used hosts since the last call.
    pub(crate) async fn take_hosts(&self) -> Vec<HostUse> {
        self.sandbox.take_hosts().await
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

/// Creates a directory that other users cannot enter, and so nothing below it. One that exists is left as it is.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
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
        assert!(workplaces.open(&run, None, Some(&SandboxKind::Docker.into())).is_ok());
        for (project, sandbox) in [(Some("shop"), None), (None, Some(SandboxSpec::from(SandboxKind::Local)))] {
            let error = workplaces.open(&run, project, sandbox.as_ref()).err().expect("a second workplace");
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
