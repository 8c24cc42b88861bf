//! Compensation, forks, and failures that need a decision, from outside.

use std::time::Duration;

use orkestra_core::prelude::*;

use super::world::{Effects, engine};

fn no_stock() -> TaskError {
    TaskError::permanent("no stock")
}

/// `pay` is refunded when `ship` fails, which it does in every run but `order`.
fn shop(effects: &Effects) -> Workflow {
    let counted = effects.clone();
    let refund = move |_cx: Context, payment: String| {
        let effects = counted.clone();
        async move {
            effects.did(&format!("refund {payment}"));
            TaskResult::Ok(())
        }
    };
    let ship = async |cx: Context, _payment: String| {
        if cx.run_id().as_str() == "order" { Ok("shipped".to_owned()) } else { Err(no_stock()) }
    };
    Workflow::new("shop")
        .node("pay", async |cx: Context, (): ()| Ok(format!("payment of {}", cx.run_id())))
        .compensate(refund)
        .node("ship", ship)
        .after("pay")
        .build()
        .expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_compensates_nothing_of_the_original_run() {
    let effects = Effects::default();
    let engine = engine(MemoryStore::new()).workflow(shop(&effects)).start().await.expect("an engine");
    let order = engine.run("shop").id("order").start().await.expect("a run");
    assert!(matches!(order.outcome().await.expect("an end"), Outcome::Completed(_)));
    for id in ["what-if-1", "what-if-2"] {
        let fork = order.fork::<()>(id, "ship", None).await.expect("a fork");
        assert!(matches!(fork.outcome().await.expect("an end"), Outcome::Failed { .. }));
        assert_eq!(fork.status().await.expect("a record").undo, None);
    }
    assert_eq!(effects.count("refund payment of order"), 0);
    // A fork from before the payment makes its own payment, and is refunded.
    let fork = order.fork::<()>("again", "pay", None).await.expect("a fork");
    assert!(matches!(fork.outcome().await.expect("an end"), Outcome::Failed { .. }));
    assert_eq!(effects.count("refund payment of again"), 1);
}

#[tokio::test(start_paused = true)]
async fn compensated_work_is_forked_only_on_request() {
    let effects = Effects::default();
    let engine = engine(MemoryStore::new()).workflow(shop(&effects)).start().await.expect("an engine");
    let lost = engine.run("shop").id("lost").start().await.expect("a run");
    lost.outcome().await.expect("an end");
    assert_eq!(effects.count("refund payment of lost"), 1);
    let error = lost.fork::<()>("f", "ship", None).await.expect_err("it was refunded");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("cannot fork: the work of node `pay` was compensated"), "{error}");
    assert!(engine.get(&RunId::new("f").expect("an id")).await.expect("a store").is_none());
    let fork = lost.fork_undone::<()>("f", "ship", None).await.expect("a fork");
    fork.outcome().await.expect("an end");
    assert_eq!(lost.fork_undone::<()>("f", "ship", None).await.expect("the same").id(), fork.id());
    assert_eq!(effects.count("refund payment of lost"), 1, "once, by the run that paid");
}

