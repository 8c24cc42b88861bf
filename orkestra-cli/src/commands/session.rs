//! Runs that this process drives: shows them until they end or the user detaches, then shuts the engine down.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, OrkestraBuilder, SandboxChoice, egress_of_machine};
use orkestra_core::prelude::{Run, RunView};
use orkestra_core::store::Store;
use orkestra_tools::Secrets;
use orkestra_tools::mcp::McpTools;

use super::unwritable;
use crate::answers::Answers;
use crate::args::Hidden;
use crate::exit::{Exit, Failure};
use crate::github;
use crate::mcp;
use crate::place::Place;
use crate::reader::Reader;
use crate::screen::Screen;
use crate::signals::Stop;
use crate::summary;
use crate::watch::{Ending, Stopped, Watched, follow};
use crate::web;

/// How long the running calls of a run that is out of budget may take.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// How long an answer is waited for when nobody can give one.
const NO_ANSWER_TIME: Duration = Duration::from_secs(1);

/// The runs of a directory are one user's.
const CACHE_NAMESPACE: &str = "default";
/// How a host is allowed, for the agent that was refused and the person who reads it.
const ADVICE: &str = "ask the person who started this run to start one with --allow-host HOST";

/// A running engine with its agents, and the signal by which the user detaches.
pub(super) struct Session {
    pub(super) orkestra: Orkestra,
    stop: Stop,
    answers: Answers,
    mcp: Option<McpTools>,
}

/// What new runs of a session have. Resumed runs have it in their journals.
pub(super) struct Setup {
    pub(super) model: ModelChoice,
    pub(super) sandbox: SandboxChoice,
    /// The runtime of containers.
    pub(super) runtime: Option<String>,
    /// Whether the user accepts that commands in the local sandbox reach sockets of other programs.
    pub(super) accepts_open_sockets: bool,
}

impl Session {
    pub(super) async fn start(
        place: &Place,
        store: Arc<dyn Store>,
        setup: Setup,
        hidden: &Hidden,
    ) -> Result<Self, Failure> {
        let stop = Stop::listen()?;
        let Setup { model, sandbox, runtime, accepts_open_sockets } = setup;
        let has_answers = Answers::possible() && !hidden.no_questions;
        let model = match hidden.demo_delay_ms {
            Some(delay) => model.with_demo_delay(Duration::from_millis(delay)),
            None => model,
        };
        let known = [github::TOKEN, "AIOS_API_KEY"]
            .into_iter()
            .chain(web::SEARCH_KEYS)
            .filter_map(|name| Some((name, std::env::var(name).ok()?)));
        let secrets = Secrets::new(known).map_err(|error| orkestra_agents::Error::usage(error.to_string()))?;
        let egress = egress_of_machine(&place.data, CACHE_NAMESPACE).with_advice(ADVICE);
        let mcp = match &hidden.servers.mcp {
            Some(file) => Some(mcp::connect(file, &place.data, sandbox, runtime.clone(), egress.clone()).await?),
            None => None,
        };
        let secrets = match &mcp {
            Some(mcp) => mcp.masking(&secrets).map_err(|error| orkestra_agents::Error::usage(error.to_string()))?,
            None => secrets,
        };
        let mut builder = Orkestra::builder(&place.data).model(model).sandbox(sandbox).secrets(secrets).egress(egress);
        builder = runtime.into_iter().fold(builder, OrkestraBuilder::docker_runtime);
        builder = github::with_environment(web::with_environment(builder)?)?;
        if accepts_open_sockets {
            builder = builder.accept_open_sockets();
        }
        if let Some(path) = &hidden.call_log {
            builder = builder.call_log(path);
        }
        if let Some(mcp) = &mcp {
            builder = builder.tool_source(Arc::new(mcp.clone()));
        }
        if !has_answers {
            // Nothing else can answer while this process has the store, so a call that asks is refused at once.
            builder = builder.answer_time(NO_ANSWER_TIME);
        }
        let orkestra = builder.questions(has_answers).start(store).await?;
        let answers = if has_answers { Answers::listen() } else { Answers::none() };
        Ok(Self { orkestra, stop, answers, mcp })
    }

