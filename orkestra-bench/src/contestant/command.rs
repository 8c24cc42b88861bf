//! Any agent that runs from a command line as a contestant: in a container of its own, with one model endpoint.
//!
//! ```text
//! fresh workspace + start files + git -> DockerSandbox (network `registries`) -> the command line, the objective on its input
//!                                                \-> ModelGateway: the operator's endpoint and key, counted and limited
//! it ends | its time is used up | the gateway refused a call for want of tokens -> the container is removed -> Attempt
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use orkestra_tools::egress::{MODEL_BASE_URL, ModelGateway};
use orkestra_tools::{
    Command, DockerOptions, DockerSandbox, Network, PipedCommand, Sandbox as _, SandboxError, Unobserved,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::output::Tail;
use super::{Assignment, Attempt, AttemptError, Contestant, outside, presets};
use crate::limits::{PEER_GRACE, PEER_OBJECTIVE_BYTES_MAX};
use crate::result::{AgentInfo, Ending, Moment};

/// The image that `docker/peers/build` makes: the sandbox image, with the agents of [`CommandContestant::presets`].
pub const PEERS_IMAGE: &str = "orkestra-peers:latest";
/// Where the command finds the objective: in scratch space, so that it is not part of the work.
const OBJECTIVE_FILE: &str = "/tmp/objective.txt";
/// How often it is looked whether the command has ended or was refused a call.
const TICK: Duration = Duration::from_millis(100);
/// How long the rest of the output of an ended command is waited for.
const DRAIN: Duration = Duration::from_secs(2);
/// `aider` wants a repository with a commit, and others look at differences.
const REPOSITORY: &str = "git init -q && git config user.name agent && git config user.email agent@localhost && git add -A && \
                          git commit -q --allow-empty -m start";

/// Another agent of the command line.
#[derive(Debug, Clone)]
pub struct CommandContestant {
    /// What it was asked for: a preset's name, or the command line.
    name: String,
    line: String,
    model: String,
    gateway: ModelGateway,
    data: PathBuf,
    docker: DockerOptions,
    has_repository: bool,
}

impl CommandContestant {
    /// An agent with this command line for `sh -c`, or one of [`Self::presets`] by its name. It works in
    /// `<data>/workspaces/<assignment>`.
    ///
    /// The command gets the objective on its standard input and in the file `$OBJECTIVE_FILE`, the name of the model as `$MODEL`,
    /// and the endpoint as `$OPENAI_API_BASE` and `$OPENAI_BASE_URL`, with a placeholder for a key. The gateway's limits and
    /// settings hold for each trial; its counters are not used.
    ///
    /// ```
    /// use orkestra_bench::contestant::{CommandContestant, Contestant as _};
    /// use orkestra_tools::egress::ModelGateway;
    ///
    /// let gateway = ModelGateway::new("http://127.0.0.1:18084/v1", None::<String>)?;
    /// let agent = CommandContestant::new("my-agent --model \"$MODEL\" --yes", "qwen", gateway, "data");
    /// assert_eq!(agent.info().model, "qwen");
    /// # Ok::<(), orkestra_tools::egress::EgressError>(())
    /// ```
    #[must_use]
    pub fn new(
        command: impl Into<String>,
        model: impl Into<String>,
        gateway: ModelGateway,
        data: impl Into<PathBuf>,
    ) -> Self {
        let name = command.into().trim().to_owned();
        let line = presets::command_line(&name).to_owned();
        let docker = DockerOptions::default().with_image(PEERS_IMAGE);
        Self { name, line, model: model.into(), gateway, data: data.into(), docker, has_repository: true }
    }

    /// The names that stand for command lines which were tried.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        presets::names()
    }

    /// Sets the image, the registries and the limits of the container. Its network is always `registries`.
    #[must_use]
    pub fn with_docker(mut self, docker: DockerOptions) -> Self {
        self.docker = docker;
        self
    }

    /// Does not make the workspace a git repository.
    #[must_use]
    pub fn without_repository(mut self) -> Self {
        self.has_repository = false;
        self
    }

    /// Makes the workspace anew: what an interrupted agent left is of no use to one that begins again.
    async fn prepare(&self, assignment: &Assignment) -> Result<PathBuf, AttemptError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if assignment.id.is_empty() || assignment.id.starts_with('.') || !assignment.id.chars().all(is_plain) {
            return Err(AttemptError::lasting(format!("invalid name of a trial: {:?}", assignment.id)));
        }
        if assignment.objective.len() > PEER_OBJECTIVE_BYTES_MAX {
            return Err(AttemptError::lasting(format!(
                "the objective is longer than {PEER_OBJECTIVE_BYTES_MAX} bytes; shorten it"
            )));
        }
        let workspace = self.data.join("workspaces").join(&assignment.id);
        let made = workspace.clone();
        let made = tokio::task::spawn_blocking(move || remake(&made)).await;
        made.map_err(io::Error::other).and_then(|made| made).map_err(|error| {
            AttemptError::passing(format!("cannot make the workspace {}: {error}", workspace.display()))
        })?;
        Ok(workspace)
    }

    fn command(&self, objective: &str) -> Command {
        // The input of the pipe stays open, because closing it ends the command. `head` takes exactly the objective.
        let line = format!(
            "head -c {} >\"$OBJECTIVE_FILE\" || exit 125\n{{\n{}\n}} <\"$OBJECTIVE_FILE\" 2>&1",
            objective.len(),
            self.line
        );
        Command::new(line)
            .with_environment("OBJECTIVE_FILE", OBJECTIVE_FILE)
            .with_environment("MODEL", &self.model)
            .with_environment("OPENAI_API_BASE", MODEL_BASE_URL)
            .with_environment("OPENAI_BASE_URL", MODEL_BASE_URL)
            .with_environment("OPENAI_API_KEY", "placeholder")
    }
}

