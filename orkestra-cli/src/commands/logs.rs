//! `aios logs`: the events of a run, from its journal.

use std::io;

use orkestra_agents::feed::product_event;
use orkestra_core::prelude::{Cursor, Run, RunView};

use super::{place_of, resume, unwritable};
use crate::args::LogsArguments;
use crate::exit::{Exit, Failure};
use crate::reader::Reader;
use crate::screen::{Json, Lines, Screen};

pub(super) async fn perform(arguments: LogsArguments) -> Result<Exit, Failure> {
    let LogsArguments { run, follow, show, hidden } = arguments;
    let place = place_of(&run).await?;
    let reader = Reader::start(&place).await?;
    let run = reader.find(&run).await?;
    let view = run.view().await?;
    let mut screen: Box<dyn Screen> = if show.json { Box::new(Json) } else { Box::new(Lines::new(1)) };
    if follow && !view.status.is_final() {
        reader.engine.shutdown().await;
        return resume::resume(
            &place,
            vec![(Cursor::START, view)],
            &mut *screen,
            show.json,
            &hidden,
            resume::Paused::Stay,
        )
        .await;
    }
    let printed = print_all(&run, &view, &mut *screen).await;
    reader.engine.shutdown().await;
    printed?;
    match &view.outcome {
        Some(outcome) if follow => Ok(Exit::of(outcome)),
        Some(_) => Ok(Exit::Done),
        None => {
            eprintln!("note: the run is unfinished and not being worked on; resume it with `aios resume {}`", view.id);
            Ok(Exit::Done)
        }
    }
}

/// Prints the events up to `view`. No events are added meanwhile: this process alone has the store.
async fn print_all(run: &Run, view: &RunView, screen: &mut dyn Screen) -> Result<(), Failure> {
    let mut events = run.events(Cursor::START);
    let mut last = 0;
    while last < view.last.0 {
        let Some(event) = events.next().await? else { break };
        last = event.seq.0;
        match screen.event(&product_event(&event)) {
            // The reader has closed the pipe, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            shown => shown.map_err(|error| unwritable(&error))?,
        }
    }
    Ok(())
}
