//! A run that is out of budget ends the command with exit code 3.

use std::sync::Arc;

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, PipelineRequest, SandboxChoice, TOKENS_METER};
use orkestra_core::prelude::*;
use orkestra_store::SledStore;

use super::support::Place;

/// Leaves a run of the pipeline in the store of `place` that is paused by its budget.
fn leave_a_run_without_budget(place: &Place) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let data = place.path().join(".orkestra");
        let store = SledStore::open(data.join("store")).expect("a store");
        let builder = Orkestra::builder(&data).model(ModelChoice::demo()).sandbox(SandboxChoice::Local);
        let orkestra = builder.start(Arc::new(store)).await.expect("it starts");
        let request = PipelineRequest {
            id: Some("r".to_owned()),
            objective: "Build a shop".to_owned(),
            budgets: [(TOKENS_METER.to_owned(), Amount::ZERO)].into(),
            ..PipelineRequest::default()
        };
        let run = orkestra.create(request).await.expect("it is created");
        let mut events = run.events(Cursor::START);
        while !matches!(
            events.next().await.expect("a journal").expect("it has not ended").event,
            Event::RunPaused { .. }
        ) {}
        orkestra.shutdown().await;
    });
}

#[test]
fn a_run_that_is_out_of_budget_ends_the_command_with_its_exit_code() {
    let place = Place::new();
    leave_a_run_without_budget(&place);
    let followed = place.done(&["logs", "r", "--follow"]);
    assert_eq!(followed.code, 3, "{followed:?}");
    assert!(followed.out.contains("paused: the budget of `tokens` is used up"), "{followed:?}");
    let expected = "run r is paused and waits for a higher budget of `tokens`: 0 of 0 are spent; raise it with \
                    `Run::set_budget` from a program that opens this store, then `aios resume r`\n";
    assert!(followed.err.ends_with(expected), "{followed:?}");
    let resumed = place.done(&["resume", "r"]);
    assert_eq!(resumed.code, 3, "{resumed:?}");
    assert!(resumed.err.contains("the budget of 0 `tokens` is used up; raise it first"), "{resumed:?}");
}
