//! A new version of an application, with runs that the old version started.

use orkestra_core::prelude::*;
use orkestra_core::{Finding, Limit, UpgradeReport};

use super::world::engine;

async fn waits(cx: Context, (): ()) -> TaskResult<u64> {
    cx.signal("go").await
}

async fn shows(_cx: Context, number: u64) -> TaskResult<String> {
    Ok(number.to_string())
}

async fn other(_cx: Context, number: f64) -> TaskResult<String> {
    Ok(number.to_string())
}

fn old() -> Workflow {
    Workflow::new("w").version("1").node("a", waits).node("b", shows).after("a").build().expect("a workflow")
}

async fn report(workflow: Option<Workflow>) -> (UpgradeReport, Engine) {
    let store = MemoryStore::new();
    let before = engine(store.clone()).workflow(old()).start().await.expect("an engine");
    before.run("w").id("r").start().await.expect("a run");
    before.shutdown().await;
    let now = engine(store).limit(Limit::concurrency("cpu", 1));
    let now = workflow.into_iter().fold(now, EngineBuilder::workflow);
    let now = now.start().await.expect("an engine");
    (now.upgrade_report().await.expect("a report"), now)
}

fn said(findings: &[(RunId, Vec<Finding>)]) -> Vec<String> {
    findings.iter().flat_map(|(_, findings)| findings.iter().map(ToString::to_string)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_workflow_is_compatible() {
    let (report, engine) = report(Some(old())).await;
    assert_eq!((report.compatible, report.needs_attention.len(), report.blocked.len()), (1, 0, 0));
    assert!(engine.stuck().await.expect("a store").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_workflow_needs_attention() {
    let new = Workflow::new("w")
        .version("2")
        .node("a", waits)
        .node("b", other)
        .after("a")
        .node_version("2026-11")
        .node("c", shows)
        .after("a")
        .build();
    let error = new.expect_err("b takes another type than a gives").to_string();
    assert_eq!(error, "node `b` takes `f64`, but gets `u64` from `a`");
    let new =
        Workflow::new("w").version("2").node("a", waits).node("b", other).node_version("2026-11").node("c", shows);
    let (report, engine) = report(Some(new.after("a").build().expect("a workflow"))).await;
    assert_eq!(
        said(&report.needs_attention),
        [
            "node `b` has the type `f64` where `u64` was",
            "the code of node `b` was no version and is 2026-11",
            "node `b` is defined in another way now, the run keeps its own",
            "the workflow was 1 and is 2",
            "the workflow has a new node `c`, the run goes on without it",
        ]
    );
    assert!(report.blocked.is_empty());
    let run = engine.get("r").await.expect("a store").expect("the run");
    run.signal("go", &7_u64).await.expect("it is sent");
    assert_eq!(run.output::<String>().await.expect("an output"), "7", "it continues with its own graph");
}

#[tokio::test(start_paused = true)]
async fn a_run_without_its_task_is_blocked_and_continues_when_it_is_back() {
    let new = Workflow::new("w").version("1").node("a", waits).build().expect("a workflow");
    let (first, engine) = report(Some(new)).await;
    assert_eq!(
        said(&first.blocked)[..2],
        ["node `b` needs the task `b`, which is not registered", "the workflow has no node `b` any more",]
    );
    let id = RunId::new("r").expect("an id");
    let run = engine.get(&id).await.expect("a store").expect("the run");
    run.outcome().await.expect_err("it cannot continue here");
    assert_eq!(engine.blocked().len(), 1, "with a reason");
    assert!(engine.stuck().await.expect("a store").is_empty(), "but it is not stuck: the right engine moves it");
    let (gone, _engine) = report(None).await;
    assert!(said(&gone.blocked).contains(&"no workflow `w` is registered any more".to_owned()));
}
