//! Follows runs until they end or the user detaches, and passes their events to the screen.
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
    /// Every run has ended or cannot be followed further: each with its outcome or the error.
    All(Vec<(Run, Result<Outcome, orkestra_core::Error>)>),
    /// The user detached, or the reader of the output closed the pipe.
    Detached,
}

enum News {
    Event(FeedEvent),
    Ended(Run, Result<Outcome, orkestra_core::Error>),
}

/// Shows `runs` until all have ended or the user asks to stop.
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
                if sender.send(News::Event(product_event(&event))).await.is_err() {
                    return;
                }
            }
            Ok(None) => break run.outcome().await,
            Err(error) => break Err(error),
        }
    };
    // This fails only when the user has detached.
    let _ = sender.send(News::Ended(run, outcome)).await;
}