    /// Prints on stderr what does not confine the commands of a run, which a user should read before anything else.
    pub(super) async fn warn(&self, run: &Run) {
        match self.orkestra.confinement(run).await {
            Ok(confinement) => {
                if let Some(warning) = confinement.warning() {
                    eprintln!("{warning}");
                }
            }
            Err(error) => eprintln!("warning: it is not known yet how commands are confined: {error}"),
        }
    }

    /// Shows `runs`, each from its view on, until all have ended; then prints a summary of each.
    pub(super) async fn show(
        mut self,
        place: &Place,
        runs: Vec<(Watched, RunView)>,
        screen: &mut dyn Screen,
        summary: &mut dyn Write,
    ) -> Result<Exit, Failure> {
        let names: Vec<String> = runs.iter().map(|(watched, _)| watched.run.id().to_string()).collect();
        let mut followed = Vec::new();
        for (watched, view) in runs {
            screen.begin(&view).map_err(|error| unwritable(&error))?;
            for wait in view.nodes.iter().flat_map(|node| &node.waits_for) {
                self.answers.ask_again(&watched.run, wait);
            }
            followed.push(watched);
        }
        let ending = follow(followed, screen, &mut self.stop, &mut self.answers).await;
        screen.end();
        let exit = match ending {
            Ok(Ending::All(ended)) => {
                let is_out = ended.iter().any(|(_, stopped)| matches!(stopped, Ok(Stopped::OutOfBudget(_))));
                let exit = self.summarize(place, ended, summary).await;
                if is_out {
                    // Other agents of the run may be in a model call, whose answer would be paid for twice.
                    tokio::select! {
                        _ = self.orkestra.engine().drain(DRAIN_MAX) => {}
                        () = self.stop.asked() => {}
                    }
                }
                exit
            }
            Ok(Ending::Detached) => {
                eprintln!("\ndetached: finished work is kept; continue with: aios resume {}", names.join(" "));
                Ok(Exit::Interrupted)
            }
            Err(error) => Err(unwritable(&error)),
        };
        self.shut_down().await;
        exit
    }

    /// Stops the engine and the servers of tools. Unfinished runs continue at the next start.
    pub(super) async fn shut_down(&self) {
        self.orkestra.shutdown().await;
        if let Some(mcp) = &self.mcp {
            mcp.close().await;
        }
    }

    async fn summarize(
        &self,
        place: &Place,
        ended: Vec<(Run, Result<Stopped, orkestra_core::Error>)>,
        summary: &mut dyn Write,
    ) -> Result<Exit, Failure> {
        let reader = Reader::start(place).await?;
        let mut worst = Exit::Done;
        for (run, outcome) in ended {
            let exit = match outcome {
                Ok(Stopped::OutOfBudget(budget)) => {
                    eprintln!(
                        "run {} is paused and waits for {budget}; raise it with `Run::set_budget` from a program that opens \
                         this store, then `aios resume {}`",
                        run.id(),
                        run.id()
                    );
                    Exit::Budget
                }
                Ok(Stopped::LostHosts(reason)) => {
                    eprintln!(
                        "run {} is paused: {reason}; `aios logs {}` has its calls, `aios resume {}` continues it",
                        run.id(),
                        run.id(),
                        run.id()
                    );
                    Exit::Failed
                }
                Ok(Stopped::Ended(outcome)) => {
                    let record = run.status().await?;
                    let text = summary::of(&record, &outcome, &reader.workspace_path(&record), &reader.files(&record));
                    match summary.write_all(text.as_bytes()).and_then(|()| summary.flush()) {
                        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(unwritable(&error)),
                        _ => Exit::of(&outcome),
                    }
                }
                Err(error) => {
                    eprintln!(
                        "aios: cannot continue run {} here: {error}; try again with `aios resume {}`",
                        run.id(),
                        run.id()
                    );
                    Exit::Failed
                }
            };
            worst = worst.max(exit);
        }
        Ok(worst)
    }
}

/// Where summaries go: stdout, or stderr when stdout carries JSON.
pub(super) fn summary_to(json: bool) -> Box<dyn Write> {
    if json { Box::new(io::stderr()) } else { Box::new(io::stdout()) }
}
