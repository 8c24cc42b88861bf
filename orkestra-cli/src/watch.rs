//! Follows runs until they end: their events to the screen, Ctrl-C to whoever asked.
//!
//! ```text
//! Run::events ──► product_event ──► channel ──► Screen
//!      one task per run                  \────► ended: Exit, per run
//! ```

use std::io;

use orkestra_agents::event::FeedEvent;
use orkestra_agents::feed::product_event;
use orkestra_core::kernel::Outcome;
use orkestra_core::prelude::{Cursor, Run};
use tokio::sync::mpsc;

use crate::screen::Screen;
use crate::signals::Stop;

/// Events on their way to the screen: enough to keep a slow terminal from holding up the runs, small enough to be current.
const EVENTS_QUEUED_MAX: usize = 256;

/// A run, and where to begin to show it.
pub(crate) struct Watched {
    pub(crate) run: Run,
    pub(crate) from: Cursor,
}

/// How following ended.
pub(crate) enum Ending {
    /// All runs have ended, or cannot go on here: each with its outcome or the reason.
    All(Vec<(Run, Result<Outcome, orkestra_core::Error>)>),
    /// The user wants to go, or nobody reads the output any more.
    Detached,
}

enum News {
    Event(FeedEvent),
    Ended(Run, Result<Outcome, orkestra_core::Error>),
}

/// Shows `runs` until all have ended or somebody asks to stop.
///
/// # Errors
/// When the screen cannot be written, unless it is gone.
pub(crate) async fn follow(runs: Vec<Watched>, screen: &mut dyn Screen, stop: &mut Stop) -> io::Result<Ending> {
    let (sender, mut news) = mpsc::channel(EVENTS_QUEUED_MAX);
    for watched in runs {
        tokio::spawn(read(watched, sender.clone()));
    }
    drop(sender);
    let mut ended = Vec::new();
    loop {
        let item = tokio::select! {
            biased;
            () = stop.asked() => return Ok(Ending::Detached),
            item = news.recv() => item,
        };
        match item {
            Some(News::Event(event)) => match screen.event(&event) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ending::Detached),
                other => other?,
            },
            Some(News::Ended(run, outcome)) => ended.push((run, outcome)),
            None => return Ok(Ending::All(ended)),
        }
    }
}

async fn read(watched: Watched, sender: mpsc::Sender<News>) {
    let Watched { run, from } = watched;
    let mut events = run.events(from);
    let outcome = loop {
        match events.next().await {
            Ok(Some(event)) => {
                let Some(event) = product_event(&event) else { continue };
                if sender.send(News::Event(event)).await.is_err() {
                    return;
                }
            }
            Ok(None) => break run.outcome().await,
            Err(error) => break Err(error),
        }
    };
    // Nobody listens any more only when the user has gone.
    let _ = sender.send(News::Ended(run, outcome)).await;
}
