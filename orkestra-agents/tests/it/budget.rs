//! Budgets: answers of the model charge the run, a budget that is used up pauses it, and nothing is repeated when it continues.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_agents::{
    ErrorKind, PipelineRequest, TOKENS_METER, USD_METER,
    model::{
        Message, Model, ModelChoice, ModelError, Price, Priced, Reply, Request, ScriptedModel, Sink, Usage, call, say,
    },
};
use orkestra_core::prelude::{Amount, Cursor, Event, MemoryStore, Outcome, Run, RunStatus};
use serde_json::{Value, json};

use crate::support::{
    product::{events, named, start},
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
    paused_times(run, 1).await;
}

/// Waits until the run has been paused this often.
async fn paused_times(run: &Run, mut times: usize) {
    let mut events = run.events(Cursor::START);
    while let Some(event) = events.next().await.expect("the store can be read") {
        times -= usize::from(matches!(event.event, Event::RunPaused { .. }));
        if times == 0 {
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
    // The planner makes one call, the backend two.
    let model = ScriptedModel::answering("scripted", |request| match (is_planner(request), turn(request)) {
        (false, 0) => Ok(call("write_file", json!({"path": "main.py", "content": "pass\n"}))),
        _ => Ok(say("First this, then that.")),
    });
    let builder = |choice| crate::support::product::builder(data.path(), choice);
    let choice = || ModelChoice::custom(model.clone());
    let first = builder(choice().with_price("scripted", price())).start(store.clone()).await.expect("it starts");
    let request = PipelineRequest {
        id: Some("r1".to_owned()),
        objective: "Plan it".to_owned(),
        tasks: vec!["planner".to_owned(), "backend".to_owned()],
        budgets: [(USD_METER.to_owned(), Amount::from_units(0.05))].into(),
        ..PipelineRequest::default()
    };
    let run = first.create(request).await.expect("it is created");
    paused(&run).await;
    first.shutdown().await;
    assert_eq!(model.asked().len(), 1);
    // This process does not know the price.
    let second = builder(choice()).start(store.clone()).await.expect("it starts");
    let run = second.engine().handle("r1").expect("an id");
    assert_eq!(run.status().await.expect("it is there").status, RunStatus::Paused);
    run.set_budget(USD_METER, Some(Amount::from_units(0.15))).await.expect("it is live");
    run.resume().await.expect("it is paused");
    paused_times(&run, 2).await;
    assert_eq!(model.asked().len(), 2, "the budget holds here too");
    run.set_budget(USD_METER, Some(Amount::whole(1))).await.expect("it is live");
    run.resume().await.expect("it is paused");
    assert!(matches!(run.outcome().await.expect("it ends"), Outcome::Completed(_)));
    assert_eq!(model.asked().len(), 3, "the call that reached the budget is not repeated");
    let spent = run.view().await.expect("it is there").spent[USD_METER];
    assert_eq!(spent, Amount::from_units(0.3), "the calls of both processes are charged");
    second.shutdown().await;
}

fn is_planner(request: &Request) -> bool {
    request.messages.iter().any(|message| matches!(message, Message::System { text } if text.contains("plan.md")))
}

/// A model that says itself what a call costs.
struct Metered(Arc<ScriptedModel>);

#[async_trait]
impl Model for Metered {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn context_tokens(&self) -> u64 {
        self.0.context_tokens()
    }

    fn reports_cost(&self) -> bool {
        true
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let reply = self.0.stream(request, sink).await?;
        let usage = Usage { cost_usd: Some(Amount::from_units(0.1)), ..Usage::default() };
        Ok(Reply { usage, ..reply })
    }
}

/// Creates a run of the planner with a budget in dollars; returns whether it is refused and why.
async fn with_budget_in_dollars(choice: ModelChoice) -> Result<Vec<Value>, orkestra_agents::Error> {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), choice).await;
    let request = PipelineRequest {
        objective: "Plan it".to_owned(),
        tasks: vec!["planner".to_owned()],
        budgets: [(USD_METER.to_owned(), Amount::whole(1))].into(),
        ..PipelineRequest::default()
    };
    let created = orkestra.create(request).await;
    let seen = match created {
        Ok(run) => Ok(events(&run).await),
        Err(error) => Err(error),
    };
    orkestra.shutdown().await;
    seen
}

#[tokio::test]
async fn a_budget_in_dollars_needs_a_price_or_a_model_that_reports_its_cost() {
    let model = || ScriptedModel::answering("scripted", |_| Ok(say("First this, then that.")));
    let error = with_budget_in_dollars(ModelChoice::custom(model())).await.expect_err("no price is known");
    assert_eq!(error.kind(), ErrorKind::Usage);
    let expected = "cannot keep a budget in dollars: the price of the model scripted is not known; set it with \
                    `ModelChoice::with_price`";
    assert_eq!(error.to_string(), expected);
    for (choice, usage) in [
        (ModelChoice::custom(model()).with_price("scripted", price()), json!([10, 5, 0.1])),
        (ModelChoice::custom(Arc::new(Metered(model()))), json!([null, null, 0.1])),
    ] {
        let events = with_budget_in_dollars(choice).await.expect("its cost is known");
        let [event] = &named(&events, "usage")[..] else { panic!("one call: {events:?}") };
        assert_eq!(json!([event["tokens"]["input"], event["tokens"]["output"], event["cost_usd"]]), usage);
    }
    with_budget_in_dollars(crate::support::product::demo()).await.expect("it is free");
}

#[tokio::test]
async fn a_budget_needs_a_valid_meter() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), crate::support::product::demo()).await;
    let budgets = [(String::new(), Amount::whole(1))].into();
    let request = PipelineRequest { objective: "Build it".to_owned(), budgets, ..PipelineRequest::default() };
    let error = orkestra.create(request).await.expect_err("a meter without a name");
    assert_eq!(error.kind(), ErrorKind::Usage);
    orkestra.shutdown().await;
}