/// How the command ended, before it is known what that means.
enum Ended {
    ByItself(Option<i32>),
    OutOfTime,
    OutOfTokens,
}

/// One attempt under way.
struct Work<'attempt> {
    contestant: &'attempt CommandContestant,
    assignment: &'attempt Assignment,
    sandbox: &'attempt DockerSandbox,
    gateway: &'attempt ModelGateway,
    tail: Tail,
    deadline: Instant,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<Ending, AttemptError> {
        self.write_start().await?;
        let command = self.contestant.command(&self.assignment.objective);
        if self.contestant.has_repository {
            let made =
                self.sandbox.execute(Command::new(REPOSITORY), &Unobserved).await.map_err(|error| trouble(&error))?;
            if made.exit_code != 0 {
                let text = format!("cannot make the workspace a git repository in the sandbox: {}", made.output);
                return Err(AttemptError::lasting(text));
            }
        }
        let mut pipe = self.sandbox.pipe(command).await.map_err(|error| trouble(&error))?;
        let objective = self.assignment.objective.as_bytes();
        if let Err(error) = pipe.write_all(objective).await {
            tracing::debug!(%error, "an agent ended before it had its objective");
        }
        let ended = self.follow(&mut pipe).await;
        if let Ok(rest) = timeout(DRAIN, drain(&mut pipe, matches!(ended, Ended::ByItself(_)))).await {
            self.tail.push(&rest);
        }
        Ok(self.ending(&ended))
    }

    async fn write_start(&self) -> Result<(), AttemptError> {
        let (workspace, start) = (self.sandbox.workspace().clone(), self.assignment.start.clone());
        let write = move || start.iter().try_for_each(|(path, content)| workspace.write(path, content).map(|_| ()));
        let written = tokio::task::spawn_blocking(write).await;
        let failed = |error: &dyn std::fmt::Display| {
            AttemptError::lasting(format!("cannot write the files that the task begins with: {error}"))
        };
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// Reads what the command prints until it ends or a limit is reached.
    async fn follow(&mut self, pipe: &mut PipedCommand) -> Ended {
        let mut ticks = interval(TICK);
        let (mut refused_at, mut is_open) = (None, true);
        let mut piece = Vec::with_capacity(16 * 1024);
        loop {
            piece.clear();
            tokio::select! {
                read = pipe.read_buf(&mut piece), if is_open => match read {
                    Ok(0) | Err(_) => is_open = false,
                    Ok(_) => self.tail.push(&piece),
                },
                _ = ticks.tick() => {
                    if !pipe.is_running() {
                        return Ended::ByItself(pipe.exit_code());
                    }
                    if refused_at.is_none() && self.gateway.usage().refused > 0 {
                        refused_at = Some(Instant::now());
                    }
                    // It may tidy up. One that goes on trying would do so until its time is used up.
                    if refused_at.is_some_and(|at| at.elapsed() > PEER_GRACE) {
                        return Ended::OutOfTokens;
                    }
                }
                () = sleep_until(self.deadline) => return Ended::OutOfTime,
            }
        }
    }

    fn ending(&self, ended: &Ended) -> Ending {
        match ended {
            _ if self.gateway.usage().refused > 0 => Ending::OutOfTokens,
            Ended::OutOfTokens => Ending::OutOfTokens,
            Ended::OutOfTime => Ending::OutOfTime,
            Ended::ByItself(Some(0)) => Ending::Finished,
            Ended::ByItself(Some(code)) => {
                let last = self.tail.last().map(|line| format!(": {line}")).unwrap_or_default();
                Ending::Failed { reason: format!("it ended with exit code {code}{last}") }
            }
            Ended::ByItself(None) => Ending::Failed { reason: "it was lost, or its workspace was full".to_owned() },
        }
    }
}