/// A workflow whose `pay` cannot be compensated until `fixed` was counted.
fn stubborn(effects: &Effects) -> Workflow {
    let counted = effects.clone();
    let refund = move |cx: Context, _payment: String| {
        let effects = counted.clone();
        async move {
            cx.step("tell", || async {
                effects.did("told");
                TaskResult::Ok(())
            })
            .await?;
            effects.did("tried");
            if effects.count("fixed") == 0 { Err(TaskError::permanent("the bank is closed")) } else { Ok(()) }
        }
    };
    Workflow::new("stubborn")
        .node("seat", async |_: Context, (): ()| Ok("12a".to_owned()))
        .compensate(async |_: Context, _seat: String| Ok(()))
        .node("pay", async |_: Context, _seat: String| Ok("payment".to_owned()))
        .after("seat")
        .compensate(refund)
        .node("ship", async |_: Context, _payment: String| Err::<(), _>(no_stock()))
        .after("pay")
        .build()
        .expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_failed_compensation_is_reported_and_can_be_retried() {
    let effects = Effects::default();
    let store = MemoryStore::new();
    let engine = engine(store).workflow(stubborn(&effects)).start().await.expect("an engine");
    let run = engine.run("stubborn").id("r").start().await.expect("a run");
    let ended = run.outcome().await.expect("an end");
    let undo = run.status().await.expect("a record").undo.expect("something was undone");
    assert_eq!(undo.undone, ["seat"]);
    assert_eq!((undo.failed[0].0.as_str(), undo.failed[0].1.message.as_str()), ("pay", "the bank is closed"));
    assert_eq!(run.view().await.expect("a view").undo.as_ref(), Some(&undo));
    let error = run.output::<()>().await.expect_err("it failed").to_string();
    assert!(error.ends_with("no stock; undone: seat; not undone: pay (error: the bank is closed)"), "{error}");

    assert!(run.retry("ship").await.expect_err("it was undone").to_string().contains("compensated"));
    assert!(run.retry("undo:seat").await.is_err(), "it is undone");
    effects.did("fixed");
    run.retry("undo:pay").await.expect("it is retried");
    assert_eq!(run.outcome().await.expect("an end"), ended);
    let undo = run.status().await.expect("a record").undo.expect("something was undone");
    assert_eq!((undo.undone.len(), undo.failed.len()), (2, 0));
    assert_eq!((effects.count("tried"), effects.count("told")), (2, 1), "steps that are done stay done");
    assert!(engine.stuck().await.expect("a store").is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_process_continues_a_retried_compensation() {
    let effects = Effects::default();
    let store = MemoryStore::new();
    let first = engine(store.clone()).workflow(stubborn(&effects)).start().await.expect("an engine");
    let run = first.run("stubborn").id("r").start().await.expect("a run");
    run.outcome().await.expect("an end");
    first.shutdown().await;
    effects.did("fixed");
    let second = engine(store).workflow(stubborn(&effects)).start().await.expect("an engine");
    let run = second.get(run.id()).await.expect("a store").expect("the run");
    run.retry("undo:pay").await.expect("it is retried");
    run.outcome().await.expect("an end");
    assert!(run.status().await.expect("a record").undo.expect("it tells").failed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn hanging_compensation_with_a_timeout_does_not_block_the_run() {
    let workflow = Workflow::new("w")
        .node("pay", async |_: Context, (): ()| Ok("payment".to_owned()))
        .compensate(async |_: Context, _payment: String| {
            std::future::pending::<()>().await;
            TaskResult::Ok(())
        })
        .compensate_timeout(Duration::from_secs(20))
        .compensate_retry(Retry::immediate(2))
        .node("waits", async |cx: Context, _payment: String| cx.signal::<()>("never").await)
        .after("pay")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let began = tokio::time::Instant::now();
    let run = engine.run("w").deadline(Duration::from_secs(60)).start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::TimedOut(_)));
    assert!(began.elapsed() <= Duration::from_secs(60 + 10 + 2 * 20 + 1), "{:?}", began.elapsed());
    let undo = run.status().await.expect("a record").undo.expect("it tells");
    assert_eq!((undo.failed[0].0.as_str(), undo.failed[0].1.kind.as_str()), ("pay", "timed_out"));
}

#[tokio::test(start_paused = true)]
async fn terminating_during_compensation_reports_what_is_left() {
    let workflow = Workflow::new("w")
        .node("pay", async |_: Context, (): ()| Ok("payment".to_owned()))
        .compensate(async |cx: Context, _payment: String| cx.signal::<()>("never").await)
        .node("ship", async |_: Context, _payment: String| Err::<(), _>(no_stock()))
        .after("pay")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Compensating);
    run.terminate("enough").await.expect("it ends");
    let error = run.output::<()>().await.expect_err("it has none").to_string();
    let tells =
        "was terminated: enough; not undone: pay (terminated: the run was terminated before this node was compensated)";
    assert!(error.ends_with(tells), "{error}");
}

/// Fails once in each node, after this long.
async fn fails_once(cx: Context, (): ()) -> TaskResult<String> {
    tokio::time::sleep(Duration::from_millis(if cx.node() == "b" { 100 } else { 10 })).await;
    if cx.attempt() == 1 { Err(TaskError::permanent("the service is down")) } else { Ok(cx.node().to_owned()) }
}

fn two_that_pause(effects: &Effects) -> Workflow {
    let next = || {
        let effects = effects.clone();
        move |cx: Context, before: String| {
            let effects = effects.clone();
            async move {
                effects.did(cx.node());
                Ok(format!("{before}, {}", cx.node()))
            }
        }
    };
    Workflow::new("w")
        .node("a", fails_once)
        .on_failure(OnFailure::Pause)
        .node("b", fails_once)
        .on_failure(OnFailure::Pause)
        .node("after-a", next())
        .after("a")
        .node("after-b", next())
        .after("b")
        .build()
        .expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn two_failures_that_pause_the_run_need_two_decisions() {
    let effects = Effects::default();
    let engine = engine(MemoryStore::new()).workflow(two_that_pause(&effects)).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(run.view().await.expect("a view").undecided, ["a", "b"]);
    run.retry("a").await.expect("the first");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let view = run.view().await.expect("a view");
    let reason = PauseReason::NodeFailed { node: Name::new("b").expect("a name") };
    assert_eq!((view.status, view.pause, view.undecided.len()), (RunStatus::Paused, Some(reason), 1));
    run.retry("b").await.expect("the second");
    let output: std::collections::BTreeMap<String, String> = run.output().await.expect("an output");
    assert_eq!((output["after-a"].as_str(), output["after-b"].as_str()), ("a, after-a", "b, after-b"));

    let run = engine.run("w").id("given-up").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(300)).await;
    run.resume().await.expect("a is given up");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Paused);
    run.resume().await.expect("b is given up");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Completed(_)));
    assert_eq!((effects.count("after-a"), effects.count("after-b")), (1, 1), "in the first run alone");
}

