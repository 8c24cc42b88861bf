//! The command line. Its help texts are its documentation.

mod benchmark;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use orkestra_agents::SandboxChoice;
use orkestra_tools::Network;
use serde::{Deserialize, Serialize};

pub(crate) use self::benchmark::{
    BenchmarkArguments, BenchmarkCommand, CheckTasksArguments, CompareArguments, Grading, ReportArguments,
    ResumeBenchmarkArguments, StartArguments, TaskChoice,
};

const AFTER: &str = "\
All data is in ./.orkestra: the journals of all runs in store/, the files that agents write in workspace/. Only one
process at a time can use it. A run survives Ctrl-C, a crash, kill -9 and a power cut: `aios resume` continues it, and
finished model and tool calls are not repeated. `aios store export` and `aios store import` move runs to another store;
`aios store check` looks for damage in one.

Exit codes: 0 ok, 1 failed, 2 usage, 3 paused because a budget is used up, 4 cancelled, 130 interrupted (the run can be
resumed).

Environment: DASHSCOPE_API_KEY, OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY, MISTRAL_API_KEY,
GROQ_API_KEY, XAI_API_KEY, OPENROUTER_API_KEY (the first one set, in this order, selects the default model);
OPENAI_BASE_URL (like --base-url); OLLAMA_HOST; PLAYWRIGHT_ENABLED=1 (web pages in Chromium, where aios was built with it);
SEARXNG_URL, BRAVE_API_KEY, TAVILY_API_KEY (search engines after DuckDuckGo); NO_COLOR; RUST_LOG (logs on stderr); ORKESTRA_CALL_LOG=FILE (one JSON line
when a model or tool call starts and one when its result is durable).";

/// Turns an objective into a tested project with a durable pipeline of agents: planner, then backend and frontend in
/// parallel, then qa.
#[derive(Debug, Parser)]
#[command(name = "aios", version, after_help = AFTER, max_term_width = 120)]
pub(crate) struct Arguments {
    /// Log to stderr: -v for info, -vv for debug.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a run and show its progress until it ends.
    ///
    /// Shows a live tree on a terminal, otherwise one line per event on stdout. Ctrl-C detaches: finished work is kept, and
    /// `aios resume` continues the run. Earlier unfinished runs are not touched.
    Run(RunArguments),
    /// Resume unfinished runs and show their progress until they end. Succeeds when there is nothing to resume.
    Resume(ResumeArguments),
    /// Print the events of a run, one per line.
    Logs(LogsArguments),
    /// List the runs in this directory, newest first.
    Ls(ListArguments),
    /// Show a run with its nodes and files, and why it waits.
    Status(RunIdArguments),
    /// Draw the graph of a run as text: each node with its status and the nodes that it depends on.
    Graph(GraphArguments),
    /// Cancel an unfinished run. Its files and its journal are kept.
    Cancel(CancelArguments),
    /// Measure agents: coding tasks, graded by text checks and by hidden tests, without a human.
    ///
    /// Tells how many trials of each task were solved, with attempts, tokens, cost and time. A benchmark that was interrupted
    /// is continued by `aios benchmark resume`. Its data is in a directory of its own, so other commands work meanwhile.
    Benchmark(BenchmarkArguments),
    /// Check, export or import a store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// List the tools that agents can call, with their parameters and limits.
    Tools(ToolsArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read the whole store, replay every journal, and report what is damaged and what can be saved.
    ///
    /// Exit code 0: no damage; 1: the store is damaged or cannot be opened; 2: there is no store.
    Check(CheckArguments),
    /// Write all runs with their letters, blobs and small values as lines of JSON, from any kind of store.
    ///
    /// Files in workspaces are not part of the store and not exported. Each run is leased while it is read; to export all
    /// runs as of one moment, stop every process that works on the store first.
    Export(ExportArguments),
    /// Read an export into a store, which is created if it does not exist.
    ///
    /// The whole export is checked before anything is written. Continue an interrupted import with --merge.
    Import(ImportArguments),
}

/// Which store a command works on.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    /// The store: a directory, or postgres://… for a database. A new directory is created for sled, or for fjall when
    /// written fjall:DIR.
    #[arg(long = "store", value_name = "STORE", default_value = crate::place::DEFAULT_STORE)]
    pub(crate) place: String,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) store: Where,
    /// Export every run whose journal can be replayed, and everything else that can be read, to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file to write; - for stdout. An existing file is replaced once the whole export is written.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Where,
    /// Skip and list the runs that another process works on. Without this flag they are an error.
    #[arg(long)]
    pub(crate) skip_busy: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file to read; - for stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Where,
    /// Allow a store that is not empty: runs that it already has are kept as they are. If one differs from the export,
    /// nothing is written.
    #[arg(long)]
    pub(crate) merge: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What to build, in plain words.
    pub(crate) objective: String,
    /// Work in the project's workspace, .orkestra/workspace/project_ID, instead of a new one for this run. ID matches
    /// `[a-z0-9][a-z0-9._-]{0,63}`.
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Run only these agents, a list from backend, frontend and qa; the planner always runs.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// The model: gpt-4o, qwen-plus, claude-…, gemini-…, groq::…, mistral…, deepseek-…, ollama::…, or demo, a script
    /// without AI. [default: by the API keys in the environment, else a local Ollama, else demo]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// An OpenAI-compatible endpoint that serves the model, such as http://127.0.0.1:8080/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Where the agents' commands run: docker, a container; docker:RUNTIME, a container with another runtime, such as
    /// docker:runsc (gVisor); local, a confined process on this machine, which isolates less. [default: docker; the demo
    /// model falls back to local if Docker is unavailable]
    #[arg(long, value_name = "KIND")]
    pub(crate) sandbox: Option<Sandbox>,
    /// What the commands reach: none; registries, the package registries that this machine uses and the hosts of
    /// --allow-host; open, everything. [default: registries; none for the demo model; open in the local sandbox]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<NetworkName>,
    /// A host that the commands may reach in the network registries, such as example.com, example.com:8443 or
    /// *.example.com. Give it once for each host.
    #[arg(long = "allow-host", value_name = "HOST")]
    pub(crate) allowed_hosts: Vec<String>,
    /// Accept that commands in the local sandbox reach sockets of other programs, Docker's among them, on machines where
    /// this cannot be prevented. A real model is refused there without it.
    #[arg(long)]
    pub(crate) accept_open_sockets: bool,
    /// Not supported yet, because no prices of models are known: fails with exit code 2.
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<f64>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) hidden: Hidden,
}

