//! Works on a benchmark until it has ended, it needs a person, or the user detaches.

use std::path::Path;
use std::sync::Arc;

use orkestra_bench::benchmark::{BenchmarkError, Benchmarks};
use orkestra_bench::grade::GradingPlace;
use orkestra_bench::result::BenchmarkResult;
use orkestra_bench::task::Suite;
use orkestra_core::kernel::Next;
use orkestra_core::prelude::{Cursor, Event, NodeStatus, Outcome, Run};
use orkestra_store::SledStore;

use super::contestant::{Parts, Working};
use super::progress::{self, Progress};
use super::results;
use super::settings::Settings;
use crate::exit::{Exit, Failure};
use crate::signals::Stop;

/// How following a benchmark ended.
enum Ending {
    Ended(Outcome),
    /// A trial cannot be worked on, for this reason.
    Trouble(String),
    Detached,
}

pub(super) async fn perform(
    directory: &Path,
    settings: Settings,
    suite: Suite,
    place: GradingPlace,
    json: bool,
) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    let shown = directory.display().to_string();
    let store = SledStore::open(directory.join("store"))
        .map_err(|error| Failure::failed(format!("cannot open the journal of the benchmark in {shown}: {error}")))?;
    let working =
        Working::start(Parts { directory, settings: &settings, suite, place, store: Arc::new(store) }).await?;
    let done = work(directory, &settings, &working, &mut stop, json).await;
    working.shut_down().await;
    let (ending, result) = done?;
    results::write(directory, &result)?;
    results::show(&result, directory, json)?;
    match ending {
        Ending::Ended(Outcome::Completed(_)) => Ok(Exit::Done),
        Ending::Ended(outcome) => Err(Failure::failed(format!("the benchmark ended early: {outcome:?}"))),
        Ending::Trouble(why) => Err(Failure::failed(format!(
            "the benchmark is paused, because a trial could not be worked on: {why}; mend it, then continue with: aios benchmark resume {shown}"
        ))),
        Ending::Detached => {
            eprintln!("detached: graded trials are kept; continue with: aios benchmark resume {shown}");
            Ok(Exit::Interrupted)
        }
    }
}

async fn work(
    directory: &Path,
    settings: &Settings,
    working: &Working,
    stop: &mut Stop,
    json: bool,
) -> Result<(Ending, BenchmarkResult), Failure> {
    let run =
        working.benchmarks.start(working.engine(), Some(&settings.id), settings.request()).await.map_err(failed)?;
    Benchmarks::resume(&run).await.map_err(failed)?;
    let result = Benchmarks::result(&run).await.map_err(failed)?;
    let mut progress = progress::open(&result, json);
    let ending = tokio::select! {
        ending = follow(directory, &run, progress.as_mut()) => ending?,
        () = stop.asked() => Ending::Detached,
    };
    progress.end();
    Ok((ending, Benchmarks::result(&run).await.map_err(failed)?))
}

/// Shows the trials as they begin and end, and writes the result after each.
async fn follow(directory: &Path, run: &Run, progress: &mut dyn Progress) -> Result<Ending, Failure> {
    // What an earlier process did is in the result already: only what is under way is shown.
    let view = run.view().await?;
    if view.pause.is_some() {
        return Ok(Ending::Trouble(Benchmarks::trouble(run).await.map_err(failed)?.unwrap_or_default()));
    }
    view.nodes.iter().filter(|node| node.status == NodeStatus::Running).for_each(|node| progress.begins(&node.name));
    let mut events = run.events(Cursor(view.last.0));
    while let Some(event) = events.next().await? {
        match &event.event {
            Event::AttemptStarted { node, .. } => progress.begins(node),
            Event::AttemptFailed { node, failure, next: Next::RetryAt(_), .. } => {
                progress.waits(node, &failure.message);
            }
            Event::NodeCompleted { node, .. } => {
                let result = Benchmarks::result(run).await.map_err(failed)?;
                progress.ends(node, &result);
                results::write(directory, &result)?;
            }
            Event::RunPaused { .. } => {
                if let Some(why) = Benchmarks::trouble(run).await.map_err(failed)? {
                    return Ok(Ending::Trouble(why));
                }
            }
            _ => {}
        }
    }
    Ok(Ending::Ended(run.outcome().await?))
}

pub(super) fn failed(error: BenchmarkError) -> Failure {
    match error {
        BenchmarkError::Usage(text) => Failure::usage(text),
        error => Failure::failed(error.to_string()),
    }
}
