//! A run from start to end: nodes, steps, retries, gates, growth, cancelling, events.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::kernel::NodeStatus;
use orkestra_core::model::{Epoch, Seq};
use orkestra_core::prelude::*;
use tokio::sync::Barrier;

use super::world::{Effects, engine, journal};

async fn double(_cx: Context, number: u64) -> TaskResult<u64> {
    Ok(2 * number)
}

async fn sum(_cx: Context, (left, right): (u64, u64)) -> TaskResult<u64> {
    Ok(left + right)
}

#[tokio::test(start_paused = true)]
async fn outputs_flow_along_edges() {
    let workflow = Workflow::new("diamond")
        .node("a", double)
        .node("b", double)
        .after("a")
        .node("c", double)
        .after("a")
        .node("d", sum)
        .after_all(["b", "c"])
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("diamond").id("one").input(&5_u64).expect("json").start().await.expect("a run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 40);

    let again = engine.run("diamond").id("one").input(&7_u64).expect("json").start().await.expect("the same run");
    assert_eq!(again.output::<u64>().await.expect("an output"), 40, "the first input counts");
    let view = run.view().await.expect("a view");
    assert!(view.nodes.iter().all(|node| node.status == NodeStatus::Completed && node.attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn siblings_run_at_the_same_time() {
    let both = Arc::new(Barrier::new(2));
    let meet = move |_cx: Context, (): ()| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            TaskResult::Ok(())
        }
    };
    let workflow = Workflow::new("pair").node("a", meet.clone()).node("b", meet).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("pair").start().await.expect("a run");
    run.outcome().await.expect("both meet, so both were running");
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_retried_and_sees_the_failure() {
    let effects = Effects::default();
    let counted = effects.clone();
    let flaky = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            let kept = cx
                .step("kept", || async {
                    effects.did("kept");
                    TaskResult::Ok(7)
                })
                .await?;
            match cx.last_failure() {
                None => Err(TaskError::new("not yet").with_kind("early").with_detail("detail")),
                Some(failure) => {
                    let detail: String = failure.detail.as_ref().expect("a detail").to()?;
                    Ok(format!("{kept} {} {} {detail}", cx.attempt(), failure.kind))
                }
            }
        }
    };
    let retry = Retry::exponential(3).with_jitter(0.0);
    let workflow = Workflow::new("flaky").node("a", flaky).retry(retry).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("flaky").start().await.expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "7 2 early detail");
    assert_eq!(effects.count("kept"), 1, "what a step gave outlives the attempt");
}

#[tokio::test(start_paused = true)]
async fn a_failed_node_fails_the_run_and_cancels_its_siblings() {
    let fail = |_cx: Context, (): ()| async { Err::<(), _>(TaskError::permanent("no")) };
    let patient = |cx: Context, (): ()| async move {
        cx.cancelled().await;
        TaskResult::Ok(())
    };
    let retry = Retry::immediate(5);
    let workflow = Workflow::new("half").node("a", fail).retry(retry).node("b", patient).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("half").start().await.expect("a run");
    let error = run.output::<()>().await.expect_err("the run failed");
    assert_eq!(error.kind(), ErrorKind::RunEnded);
    assert_eq!(error.to_string(), "node `a` failed: error: no");
    let events = journal(&run).await;
    let attempts = events.iter().filter(|event| matches!(event, Event::AttemptStarted { node, .. } if *node == "a"));
    assert_eq!(attempts.count(), 1, "a permanent failure is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let panics = |cx: Context, (): ()| async move {
        assert!(cx.attempt() > 1, "the first one goes wrong");
        Ok::<_, TaskError>(cx.last_failure().map(|failure| failure.message.clone()))
    };
    let workflow = Workflow::new("w").node("a", panics).retry(Retry::immediate(2)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "the first one goes wrong");
    let failed = journal(&run).await.into_iter().find_map(|event| match event {
        Event::AttemptFailed { failure, .. } => Some(failure),
        _ => None,
    });
    let failure = failed.expect("the first attempt failed");
    assert_eq!(failure.kind, "panic");
    assert!(failure.backtrace.is_some_and(|trace| trace.contains("a_panic_is_a_failed_attempt")));
}

