//! Invalid input and hard limits: a clear error, and nothing lost.

use orkestra_core::model::limits::{NODES_MAX, PAYLOAD_LARGE_BYTES_MAX};
use orkestra_core::prelude::*;

use super::world::engine;

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

#[test]
fn mistakes_are_found_when_the_workflow_is_built() {
    let said = |builder: orkestra_core::WorkflowBuilder| builder.build().expect_err("a mistake").to_string();
    let cycle =
        Workflow::new("w").node("a", nothing).after("c").node("b", nothing).after("a").node("c", nothing).after("b");
    let cycle = said(cycle);
    assert!(cycle.starts_with("the workflow has a cycle: ") && cycle.matches(" -> ").count() == 3, "{cycle}");
    assert_eq!(
        said(Workflow::new("w").node("a", nothing).after("ghost")),
        "node `a` comes after `ghost`, but there is no such node"
    );
    assert_eq!(said(Workflow::new("w").node("a", nothing).node("a", nothing)), "two nodes are named `a`");
    assert_eq!(said(Workflow::new("w")), "workflow `w` has no nodes");
    assert_eq!(said(Workflow::new("w").after("a")), "`after` stands before the first node");
    assert!(said(Workflow::new("w").node("a b", nothing)).starts_with("invalid name `a b`"));
    let pair = |_cx: Context, _pair: (u8, u8)| async { TaskResult::Ok(()) };
    let number = |_cx: Context, (): ()| async { TaskResult::Ok(1_u8) };
    let text = |_cx: Context, (): ()| async { TaskResult::Ok(String::new()) };
    let wired = Workflow::new("w").node("a", number).node("b", text).node("c", pair).after_all(["a", "b"]);
    assert_eq!(said(wired), "node `c` takes `(u8, u8)`, but gets `(u8, alloc::string::String)` from `a`, `b`");
}

#[test]
fn the_largest_graph_is_built_and_a_larger_one_is_refused() {
    let names: Vec<_> = (0..=NODES_MAX).map(|index| format!("n{index}")).collect();
    let chain = |count: usize| {
        let first = Workflow::new("long").node(&names[0], nothing);
        let rest = names[..count].windows(2);
        rest.fold(first, |builder, pair| builder.node(&pair[1], nothing).after(&pair[0])).build()
    };
    assert_eq!(chain(NODES_MAX).expect("fits").spec().nodes.len(), NODES_MAX);
    assert_eq!(
        chain(NODES_MAX + 1).expect_err("one too many").to_string(),
        "the plan is too large: it may have at most 10000 nodes and 200000 edges"
    );
}

#[tokio::test(start_paused = true)]
async fn invalid_starts_are_refused() {
    let workflow = Workflow::new("w").node("a", nothing).build().expect("a workflow");
    let other = Workflow::new("v").node("a", nothing).build().expect("a workflow");
    let spec = WorkflowSpec { name: Name::new("data").expect("a name"), ..workflow.spec() };
    let engine = engine(MemoryStore::new()).workflow(workflow).workflow(other).start().await.expect("an engine");
    let said = |result: Result<Run, Error>| {
        let error = result.expect_err("refused");
        (error.kind(), error.to_string())
    };
    let unknown = said(engine.run("x").start().await);
    assert_eq!(unknown, (ErrorKind::NotFound, "no workflow `x` is registered".into()));
    assert_eq!(said(engine.run("w").id("a b").start().await).0, ErrorKind::Invalid);
    let missing = said(engine.run_spec(&spec).start().await);
    assert_eq!(missing, (ErrorKind::NotFound, "workflow `data` needs the task `a`, which is not registered".into()));
    let large = engine.run("w").input(&"x".repeat(PAYLOAD_LARGE_BYTES_MAX)).expect_err("too large");
    assert_eq!(large.kind(), ErrorKind::Invalid);

    engine.run("w").id("one").start().await.expect("a run").outcome().await.expect("an outcome");
    let taken = said(engine.run("v").id("one").start().await);
    assert_eq!(taken, (ErrorKind::Conflict, "run `one` exists already, of workflow `w`".into()));
    let nobody = RunId::new("nobody").expect("an id");
    assert!(engine.get(&nobody).await.expect("readable").is_none());
}

#[tokio::test(start_paused = true)]
async fn outputs_and_steps_have_a_limit_too() {
    let huge = |cx: Context, (): ()| async move {
        let step = cx.step("huge", || async { TaskResult::Ok("x".repeat(PAYLOAD_LARGE_BYTES_MAX)) }).await;
        assert_eq!(step.expect_err("too large").failure().kind, "bad_output");
        TaskResult::Ok("x".repeat(PAYLOAD_LARGE_BYTES_MAX))
    };
    let workflow = Workflow::new("w").node("a", huge).retry(Retry::immediate(3)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let failed = run.output::<String>().await.expect_err("the output is too large");
    assert_eq!(failed.failure().map(|failure| failure.kind.as_str()), Some("bad_output"));
}

#[tokio::test(start_paused = true)]
async fn a_step_remembers_its_type() {
    let changes = |cx: Context, (): ()| async move {
        if cx.attempt() == 1 {
            cx.step("same", || async { TaskResult::Ok(1_u8) }).await?;
            return Err(TaskError::new("again"));
        }
        cx.step("same", || async { TaskResult::Ok(String::new()) }).await
    };
    let workflow = Workflow::new("w").node("a", changes).retry(Retry::immediate(2)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let failed = run.output::<String>().await.expect_err("the types differ").to_string();
    assert!(failed.contains("step `same` is remembered with another type of result"), "{failed}");
}
