//! Budgets: model calls charge the run, a budget that is used up pauses it, and nothing is repeated when it continues.

use std::sync::Arc;

use orkestra_agents::{
    PipelineRequest, TOKENS_METER, USD_METER,
    model::{ModelChoice, Price, Priced, ScriptedModel, call, say},
};
use orkestra_core::prelude::{Amount, Cursor, Event, MemoryStore, Outcome, Run, RunStatus};
use serde_json::json;

use crate::support::{
    product::start,
    writer::{Process, turn},
};

/// Tokens of each call of a scripted model.
const CALL_TOKENS: u64 = 15;
const CALLS: usize = 4;

/// Writes a file with each call but the last.
fn script() -> Arc<ScriptedModel> {
    ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            turn if turn + 1 < CALLS => call("write_file", json!({"path": format!("{turn}.py"), "content": "pass\n"})),
            _ => say("done"),
        })
    })
}

/// A tenth of a dollar for each call of a scripted model: 10 tokens read and 5 written.
fn price() -> Price {
    Price::new(Amount::whole(5_000), Amount::whole(10_000))
}

async fn paused(run: &Run) {
    let mut events = run.events(Cursor::START);
    while let Some(event) = events.next().await.expect("the store can be read") {
        if matches!(event.event, Event::RunPaused { .. }) {
            return;
        }
    }
    panic!("the run has ended");
}

/// Runs an agent with a budget for one call and a half; returns what it has spent on the meter at the pause and at the end.
async fn spend(meter: &str, budget: Amount, priced: bool) -> (Amount, Amount) {
    let data = tempfile::tempdir().expect("a directory");
    let script = script();
    let model = if priced { Arc::new(Priced::new(script.clone(), price())) as _ } else { script.clone() as _ };
    let process = Process::start(data.path(), &Arc::new(MemoryStore::new()), model, &|agent| agent).await;
    let request = process.engine.run("writing").id("r1").input("Write a small program").expect("a text is JSON");
    let run = request.budget(meter, budget).expect("a meter").start().await.expect("it starts");
    paused(&run).await;
    let spent = async || run.view().await.expect("it is there").spent[meter];
    let at_pause = spent().await;
    assert_eq!(script.asked().len(), 2, "the call that reaches the budget is the last one");
    assert!(run.resume().await.is_err(), "the budget is used up");
    run.set_budget(meter, None).await.expect("it is live");
    run.resume().await.expect("it is paused");
    assert!(matches!(run.outcome().await.expect("it ends"), Outcome::Completed(_)));
    assert_eq!(script.asked().len(), CALLS, "no call is repeated");
    assert!(process.calls().iter().all(|(_, started, ended)| (*started, *ended) == (1, 1)), "{:?}", process.calls());
    (at_pause, spent().await)
}

#[tokio::test]
async fn a_budget_of_tokens_pauses_an_agent_and_no_model_call_is_repeated() {
    let (at_pause, at_end) = spend(TOKENS_METER, Amount::whole(20), false).await;
    assert_eq!((at_pause, at_end), (Amount::whole(2 * CALL_TOKENS), Amount::whole(4 * CALL_TOKENS)));
}

#[tokio::test]
async fn a_budget_of_dollars_pauses_an_agent_whose_price_is_known() {
    let (at_pause, at_end) = spend(USD_METER, Amount::from_units(0.15), true).await;
    assert_eq!((at_pause, at_end), (Amount::from_units(0.2), Amount::from_units(0.4)));
}

#[tokio::test]
async fn an_unknown_price_charges_no_dollars() {
    let data = tempfile::tempdir().expect("a directory");
    let process = Process::start(data.path(), &Arc::new(MemoryStore::new()), script(), &|agent| agent).await;
    let run = process.run().await;
    assert!(matches!(run.outcome().await.expect("it ends"), Outcome::Completed(_)));
    let spent = run.view().await.expect("it is there").spent;
    assert_eq!(spent.keys().map(ToString::to_string).collect::<Vec<_>>(), [TOKENS_METER]);
}

#[tokio::test]
async fn a_pipeline_paused_by_its_budget_continues_in_another_process() {
    let data = tempfile::tempdir().expect("a directory");
    let store = Arc::new(MemoryStore::new());
    let model = ScriptedModel::answering("scripted", |_| Ok(say("First this, then that.")));
    let choice = || ModelChoice::custom(model.clone()).with_price("scripted", price());
    let builder = || crate::support::product::builder(data.path(), choice());
    let first = builder().start(store.clone()).await.expect("it starts");
    let request = PipelineRequest {
        id: Some("r1".to_owned()),
        objective: "Plan it".to_owned(),
        tasks: vec!["planner".to_owned()],
        budgets: [(USD_METER.to_owned(), Amount::from_units(0.05))].into(),
        ..PipelineRequest::default()
    };
    let run = first.create(request).await.expect("it is created");
    paused(&run).await;
    first.shutdown().await;
    let second = builder().start(store.clone()).await.expect("it starts");
    let run = second.engine().handle("r1").expect("an id");
    assert_eq!(run.status().await.expect("it is there").status, RunStatus::Paused);
    run.set_budget(USD_METER, Some(Amount::whole(1))).await.expect("it is live");
    run.resume().await.expect("it is paused");
    assert!(matches!(run.outcome().await.expect("it ends"), Outcome::Completed(_)));
    assert_eq!(model.asked().len(), 1, "the call that reached the budget is not repeated");
    second.shutdown().await;
}

#[tokio::test]
async fn a_budget_needs_a_valid_meter() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), crate::support::product::demo()).await;
    let budgets = [(String::new(), Amount::whole(1))].into();
    let request = PipelineRequest { objective: "Build it".to_owned(), budgets, ..PipelineRequest::default() };
    let error = orkestra.create(request).await.expect_err("a meter without a name");
    assert_eq!(error.kind(), orkestra_agents::ErrorKind::Usage);
    orkestra.shutdown().await;
}