#[tokio::test(start_paused = true)]
async fn a_gate_opens_for_its_signal_at_any_time() {
    let workflow = Workflow::new("gated")
        .node("a", double)
        .gate::<u64>("approve")
        .after("a")
        .node("b", double)
        .after("approve")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    for id in ["early", "late"] {
        let run = engine.run("gated").id(id).input(&1_u64).expect("json").start().await.expect("a run");
        if id == "late" {
            let mut events = run.events(Cursor::START);
            let mut waits =
                |event: RunEvent| matches!(event.event, Event::AttemptStarted { node, .. } if node == "approve");
            while !events.next().await.expect("readable").is_some_and(&mut waits) {}
            tokio::time::sleep(secs(3600)).await;
        }
        run.signal("approve", &21_u64).await.expect("taken");
        assert_eq!(run.output::<u64>().await.expect("an output"), 42);
        let refused = run.signal("approve", &1).await.expect_err("the run has ended");
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_wait_for_time_and_signals() {
    let waits = |cx: Context, (): ()| async move {
        cx.sleep(days(3)).await?;
        let first: String = cx.signal("word").await?;
        let second: String = cx.signal("word").await?;
        TaskResult::Ok(format!("{first} {second}"))
    };
    let workflow = Workflow::new("w").node("a", waits).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let begun = tokio::time::Instant::now();
    run.signal("word", "hello").await.expect("taken");
    run.signal("word", "world").await.expect("taken");
    assert_eq!(run.output::<String>().await.expect("an output"), "hello world");
    assert!(begun.elapsed() >= days(3));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_dropped() {
    struct Dropped(Effects);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.did("dropped");
        }
    }
    let effects = Effects::default();
    let counted = effects.clone();
    let slow = move |cx: Context, (): ()| {
        let guard = Dropped(counted.clone());
        async move {
            let _guard = guard;
            if cx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            TaskResult::Ok(cx.last_failure().map(|failure| failure.kind.clone()))
        }
    };
    let workflow = Workflow::new("w").node("a", slow).timeout(secs(5)).retry(Retry::immediate(2)).build().expect("ok");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "timed_out");
    engine.shutdown().await;
    assert_eq!(effects.count("dropped"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_adds_nodes_while_it_runs() {
    let name = |text: &str| Name::new(text).expect("a name");
    let planner = move |cx: Context, (): ()| async move {
        let growth = (0..3).fold(Growth::new(), |growth, index| {
            let node = NodeSpec::task(name(&format!("part-{index}")), name("double")).with_after(name("plan"));
            growth.with_node(node.with_input(Payload::of(&index).expect("json")))
        });
        cx.grow("parts", growth.clone()).await?;
        let again = cx.grow("twice", growth).await.expect_err("the names are taken");
        assert_eq!(again.failure().message, "two nodes are named `part-0`");
        let unknown = Growth::new().with_node(NodeSpec::task(name("x"), name("nobody")));
        cx.grow("unknown", unknown).await.expect_err("the task is unknown");
        TaskResult::Ok(())
    };
    let workflow = Workflow::new("growing").node("plan", planner).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).task("double", double).start().await.expect("an engine");
    let run = engine.run("growing").start().await.expect("a run");
    let output = run.output::<serde_json::Value>().await.expect("an output");
    assert_eq!(output, serde_json::json!({ "part-0": 0, "part-1": 2, "part-2": 4 }));
}

#[tokio::test(start_paused = true)]
async fn cancelling_gives_tasks_a_grace_period() {
    let stubborn = |_cx: Context, (): ()| async {
        std::future::pending::<()>().await;
        TaskResult::Ok(())
    };
    let polite = |cx: Context, (): ()| async move {
        cx.cancelled().await;
        cx.step("tidied", || async { TaskResult::Ok(()) }).await
    };
    let workflow = Workflow::new("w").node("a", stubborn).node("b", polite).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    run.cancel("enough").await.expect("asked");
    assert_eq!(run.outcome().await.expect("an outcome"), Outcome::Cancelled("enough".into()));
    let events = journal(&run).await;
    assert!(events.iter().any(|event| matches!(event, Event::StepCompleted { step, .. } if step == "tidied")));
    assert!(events.iter().any(|event| matches!(event, Event::NodeCompleted { node, .. } if *node == "b")));
}

#[tokio::test(start_paused = true)]
async fn events_can_be_read_from_any_position() {
    let talks = |cx: Context, (): ()| async move {
        for word in ["one", "two", "three"] {
            cx.emit("word", word);
        }
        cx.step("between", || async { TaskResult::Ok(()) }).await?;
        cx.emit("word", "four");
        TaskResult::Ok(())
    };
    let workflow = Workflow::new("w").node("a", talks).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let mut live = run.events(Cursor::START);
    let mut all = Vec::new();
    while let Some(event) = live.next().await.expect("readable") {
        all.push(event);
    }
    let words = |events: &[RunEvent]| -> Vec<String> {
        let said = events.iter().filter_map(|event| match &event.event {
            Event::Emitted { payload, .. } => Some(payload.to().expect("a word")),
            _ => None,
        });
        said.collect()
    };
    assert_eq!(words(&all), ["one", "two", "three", "four"]);
    assert!(all.iter().zip(1..).all(|(event, seq)| event.seq == Seq(seq)));
    for (index, event) in all.iter().enumerate() {
        let mut rest = run.events(event.cursor());
        for expected in &all[index + 1..] {
            assert_eq!(rest.next().await.expect("readable").as_ref(), Some(expected));
        }
        assert_eq!(rest.next().await.expect("readable"), None);
    }
    let beyond = run.events(Cursor(u64::MAX)).next().await.expect("readable");
    assert_eq!(beyond, None, "nothing comes after the end of all journals");
}

#[tokio::test(start_paused = true)]
async fn a_step_retries_and_times_out_by_itself() {
    let effects = Effects::default();
    let counted = effects.clone();
    let stubborn = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            let third = || async {
                effects.did("try");
                if effects.count("try") < 3 {
                    std::future::pending::<()>().await;
                }
                TaskResult::Ok(effects.count("try"))
            };
            cx.step("slow", third).timeout(Duration::from_millis(50)).retry(Retry::exponential(5)).await
        }
    };
    let workflow = Workflow::new("w").node("a", stubborn).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert_eq!(run.output::<usize>().await.expect("an output"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_run_is_claimed_once() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("work").node("n", double).build().expect("a workflow");
    let engine = Engine::builder().store(store.clone()).workflow(workflow).start().await.expect("an engine");
    for round in 0..300_u64 {
        let run = engine.run("work").id(format!("r{round}")).input(&round).expect("json").start().await.expect("a run");
        run.outcome().await.expect("an end");
    }
    let last = store.read(&RunId::new("r299").expect("an id"), Seq(1), 1).await.expect("a journal");
    assert_eq!(last[0].epoch, Epoch(300), "one claim for each run");
}
