//! The command line of `aios benchmark`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{NetworkName, Sandbox};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchmarkArguments {
    #[command(subcommand)]
    pub(crate) command: Option<BenchmarkCommand>,
    #[command(flatten)]
    pub(crate) start: StartArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchmarkCommand {
    /// Continue a benchmark that was interrupted, or that waits because something outside failed.
    ///
    /// Trials that were graded are kept. A trial that was under way continues; with --agent it begins anew.
    Resume(ResumeBenchmarkArguments),
    /// Compare two results: pass rates of each task, and whether the difference may be chance.
    Compare(CompareArguments),
    /// Prove the judge of your tasks: the oracle gets all points, an empty workspace none, every wrong solution is caught.
    Check(CheckTasksArguments),
    /// Print the table of a result, and write its reports again.
    Report(ReportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// List the tasks and exit.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) tasks: TaskChoice,
    /// How often each task is worked on. One trial says little: ten tell 5 of 10 from 10 of 10.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: u32,
    /// How many trials are worked on at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// The time that an agent may work on a trial, seconds. What exists then is graded.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: u64,
    /// The tokens that an agent may use in a trial, input and output [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_limit: Option<u64>,
    /// The directory for the result: result.json, junit.xml, report.html, and what is needed to resume. [default: the next
    /// number in .orkestra/benchmark]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The model, as for `aios run`.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// An OpenAI-compatible endpoint that serves the model.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Another agent works on the tasks, in the same sandbox, with the same model and limits: aider, mini-swe-agent, or a
    /// command line that reads the objective on its standard input. Needs Docker and --base-url.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) agent: Option<String>,
    /// The image with the agent of --agent. [default: orkestra-peers:latest, which docker/peers/build makes]
    #[arg(long, value_name = "IMAGE", requires = "agent")]
    pub(crate) agent_image: Option<String>,
    /// Where the agents' commands run, as for `aios run`.
    #[arg(long, value_name = "KIND")]
    pub(crate) sandbox: Option<Sandbox>,
    /// What the commands of agents reach, as for `aios run`. Grading never has a network.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<NetworkName>,
    /// Accept that commands in the local sandbox reach sockets of other programs, as for `aios run`.
    #[arg(long)]
    pub(crate) accept_open_sockets: bool,
    #[command(flatten)]
    pub(crate) grading: Grading,
    /// Print the result as one JSON object on stdout at the end, and the progress on stderr.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which tasks.
#[derive(Clone, Debug, Args)]
pub(crate) struct TaskChoice {
    /// Work on these tasks only.
    #[arg(long = "tasks", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) names: Vec<String>,
    /// Use the tasks in this directory instead of those that are built in (docs/benchmark.md).
    #[arg(long, value_name = "DIR")]
    pub(crate) tasks_dir: Option<PathBuf>,
}

/// Where results are graded.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Grading {
    /// Grade in local sandboxes of this machine instead of containers. Weaker, and a solution that needs packages fails
    /// unless this machine has them.
    #[arg(long)]
    pub(crate) grade_locally: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeBenchmarkArguments {
    /// The directory of the benchmark. [default: the newest one in .orkestra/benchmark]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Print the result as one JSON object on stdout at the end, and the progress on stderr.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// A result: a directory of a benchmark, or its result.json.
    #[arg(value_name = "A")]
    pub(crate) first: PathBuf,
    /// Another one.
    #[arg(value_name = "B")]
    pub(crate) second: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckTasksArguments {
    /// A directory with tasks, or one task. [default: the tasks that are built in]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Check these tasks only.
    #[arg(long = "tasks", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) grading: Grading,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// A directory of a benchmark, or its result.json.
    #[arg(value_name = "DIR")]
    pub(crate) result: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