#[tokio::test(start_paused = true)]
async fn a_failure_during_a_requested_pause_is_decided_after_it() {
    let effects = Effects::default();
    let engine = engine(MemoryStore::new()).workflow(two_that_pause(&effects)).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    run.pause("lunch").await.expect("it is paused");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for node in ["a", "b"] {
        run.resume().await.expect("it continues");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let reason = PauseReason::NodeFailed { node: Name::new(node).expect("a name") };
        assert_eq!(run.view().await.expect("a view").pause, Some(reason));
    }
    run.retry("b").await.expect("it is retried");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Completed(_)));
    assert_eq!((effects.count("after-a"), effects.count("after-b")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fork_gets_the_full_time_of_its_waits() {
    async fn asks(cx: Context, (): ()) -> TaskResult<String> {
        cx.ask::<String>("well?").timeout(secs(60)).await
    }
    let w = Workflow::new("w")
        .node("asks", asks)
        .node("first", async |cx: Context, (): ()| cx.sleep(secs(1)).await)
        .node("other", async |_: Context, (): ()| Ok(1))
        .after("first")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    tokio::time::sleep(secs(2)).await;
    let q = run.view().await.expect("a view").questions[0].id;
    run.answer(q, "yes").await.expect("it is open");
    run.outcome().await.expect("an end");
    tokio::time::sleep(secs(3600)).await;
    let fork = run.fork::<()>("f", "other", None).await.expect("a fork");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(fork.view().await.expect("a view").questions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_running_in_the_original_is_not_interrupted_in_the_fork() {
    let effects = Effects::default();
    let e = effects.clone();
    let pays = move |cx: Context, (): ()| {
        let e = e.clone();
        async move {
            let pay = || async {
                tokio::time::sleep(secs(2)).await;
                e.did(cx.run_id());
                TaskResult::Ok(())
            };
            cx.step("pay", pay).at_most_once().await
        }
    };
    let w = Workflow::new("w")
        .node("pays", pays)
        .node("first", async |cx: Context, (): ()| cx.sleep(secs(1)).await)
        .node("other", async |_: Context, (): ()| Ok(1))
        .after("first")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    run.outcome().await.expect("an end");
    let fork = run.fork::<()>("f", "other", None).await.expect("a fork");
    assert!(matches!(fork.outcome().await.expect("an end"), Outcome::Completed(_)));
    assert_eq!((effects.count("r"), effects.count("f")), (1, 1));
}
