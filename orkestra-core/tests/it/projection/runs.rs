//! Graph and timeline of a run, through its handle.

use orkestra_core::model::{Growth, Name, NodeSpec};
use orkestra_core::prelude::*;

async fn plan(cx: Context, (): ()) -> TaskResult<u32> {
    let name = |text: &str| Name::new(text).map_err(|error| TaskError::permanent(error.to_string()));
    cx.step("think", || async { Ok::<_, TaskError>(1) }).await?;
    let node = NodeSpec::task(name("extra")?, name("work")?).with_after(name("plan")?);
    cx.grow("more", Growth::new().with_node(node)).await?;
    Ok(1)
}

async fn work(cx: Context, number: u32) -> TaskResult<u32> {
    cx.step("add", || async move { Ok::<_, TaskError>(number + 1) }).await
}

#[tokio::test]
async fn a_run_has_a_graph_and_a_timeline() {
    let workflow = Workflow::new("w").node("plan", plan).node("work", work).after("plan").build().expect("a workflow");
    assert_eq!(workflow.graph().nodes.len(), 2);
    let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&()).expect("an input").start().await.expect("a run");
    run.outcome().await.expect("it ends");
    let graph = run.graph().await.expect("a graph");
    let grown: Vec<_> = graph.nodes.iter().map(|node| (node.name.as_str(), node.grown_by.as_deref())).collect();
    assert_eq!(grown, [("plan", None), ("work", None), ("extra", Some("plan"))]);
    assert!(graph.nodes.iter().all(|node| node.status == Some(NodeStatus::Completed)));
    let timeline = run.timeline().await.expect("a timeline");
    assert_eq!(timeline.status, RunStatus::Completed);
    assert_eq!(timeline.nodes[0].attempts[0].steps.len(), 2);
    engine.shutdown().await;
}
