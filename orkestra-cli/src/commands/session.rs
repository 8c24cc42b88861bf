//! Runs that this process drives: shows them until they end or the user detaches, then shuts the engine down.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, SandboxChoice};
use orkestra_core::prelude::{Run, RunView};
use orkestra_core::store::Store;
use orkestra_tools::Secrets;
use orkestra_tools::mcp::McpTools;

use super::unwritable;
use crate::args::Hidden;
use crate::exit::{Exit, Failure};
use crate::mcp;
use crate::place::Place;
use crate::reader::Reader;
use crate::screen::Screen;
use crate::signals::Stop;
use crate::summary;
use crate::watch::{Ending, Stopped, Watched, follow};

/// How long the running calls of a run that is out of budget may take.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// A running engine with its agents, and the signal by which the user detaches.
pub(super) struct Session {
    pub(super) orkestra: Orkestra,
    stop: Stop,
    mcp: Option<McpTools>,
}

impl Session {
    pub(super) async fn start(
        place: &Place,
        store: Arc<dyn Store>,
        model: ModelChoice,
        sandbox: SandboxChoice,
        hidden: &Hidden,
    ) -> Result<Self, Failure> {
        let stop = Stop::listen()?;
        let model = match hidden.demo_delay_ms {
            Some(delay) => model.with_demo_delay(Duration::from_millis(delay)),
            None => model,
        };
        let known =
            ["GITHUB_TOKEN", "AIOS_API_KEY"].into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
        let secrets = Secrets::new(known).map_err(|error| orkestra_agents::Error::usage(error.to_string()))?;
        let mcp = match &hidden.servers.mcp {
            Some(file) => Some(mcp::connect(file, &place.data, sandbox).await?),
            None => None,
        };
        let secrets = match &mcp {
            Some(mcp) => mcp.masking(&secrets).map_err(|error| orkestra_agents::Error::usage(error.to_string()))?,
            None => secrets,
        };
        let mut builder = Orkestra::builder(&place.data).model(model).sandbox(sandbox).secrets(secrets);
        if let Some(path) = &hidden.call_log {
            builder = builder.call_log(path);
        }
        if let Some(mcp) = &mcp {
            builder = builder.tool_source(Arc::new(mcp.clone()));
        }
        Ok(Self { orkestra: builder.start(store).await?, stop, mcp })
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
            followed.push(watched);
        }
        let ending = follow(followed, screen, &mut self.stop).await;
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
        self.orkestra.shutdown().await;
        if let Some(mcp) = &self.mcp {
            mcp.close().await;
        }
        exit
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
