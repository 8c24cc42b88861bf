//! Follows runs until they end or the user detaches, and passes their events to the screen.
//!
//! ```text
//! Run::events ──► product_event ──► channel ──► Screen
//!      one task per run                  \────► stopped, per run
//! ```

use std::io;

use orkestra_agents::event::FeedEvent;
use orkestra_agents::feed::product_event;
use orkestra_core::kernel::Outcome;
use orkestra_core::prelude::{Cursor, Event, PauseReason, Run, RunView};
use orkestra_core::projection::WaitsFor;
use tokio::sync::mpsc;

use crate::screen::Screen;
use crate::signals::Stop;

/// How many events may be queued for the screen: enough that a slow terminal does not delay the runs, few enough that what
/// is shown is current.
const EVENTS_QUEUED_MAX: usize = 256;

/// A run, and the position to show it from.
pub(crate) struct Watched {
    pub(crate) run: Run,
    pub(crate) from: Cursor,
}

/// How following ended.
pub(crate) enum Ending {
    /// Every run has stopped or cannot be followed further: each with how it stopped or the error.
    All(Vec<(Run, Result<Stopped, orkestra_core::Error>)>),
    /// The user detached, or the reader of the output closed the pipe.
    Detached,
}

/// Why a run does nothing more.
pub(crate) enum Stopped {
    /// It has ended.
    Ended(Outcome),
    /// It is paused and cannot be resumed, for what [`budget_used_up`] says.
    OutOfBudget(String),
    /// It is paused because its processes were lost, as this says.
    ProcessesLost(String),
}

enum News {
    Event(FeedEvent),
    Stopped(Run, Result<Stopped, orkestra_core::Error>),
}

/// Shows `runs` until all have stopped or the user asks to stop. A run that is paused by its budget or because its processes were
/// lost has stopped: no other process can raise the budget or resume it while this one has the store.
///
/// # Errors
/// When the screen cannot be written. A closed pipe is not an error.
pub(crate) async fn follow(runs: Vec<Watched>, screen: &mut dyn Screen, stop: &mut Stop) -> io::Result<Ending> {
    let (sender, mut news) = mpsc::channel(EVENTS_QUEUED_MAX);
    for watched in runs {
        tokio::spawn(read(watched, sender.clone()));
    }
    drop(sender);
    let mut ended = Vec::new();
    loop {
        let item = tokio::select! {
            // The user first: runs with many events must not delay a detach. It happens once, so it delays no event.
            biased;
            () = stop.asked() => return Ok(Ending::Detached),
            item = news.recv() => item,
        };
        match item {
            Some(News::Event(event)) => match screen.event(&event) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ending::Detached),
                other => other?,
            },
            Some(News::Stopped(run, stopped)) => ended.push((run, stopped)),
            None => return Ok(Ending::All(ended)),
        }
    }
}

/// The budget that a paused run waits for, as in "the run waits for …".
pub(crate) fn budget_used_up(view: &RunView) -> Option<String> {
    let mut waits = view.nodes.iter().flat_map(|node| &node.waits_for);
    waits.find(|wait| matches!(wait, WaitsFor::Budget { .. })).map(ToString::to_string)
}

/// Why the run does nothing more until a person resumes it.
async fn stopped(run: &Run) -> Result<Option<Stopped>, orkestra_core::Error> {
    let view = run.view().await?;
    if let Some(budget) = budget_used_up(&view) {
        return Ok(Some(Stopped::OutOfBudget(budget)));
    }
    let mut waits = view.nodes.iter().flat_map(|node| &node.waits_for);
    let pause = waits.find_map(|wait| match wait {
        WaitsFor::Pause { reason, .. } => Some(Stopped::ProcessesLost(reason.clone())),
        _ => None,
    });
    Ok(pause)
}

async fn read(watched: Watched, sender: mpsc::Sender<News>) {
    let Watched { run, from } = watched;
    let mut events = run.events(from);
    let stopped = loop {
        match events.next().await {
            Ok(Some(event)) => {
                let is_out = matches!(
                    event.event,
                    Event::RunPaused { reason: PauseReason::Budget { .. } | PauseReason::ProcessesLost { .. } }
                );
                if sender.send(News::Event(product_event(&event))).await.is_err() {
                    return;
                }
                // NOTE: an event of the past says nothing about now: the run may have been resumed.
                match if is_out { stopped(&run).await } else { Ok(None) } {
                    Ok(Some(stopped)) => break Ok(stopped),
                    Ok(None) => {}
                    Err(error) => break Err(error),
                }
            }
            Ok(None) => break run.outcome().await.map(Stopped::Ended),
            Err(error) => break Err(error),
        }
    };
    // This fails only when the user has detached.
    let _ = sender.send(News::Stopped(run, stopped)).await;
}

#[cfg(test)]
mod tests {
    use orkestra_core::prelude::{Amount, Context, Engine, MemoryStore, TaskError, TaskResult, Workflow};

    use super::*;

    /// Counts what is shown.
    struct Count(usize);

    impl Screen for Count {
        fn begin(&mut self, _view: &RunView) -> io::Result<()> {
            Ok(())
        }

        fn event(&mut self, _event: &FeedEvent) -> io::Result<()> {
            self.0 += 1;
            Ok(())
        }

        fn end(&mut self) {}
    }

    async fn spend(cx: Context, (): ()) -> TaskResult<()> {
        cx.charge([("usd", Amount::whole(2))]).await?;
        cx.step("next", async || Ok::<_, TaskError>(())).await
    }

    #[tokio::test]
    async fn a_run_is_followed_until_its_budget_is_used_up_and_after_it_was_resumed() {
        let workflow = Workflow::new("w").node("spend", spend).build().expect("a workflow");
        let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").budget("usd", Amount::whole(1)).expect("a meter").start().await.expect("a run");
        let mut stop = Stop::listen().expect("signals");
        let mut screen = Count(0);
        let mut follow = async || {
            let watched = Watched { run: run.clone(), from: Cursor::START };
            let Ok(Ending::All(mut runs)) = follow(vec![watched], &mut screen, &mut stop).await else {
                panic!("nobody detaches")
            };
            runs.remove(0).1.expect("it can be followed")
        };
        let Stopped::OutOfBudget(budget) = follow().await else { panic!("it has not ended") };
        assert_eq!(budget, "a higher budget of `usd`: 2 of 1 are spent");
        run.set_budget("usd", None).await.expect("it is live");
        run.resume().await.expect("it is paused");
        assert!(matches!(follow().await, Stopped::Ended(Outcome::Completed(_))));
        engine.shutdown().await;
    }
}
