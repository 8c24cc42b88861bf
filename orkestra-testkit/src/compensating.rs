//! A run that is being compensated, for the tests of this repository: hidden, because it promises nothing to others.

use orkestra_core::prelude::{Cursor, Event, Name, NodeSpec, Run, RunEvent, WorkflowSpec};
use orkestra_core::{Events, RunRequest};

const WHY: &str = "the workflow is valid, and nobody else touches its run";

/// A workflow for [`compensating`]: its only node that completes is compensated by the task `undo`.
///
/// # Panics
/// When `undo` is not a valid name.
#[must_use]
pub fn undoable(undo: &str) -> WorkflowSpec {
    let name = |text: &str| Name::new(text).expect("a name");
    let mut done = NodeSpec::gate(name("done"), name("go"));
    done.compensate = Some(name(undo));
    let open = NodeSpec::gate(name("open"), name("never")).with_after(name("done"));
    WorkflowSpec { name: name("undoable"), version: None, nodes: vec![done, open] }
}

/// Starts a run of [`undoable`] and cancels it; returns when its compensation has started, with the events after that.
///
/// # Panics
/// When the run cannot be started, or its task does not exist.
pub async fn compensating(request: RunRequest) -> (Run, Events) {
    let run = request.start().await.expect(WHY);
    run.signal("go", &()).await.expect(WHY);
    let mut events = run.events(Cursor::START);
    reach(&mut events, |event| matches!(event, Event::NodeCompleted { .. })).await;
    run.cancel("enough").await.expect(WHY);
    reach(&mut events, |event| matches!(event, Event::CompensationStarted { .. })).await;
    (run, events)
}

/// Reads up to the first event that is `wanted`.
///
/// # Panics
/// When the run ends before it, or its journal cannot be read.
pub async fn reach(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> RunEvent {
    loop {
        let event = events.next().await.expect("the store can be read").expect("the run has not ended");
        if wanted(&event.event) {
            return event;
        }
    }
}
