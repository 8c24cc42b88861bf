//! What a benchmark was started with, kept beside its journal, so that it continues as it began.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use orkestra_bench::benchmark::BenchmarkRequest;
use orkestra_bench::task::Suite;
use serde::{Deserialize, Serialize};

use super::suite;
use crate::args::{Grading, NetworkName, Sandbox, StartArguments};
use crate::exit::Failure;

const FILE: &str = "settings.json";

/// What a benchmark was started with. Keys of models are in the environment, never here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The id of the benchmark, by which its result is told from others.
    pub(super) id: String,
    pub(super) tasks: Vec<String>,
    pub(super) tasks_dir: Option<PathBuf>,
    pub(super) trials: u32,
    pub(super) jobs: u32,
    pub(super) time_limit: u64,
    pub(super) token_limit: Option<u64>,
    pub(super) model: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) agent_image: Option<String>,
    pub(super) sandbox: Option<String>,
    pub(super) network: Option<NetworkName>,
    pub(super) accept_open_sockets: bool,
    pub(super) grade_locally: bool,
}

impl Settings {
    pub(super) fn of(arguments: &StartArguments) -> Result<Self, Failure> {
        let base_url = arguments.base_url.clone().or_else(|| {
            std::env::var("OPENAI_BASE_URL").ok().filter(|url| arguments.agent.is_some() && !url.is_empty())
        });
        if arguments.agent.is_some() && base_url.is_none() {
            return Err(Failure::usage(
                "--agent needs --base-url: the endpoint of the model, such as https://api.openai.com/v1, and --model",
            ));
        }
        if arguments.agent.is_some() && arguments.model.is_none() {
            return Err(Failure::usage("--agent needs --model: the name of the model at --base-url"));
        }
        if arguments.agent.is_some() && arguments.sandbox == Some(Sandbox::Local) {
            return Err(Failure::usage(
                "--agent needs Docker: another agent does not run as a process of this machine",
            ));
        }
        let tasks_dir = arguments.tasks.tasks_dir.as_ref().map(std::path::absolute).transpose();
        let chance = RandomState::new().build_hasher().finish();
        Ok(Self {
            id: format!("benchmark-{:012x}", chance & 0xffff_ffff_ffff),
            tasks: arguments.tasks.names.clone(),
            tasks_dir: tasks_dir.map_err(|error| Failure::usage(format!("--tasks-dir: {error}")))?,
            trials: arguments.trials,
            jobs: arguments.jobs,
            time_limit: arguments.time_limit,
            token_limit: arguments.token_limit,
            model: arguments.model.clone(),
            base_url,
            agent: arguments.agent.clone(),
            agent_image: arguments.agent_image.clone(),
            sandbox: arguments.sandbox.as_ref().map(ToString::to_string),
            network: arguments.network,
            accept_open_sockets: arguments.accept_open_sockets,
            grade_locally: arguments.grading.grade_locally,
        })
    }

    /// Makes the directory of a new benchmark.
    pub(super) fn create(&self, directory: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot create the benchmark in {}: {error}", directory.display()))
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        if std::fs::read_dir(directory).map_err(failed)?.next().is_some() {
            return Err(Failure::usage(format!(
                "{} is not empty; use another directory, or continue the benchmark in it with: aios benchmark resume {}",
                directory.display(),
                directory.display()
            )));
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::failed(error.to_string()))?;
        std::fs::write(directory.join(FILE), text).map_err(failed)
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let file = directory.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Failure::usage(format!("no benchmark was found in {}: it has no {FILE}", directory.display()))
            }
            _ => Failure::failed(format!("cannot read {}: {error}", file.display())),
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}; start a new benchmark", file.display())))
    }

    pub(super) fn suite(&self) -> Result<Suite, Failure> {
        suite(self.tasks_dir.as_deref(), &self.tasks)
    }

    pub(super) fn grading(&self) -> Grading {
        Grading { grade_locally: self.grade_locally }
    }

    pub(super) fn request(&self) -> BenchmarkRequest {
        BenchmarkRequest::new(self.trials, self.time_limit).with_tokens(self.token_limit)
    }

    pub(super) fn sandbox(&self) -> Result<Option<Sandbox>, Failure> {
        let parse = |text: &String| text.parse().map_err(|error| Failure::failed(format!("sandbox {text:?}: {error}")));
        self.sandbox.as_ref().map(parse).transpose()
    }
}