#[async_trait]
impl Contestant for CommandContestant {
    fn info(&self) -> AgentInfo {
        AgentInfo { name: self.name.clone(), model: self.model.clone(), notice: None }
    }

    fn place(&self) -> String {
        format!("agents work in docker ({}), network registries, with one model endpoint", self.docker.image)
    }

    fn continues(&self) -> bool {
        false
    }

    async fn attempt(&self, assignment: &Assignment) -> Result<Attempt, AttemptError> {
        let begun = Instant::now();
        let left = Duration::from_secs(assignment.limits.seconds).saturating_sub(assignment.used);
        let workspace = self.prepare(assignment).await?;
        let mut gateway = self.gateway.renewed();
        if let Some(tokens) = assignment.limits.tokens {
            gateway = gateway.with_tokens_max(tokens);
        }
        let mut docker = self.docker.clone().with_network(Network::Registries);
        docker.egress = docker.egress.with_model(gateway.clone());
        let sandbox =
            DockerSandbox::start(docker, &assignment.id, &workspace).await.map_err(|error| trouble(&error))?;
        let mut work = Work {
            contestant: self,
            assignment,
            sandbox: &sandbox,
            gateway: &gateway,
            tail: Tail::new(&self.name, begun, assignment.used),
            deadline: begun + left,
        };
        let worked = work.run().await;
        let tail = work.tail;
        let failing = gateway.failing_for();
        // IMPORTANT: the container is gone before anyone looks at the workspace, whatever happened.
        let closed = sandbox.close().await;
        let ending = worked?;
        closed.map_err(|error| trouble(&error))?;
        if let Some(trouble) = outside::of_endpoint(failing, &ending, assignment.limits) {
            return Err(trouble);
        }
        Ok(attempt(ending, workspace, &gateway, tail))
    }
}

fn attempt(ending: Ending, workspace: PathBuf, gateway: &ModelGateway, tail: Tail) -> Attempt {
    let usage = gateway.usage();
    let mut timeline = tail.into_moments();
    let at = timeline.last().map_or(0.0, |last| last.at);
    let mut note = |text: String| timeline.push(Moment { at, agent: String::new(), text });
    if usage.calls_cut_off > 0 {
        note(format!("calls of the model that were cut off, without their tokens: {}", usage.calls_cut_off));
    }
    if usage.calls_without_usage > 0 {
        note(format!("calls of which the model endpoint did not tell the tokens: {}", usage.calls_without_usage));
    }
    if usage.refused > 0 {
        note(format!("calls of the model that were refused, because the budget was used up: {}", usage.refused));
    }
    // When every call was cut off, a sum of zero would look as if nothing had been used.
    let is_known = usage.is_complete() && (usage.calls == 0 || usage.calls_cut_off < usage.calls);
    let known = |tokens: u64| is_known.then_some(tokens);
    Attempt {
        input_tokens: known(usage.input_tokens),
        output_tokens: known(usage.output_tokens),
        model_calls: Some(usage.calls),
        timeline,
        ..Attempt::new(ending, workspace)
    }
}

fn remake(workspace: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(workspace) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(workspace)
}

/// What an ended command has printed and nobody has read.
async fn drain(pipe: &mut PipedCommand, has_ended: bool) -> Vec<u8> {
    let mut rest = Vec::new();
    if has_ended {
        // At most what the pipe holds.
        let _ = pipe.take(crate::limits::PEER_REST_BYTES_MAX).read_to_end(&mut rest).await;
    }
    rest
}

fn trouble(error: &SandboxError) -> AttemptError {
    let text = format!("the sandbox of the agent failed: {error}");
    // What it did is lost with its sandbox.
    if error.is_retryable() { AttemptError::passing(text).anew() } else { AttemptError::lasting(text).anew() }
}
