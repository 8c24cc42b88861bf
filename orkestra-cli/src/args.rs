//! The command line. Its help texts are its documentation.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Everything lives in ./.orkestra: the journal of all runs in store/, the files that agents write in workspace/. One
process at a time uses it. A run survives anything that happens to its process: Ctrl-C, a crash, kill -9, a power cut.
`aios resume` goes on with it, and no model or tool call that has finished is made again. `aios store export` and
`aios store import` move runs to another store, and `aios store check` looks whether one is whole.

Exit codes: 0 ok, 1 failed, 2 usage, 3 budget used up, 4 cancelled, 130 interrupted (the run can be resumed).

Environment: DASHSCOPE_API_KEY, OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY, MISTRAL_API_KEY,
GROQ_API_KEY, XAI_API_KEY, OPENROUTER_API_KEY (the first that is set chooses the default model, in this order);
OPENAI_BASE_URL (like --base-url); OLLAMA_HOST; NO_COLOR; RUST_LOG (logs on stderr); ORKESTRA_CALL_LOG=FILE (one JSON line
when a model or tool call begins and one when its result is durable).";

/// One objective becomes a tested project: planner, then backend and frontend side by side, then qa. Durably.
#[derive(Debug, Parser)]
#[command(name = "aios", version, after_help = AFTER, max_term_width = 120)]
pub(crate) struct Arguments {
    /// Logs on stderr: -v what happens, -vv how.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a run and shows it until it ends.
    ///
    /// On a terminal it shows a live tree; else one line per event on stdout. Ctrl-C detaches: what is done stays done,
    /// and `aios resume` goes on. Unfinished runs of before stay as they are.
    Run(RunArguments),
    /// Goes on with unfinished runs and shows them until they end. Nothing to resume is no error.
    Resume(ResumeArguments),
    /// Prints the events of a run, one line each.
    Logs(LogsArguments),
    /// Lists the runs of this directory, newest first.
    Ls(ListArguments),
    /// Shows a run with its nodes and files, and why it waits.
    Status(RunIdArguments),
    /// Draws the graph of a run as text: its nodes as they stand, each with the nodes that it waits for.
    Graph(GraphArguments),
    /// Cancels an unfinished run. Its files and its journal stay.
    Cancel(CancelArguments),
    /// Looks after stores: checks one, writes all runs of one into a file, reads such a file into another.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Reads everything in a store, replays every journal, and says what is damaged and what can be saved of it.
    ///
    /// Exit code 0: all is whole; 1: something is damaged, or the store cannot be opened; 2: there is no store.
    Check(CheckArguments),
    /// Writes all runs with their letters, blobs and small values as lines of JSON, whatever the store is.
    ///
    /// Files in workspaces are not in the store, and not in the export. Each run is held while it is read; stop who works on
    /// the store to get all of it at one moment.
    Export(ExportArguments),
    /// Reads what export has written into a store, which is made if it is not there.
    ///
    /// Everything is checked before anything is written. An import that was interrupted goes on with --merge.
    Import(ImportArguments),
}

/// A store.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    /// The store: its directory, or postgres://… for one in a database. A new directory is of sled, or of fjall when it is
    /// named fjall:DIR.
    #[arg(long = "store", value_name = "STORE", default_value = crate::place::DEFAULT_STORE)]
    pub(crate) place: String,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) store: Where,
    /// Exports every run whose journal can be replayed, and what else can be read, into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Where to, replacing what is there when all is written; - is stdout.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Where,
    /// Leaves out the runs that somebody works on, and names them. Without it they are an error.
    #[arg(long)]
    pub(crate) skip_busy: bool,
    /// The summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Where from; - is stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Where,
    /// Also into a store that is not empty: what is there already stays as it is, and where something else is there nothing is
    /// written.
    #[arg(long)]
    pub(crate) merge: bool,
    /// The summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What is to be built, in words.
    pub(crate) objective: String,
    /// Works in the project's workspace, .orkestra/workspace/project_ID, instead of one of the run's own. ID is
    /// `[a-z0-9][a-z0-9._-]{0,63}`.
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Only these agents, of backend, frontend and qa; the planner always works.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// The model: gpt-4o, qwen-plus, claude-…, gemini-…, groq::…, mistral…, deepseek-…, ollama::…, or demo, which is a
    /// script and no AI. [default: by the keys in the environment, else a local Ollama, else demo]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// An OpenAI-compatible address that serves the model, as in http://127.0.0.1:8080/v1.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Where the agents' commands run: docker is a container with no network; local is a confined process of this
    /// machine, which is weaker. [default: docker; only the demo model makes do with local where no Docker answers]
    #[arg(long, value_name = "KIND")]
    pub(crate) sandbox: Option<Sandbox>,
    /// Not supported yet: refused with exit code 2.
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<f64>,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) hidden: Hidden,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    Docker,
    Local,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The runs; all that are unfinished when none is named.
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
    /// Goes on until the run has ended, and ends with its exit code. Nobody else can work on a run of this directory while
    /// this command reads it, so an unfinished run is resumed, as `aios resume RUN-ID` would.
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) hidden: Hidden,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) limit: u16,
    /// One JSON object per run and line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunIdArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
    /// One JSON object.
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
pub(crate) struct CancelArguments {
    /// The run.
    #[arg(value_name = "RUN-ID")]
    pub(crate) run: String,
    /// Why, for those who read it later.
    #[arg(long, value_name = "TEXT", default_value = "cancelled with aios cancel")]
    pub(crate) reason: String,
}

/// How events are shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Show {
    /// One JSON object per event and line on stdout: {event, type, run_id, seq, ts, ...}.
    #[arg(long)]
    pub(crate) json: bool,
}

/// For tests and diagnosis.
#[derive(Clone, Debug, Args)]
pub(crate) struct Hidden {
    /// How long the demo model takes for an answer, in milliseconds.
    #[arg(long, env = "ORKESTRA_DEMO_DELAY_MS", hide = true)]
    pub(crate) demo_delay_ms: Option<u64>,
    /// A file for one line per call.
    #[arg(long, env = orkestra_agents::CALL_LOG_VARIABLE, hide = true)]
    pub(crate) call_log: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn tasks_are_separated_by_commas() {
        let arguments = Arguments::try_parse_from(["aios", "run", "x", "--tasks", "backend,qa"]).expect("they parse");
        let Command::Run(run) = arguments.command else { panic!("it is a run") };
        assert_eq!(run.tasks, ["backend", "qa"]);
    }
}
