//! Published values, read through any handle of the run.

use std::time::Duration;

use orkestra_core::model::limits::PUBLISHED_KEYS_MAX;
use orkestra_core::prelude::*;

use super::world::{engine, journal};

async fn phases(cx: Context, (): ()) -> TaskResult<()> {
    cx.publish("phase", "reading").await?;
    cx.publish("phase", "writing").await?;
    let _: u8 = cx.signal("go").await?;
    cx.publish("phase", "done").await
}

fn published_count(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Published { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn any_engine_reads_the_values_published_by_live_and_ended_runs() {
    let store = MemoryStore::new();
    let workflow = || Workflow::new("w").node("n", phases).build().expect("a workflow");
    let driving = engine(store.clone()).workflow(workflow()).start().await.expect("an engine");
    let run = driving.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(10)).await;
    // It does not know the workflow.
    let reading = engine(store.clone()).start().await.expect("an engine");
    let there = reading.get(run.id()).await.expect("a store").expect("the run");
    assert_eq!(there.published::<String>("phase").await.expect("a value").as_deref(), Some("writing"));
    assert_eq!(there.published::<String>("other").await.expect("no value"), None);
    run.signal("go", &1).await.expect("it waits");
    run.outcome().await.expect("an end");
    assert_eq!(there.published::<String>("phase").await.expect("a value").as_deref(), Some("done"));
    assert_eq!(there.view().await.expect("a view").published["phase"].as_json(), "\"done\"");
    let wrong = there.published::<u32>("phase").await.expect_err("it is a text");
    assert!(wrong.to_string().contains("u32"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn each_call_publishes_once_in_each_attempt() {
    let twice = async |cx: Context, (): ()| {
        cx.publish("attempt", cx.attempt()).await?;
        cx.sleep(mins(10)).await?;
        cx.publish("attempt", cx.attempt() + 10).await?;
        if cx.attempt() == 1 { Err(TaskError::new("again")) } else { Ok(()) }
    };
    let workflow = Workflow::new("w").node("n", twice).retry(Retry::immediate(2)).build().expect("a workflow");
    // Parked while it sleeps, and called again.
    let engine = engine(MemoryStore::new()).park_after(secs(1)).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    run.outcome().await.expect("an end");
    assert_eq!(run.published::<u32>("attempt").await.expect("a value"), Some(12));
    let events = journal(&run).await;
    assert!(events.iter().any(|event| matches!(event, Event::TaskParked { .. })));
    assert_eq!(published_count(&events), 4, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn values_published_by_an_earlier_engine_are_not_published_again() {
    let store = MemoryStore::new();
    let workflow = || Workflow::new("w").node("n", phases).build().expect("a workflow");
    let first = engine(store.clone()).workflow(workflow()).start().await.expect("an engine");
    first.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.shutdown().await;
    let second = engine(store).workflow(workflow()).start().await.expect("an engine");
    let run = second.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the run");
    run.signal("go", &1).await.expect("it waits");
    run.outcome().await.expect("an end");
    assert_eq!(published_count(&journal(&run).await), 3);
}

#[tokio::test(start_paused = true)]
async fn a_large_published_value_is_read_and_copied_to_forks() {
    let large = async |cx: Context, (): ()| cx.publish("text", "x".repeat(300_000)).await;
    let after = async |_: Context, (): ()| TaskResult::Ok(());
    let workflow = Workflow::new("w").node("large", large).node("after", after).after("large");
    let workflow = workflow.build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    run.outcome().await.expect("an end");
    let fork = run.fork("f", "after", None::<&()>).await.expect("a fork");
    fork.outcome().await.expect("an end");
    engine.delete(run.id()).await.expect("it is deleted");
    let text: Option<String> = fork.published("text").await.expect("a value");
    assert_eq!(text.map(|text| text.len()), Some(300_000));
    let gone = run.published::<String>("text").await.expect_err("it was deleted");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn keys_are_names_and_have_a_limit() {
    let many = async |cx: Context, (): ()| {
        for number in 0..PUBLISHED_KEYS_MAX {
            cx.publish(&format!("key{number}"), number).await?;
        }
        cx.publish("key7", 7).await?;
        let refused = cx.publish("one-more", 1).await.expect_err("there are too many").to_string();
        let invalid = cx.publish("", 1).await.expect_err("it has no name").to_string();
        Ok((refused, invalid))
    };
    let workflow = Workflow::new("w").node("n", many).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let (refused, invalid): (String, String) = run.output().await.expect("an output");
    assert!(refused.contains("a run may publish at most 1000 keys"), "{refused}");
    assert!(invalid.contains("name"), "{invalid}");
    assert_eq!(run.all_published().await.expect("all").len(), PUBLISHED_KEYS_MAX);
}