/// Where commands run, as written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// With this runtime, or the daemon's default.
    Docker(Option<String>),
    Local,
}

impl FromStr for Sandbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
        match text.split_once(':') {
            None if text == "docker" => Ok(Self::Docker(None)),
            None if text == "local" => Ok(Self::Local),
            Some(("docker", runtime)) if !runtime.is_empty() && runtime.chars().all(is_plain) => {
                Ok(Self::Docker(Some(runtime.to_owned())))
            }
            _ => Err("use docker, docker:RUNTIME (such as docker:runsc) or local".to_owned()),
        }
    }
}

/// A network, as written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkName {
    None,
    Registries,
    Open,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::None => Self::None,
            NetworkName::Registries => Self::Registries,
            NetworkName::Open => Self::Open,
        }
    }
}

impl std::fmt::Display for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Docker(None) => f.write_str("docker"),
            Self::Docker(Some(runtime)) => write!(f, "docker:{runtime}"),
            Self::Local => f.write_str("local"),
        }
    }
}

impl Sandbox {
    /// What an argument that may be missing means: where commands run, and the runtime of containers.
    pub(crate) fn choice(given: Option<Self>) -> (SandboxChoice, Option<String>) {
        match given {
            None => (SandboxChoice::Automatic, None),
            Some(Self::Docker(runtime)) => (SandboxChoice::Docker, runtime),
            Some(Self::Local) => (SandboxChoice::Local, None),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The runs to resume [default: all unfinished runs]
    #[arg(value_name = "RUN-ID")]
    pub(crate) runs: Vec<String>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) hidden: Hidden,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
    /// Follow the run until it ends, and exit with its exit code. This command has the store to itself, so it resumes an
    /// unfinished run, as `aios resume RUN-ID` would; a paused run stays paused.
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) hidden: Hidden,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// How many runs to list at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) limit: u16,
    /// Print one JSON object per line and run.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunIdArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct ToolsArguments {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Where MCP servers run. [default: docker]
    #[arg(long, value_name = "KIND")]
    pub(crate) sandbox: Option<Sandbox>,
    /// Print a JSON array with the schemas that a model receives.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
    /// The reason, recorded in the journal.
    #[arg(long, value_name = "TEXT", default_value = "cancelled with aios cancel")]
    pub(crate) reason: String,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Show {
    /// Print one JSON object per line and event on stdout: {event, type, run_id, seq, ts, ...}.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The tools of others.
#[derive(Clone, Debug, Args)]
pub(crate) struct Servers {
    /// Give the agents the tools of the MCP servers in this TOML file (docs/mcp.md). The first call of each tool in a run asks
    /// a person.
    #[arg(long, value_name = "FILE", env = "AIOS_MCP")]
    pub(crate) mcp: Option<PathBuf>,
}

/// What a session of runs has, beside what its runs have; mostly for tests and diagnosis.
#[derive(Clone, Debug, Args)]
pub(crate) struct Hidden {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Give agents no tool to ask you. Without this, they may ask on a terminal, where the next line that you type is the
    /// answer.
    #[arg(long)]
    pub(crate) no_questions: bool,
    /// How long the demo model takes to answer, in milliseconds.
    #[arg(long, env = "ORKESTRA_DEMO_DELAY_MS", hide = true)]
    pub(crate) demo_delay_ms: Option<u64>,
    /// A file that logs the start and the end of each call.
    #[arg(long, env = orkestra_agents::CALL_LOG_VARIABLE, hide = true)]
    pub(crate) call_log: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_sandbox_may_name_a_runtime() {
        let docker = |runtime: Option<&str>| Ok(Sandbox::Docker(runtime.map(str::to_owned)));
        for (text, expected) in
            [("docker", docker(None)), ("docker:runsc", docker(Some("runsc"))), ("local", Ok(Sandbox::Local))]
        {
            assert_eq!(text.parse(), expected, "{text}");
            assert_eq!(expected.expect("valid").to_string(), text);
        }
        for text in ["", "podman", "docker:", "docker:a b", "docker:../x", "local:runsc", "Docker"] {
            assert!(text.parse::<Sandbox>().is_err(), "{text}");
        }
    }

    #[test]
    fn tasks_are_separated_by_commas() {
        let arguments = Arguments::try_parse_from(["aios", "run", "x", "--tasks", "backend,qa"]).expect("they parse");
        let Command::Run(run) = arguments.command else { panic!("it is a run") };
        assert_eq!(run.tasks, ["backend", "qa"]);
    }
}
