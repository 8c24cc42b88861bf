//! The features of a durable engine, each from outside: children, questions, maps, budgets, pauses, retries, forks,
//! compensation, joins, conditions, heartbeats, parking.

use std::time::Duration;

use orkestra_core::model::Amount;
use orkestra_core::prelude::*;

use super::world::{Effects, engine, journal, only_child};

async fn settled<T>(mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2000 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that");
}

async fn paused(run: &Run) {
    settled(async || (run.status().await.expect("a record").status == RunStatus::Paused).then_some(())).await;
}

fn named(events: &[Event], name: &str) -> usize {
    events.iter().filter(|event| format!("{event:?}").starts_with(name)).count()
}

#[tokio::test(start_paused = true)]
async fn a_child_run_gives_its_output_and_is_found_by_its_id() {
    async fn double(_cx: Context, number: u64) -> TaskResult<u64> {
        Ok(2 * number)
    }
    async fn parent(cx: Context, number: u64) -> TaskResult<u64> {
        cx.child("one", "double", number + 1).await
    }
    let child = Workflow::new("double").node("double", double).build().expect("a workflow");
    let workflow = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(child).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("parent").id("r").input(&4_u64).expect("json").start().await.expect("a run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 10);
    let child = only_child(&engine, "r").await.expect("the child");
    assert!(child.id().starts_with("r/p/one."), "{} begins with its key", child.id());
    let record = child.status().await.expect("a record");
    assert_eq!(record.parent.as_deref(), Some("r"));
    assert_eq!(named(&journal(&child).await, "ParentTold"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_or_cannot_start_fails_the_step() {
    async fn fail(_cx: Context, (): ()) -> TaskResult<()> {
        Err(TaskError::permanent("no luck").with_kind("unlucky"))
    }
    async fn parent(cx: Context, workflow: String) -> TaskResult<String> {
        let error = cx.child::<()>("one", &workflow, ()).await.expect_err("it fails");
        Ok(error.failure().kind.clone())
    }
    let child = Workflow::new("fail").node("f", fail).build().expect("a workflow");
    let workflow = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(child).workflow(workflow).start().await.expect("an engine");
    for (name, kind) in [("fail", "child_failed"), ("nowhere", "child_not_started")] {
        let run = engine.run("parent").input(name).expect("json").start().await.expect("a run");
        assert_eq!(run.output::<String>().await.expect("an output"), kind);
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_run_cancels_its_children() {
    async fn forever(cx: Context, (): ()) -> TaskResult<()> {
        cx.signal("never").await
    }
    async fn parent(cx: Context, (): ()) -> TaskResult<()> {
        cx.child("one", "forever", ()).await
    }
    let child = Workflow::new("forever").node("f", forever).build().expect("a workflow");
    let workflow = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(child).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    let child = settled(async || only_child(&engine, "r").await).await;
    run.cancel("enough").await.expect("it is accepted");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Cancelled("enough".into()));
    assert!(matches!(child.outcome().await.expect("an end"), Outcome::Cancelled(_)));
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_its_answer() {
    async fn asks(cx: Context, (): ()) -> TaskResult<String> {
        cx.ask("which database?").await
    }
    let workflow = Workflow::new("asks").node("a", asks).build().expect("a workflow");
    let store = MemoryStore::new();
    let first = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
    let run = first.run("asks").id("r").start().await.expect("a run");
    let question = settled(async || run.view().await.expect("a view").questions.first().cloned()).await;
    assert_eq!(question.question.as_json(), r#""which database?""#);
    first.shutdown().await;

    let second = engine(store).workflow(workflow).start().await.expect("an engine");
    let run = second.get(run.id()).await.expect("a store").expect("the run");
    let wrong = run.answer(Seq(99), "x").await.expect_err("there is no such question");
    assert!(wrong.to_string().contains("is not open"), "{wrong}");
    run.answer(question.id, "postgres").await.expect("it is answered");
    assert_eq!(run.output::<String>().await.expect("an output"), "postgres");
}

#[tokio::test(start_paused = true)]
async fn a_map_runs_each_item_once_with_bounded_concurrency() {
    async fn all(cx: Context, effects: (u64, u64)) -> TaskResult<Vec<u64>> {
        let (from, to) = effects;
        cx.map("square", 3, from..to, |n| async move { TaskResult::Ok(n * n) }).await
    }
    async fn square(_cx: Context, n: u64) -> TaskResult<u64> {
        Ok(n * n)
    }
    async fn wide(cx: Context, squares: Vec<u64>) -> TaskResult<u64> {
        let again: Vec<u64> = cx.map_runs("again", 2, "square", squares).await?;
        Ok(again.into_iter().sum())
    }
    let child = Workflow::new("square").node("s", square).build().expect("a workflow");
    let workflow = Workflow::new("map").node("all", all).node("wide", wide).after("all").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(child).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("map").id("r").input(&(1_u64, 4_u64)).expect("json").start().await.expect("a run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 1 + 16 + 81);
    let events = journal(&run).await;
    assert_eq!((named(&events, "StepCompleted"), named(&events, "ChildEnded")), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_budget_pauses_the_run_until_it_is_raised() {
    async fn spends(cx: Context, (): ()) -> TaskResult<u64> {
        for turn in 0..4_u64 {
            let cost = |_: &u64| [("tokens", Amount::whole(40))];
            cx.step(format!("turn {turn}"), || async move { TaskResult::Ok(turn) }).charge(cost).await?;
        }
        cx.charge([("tokens", Amount::whole(5)), ("usd", Amount::micros(500))]).await?;
        Ok(4)
    }
    let workflow = Workflow::new("spends").node("s", spends).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let request = engine.run("spends").id("r").budget("tokens", Amount::whole(100)).expect("a name");
    let run = request.start().await.expect("a run");
    paused(&run).await;
    let refused = run.resume().await.expect_err("it is used up").to_string();
    assert_eq!(refused, "the budget of 100 `tokens` is used up; raise it first");
    let view = run.view().await.expect("a view");
    assert_eq!(view.spent[&Name::new("tokens").expect("a name")], Amount::whole(120));
    run.set_budget("tokens", Some(Amount::whole(1000))).await.expect("it is raised");
    run.resume().await.expect("it continues");
    assert_eq!(run.output::<u64>().await.expect("an output"), 4);
    let spent = run.view().await.expect("a view").spent;
    assert_eq!(spent[&Name::new("tokens").expect("a name")], Amount::whole(165));
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_stops_at_its_next_step_and_repeats_none() {
    let effects = Effects::default();
    let counted = effects.clone();
    let works = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            for turn in 0..6 {
                let effects = &effects;
                let step = async || {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    effects.did(&format!("step {turn}"));
                    TaskResult::Ok(())
                };
                cx.step(format!("{turn}"), step).await?;
            }
            TaskResult::Ok(())
        }
    };
    let workflow = Workflow::new("works").node("w", works).node("after", async |_: Context, (): ()| Ok(())).after("w");
    let engine = engine(MemoryStore::new()).workflow(workflow.build().expect("a workflow")).start().await.expect("up");
    let run = engine.run("works").id("r").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(250)).await;
    run.pause("lunch").await.expect("it pauses");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let done = (0..6).filter(|turn| effects.count(&format!("step {turn}")) == 1).count();
    assert_eq!(done, 3, "the running step finished, and no other started");
    assert!(run.pause("again").await.is_err());
    run.resume().await.expect("it continues");
    run.output::<()>().await.expect("an end");
    assert!((0..6).all(|turn| effects.count(&format!("step {turn}")) == 1), "no step was done twice");
    assert!(run.resume().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn terminating_ends_a_run_that_does_not_listen() {
    let deaf = async |_cx: Context, (): ()| {
        std::future::pending::<()>().await;
        TaskResult::Ok(())
    };
    let workflow = Workflow::new("deaf").node("d", deaf).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("deaf").start().await.expect("a run");
    run.terminate("enough").await.expect("it ends");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Terminated("enough".into()));
    let error = run.output::<()>().await.expect_err("it has none");
    assert!(error.to_string().ends_with("was terminated: enough"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_node_can_be_retried_after_the_run_ended() {
    let effects = Effects::default();
    let counted = effects.clone();
    let flaky = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            cx.step("once", || async {
                effects.did("step");
                TaskResult::Ok(())
            })
            .await?;
            effects.did("attempt");
            if effects.count("attempt") == 1 { Err(TaskError::permanent("no luck")) } else { Ok(7_u64) }
        }
    };
    let workflow = Workflow::new("flaky")
        .node("f", flaky)
        .node("g", async |_: Context, number: u64| Ok(number + 1))
        .after("f")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("flaky").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Failed { .. }));
    assert!(run.retry("g").await.is_err(), "it has not failed");
    run.retry("f").await.expect("it starts over");
    assert_eq!(run.output::<u64>().await.expect("an output"), 8);
    assert_eq!(effects.count("step"), 1);
    assert_eq!(run.view().await.expect("a view").nodes[0].attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_fork_shares_the_history_up_to_its_node() {
    let effects = Effects::default();
    let counted = effects.clone();
    let first = move |cx: Context, text: String| {
        let effects = counted.clone();
        async move {
            cx.step("load", || async {
                effects.did("load");
                TaskResult::Ok(format!("<{text}>"))
            })
            .await
        }
    };
    let workflow = Workflow::new("w")
        .node("a", first)
        .node("b", async |_: Context, text: String| Ok(format!("{text}!")))
        .after("a")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input("x").expect("json").start().await.expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "<x>!");
    let fork = run.fork("r2", "b", Some("edited")).await.expect("a fork");
    assert_eq!(fork.output::<String>().await.expect("an output"), "edited!");
    let same = run.fork::<str>("r3", "b", None).await.expect("a fork");
    assert_eq!(same.output::<String>().await.expect("an output"), "<x>!");
    assert_eq!(effects.count("load"), 1, "what came before is not done again");
    assert_eq!(run.fork::<str>("r2", "b", None).await.expect("the same fork").id().as_str(), "r2");
    assert!(run.fork::<str>("r4", "nowhere", None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn completed_nodes_are_compensated_in_reverse_order() {
    let effects = Effects::default();
    let undo = |name: &'static str| {
        let effects = effects.clone();
        move |_cx: Context, output: String| {
            let effects = effects.clone();
            async move {
                let order = effects.count("order");
                effects.did("order");
                effects.did(&format!("{order}: undo {name} of {output}"));
                TaskResult::Ok(())
            }
        }
    };
    let book = |what: &'static str| async move |_: Context, (): ()| TaskResult::Ok(what.to_owned());
    let workflow = Workflow::new("trip")
        .node("flight", book("flight 7"))
        .compensate(undo("flight"))
        .node("hotel", book("room 9"))
        .after("flight")
        .compensate(undo("hotel"))
        .node("car", async |_: Context, (): ()| Err::<(), _>(TaskError::permanent("none left")))
        .after("hotel")
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("trip").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Failed { .. }));
    assert_eq!(effects.count("0: undo hotel of room 9"), 1);
    assert_eq!(effects.count("1: undo flight of flight 7"), 1);
    let nodes = run.view().await.expect("a view").nodes;
    assert_eq!(nodes.last().map(|node| node.name.to_string()), Some("undo:flight".into()));
    assert!(run.retry("car").await.expect_err("it was undone").to_string().contains("compensated"));
}

#[tokio::test(start_paused = true)]
async fn joins_conditions_and_policies_choose_which_nodes_run() {
    let fail = async |_: Context, (): ()| Err::<u64, _>(TaskError::permanent("no luck"));
    let late = async |cx: Context, (): ()| {
        cx.sleep(Duration::from_secs(5)).await?;
        Ok(2_u64)
    };
    let workflow = Workflow::new("w")
        .node("bad", fail)
        .on_failure(OnFailure::Skip)
        .node("quick", async |_: Context, (): ()| Ok(1_u64))
        .node("late", late)
        .node("any", async |_: Context, first: u64| Ok(first))
        .after_all(["bad", "late", "quick"])
        .join(Join::Any)
        .node("settled", async |_: Context, all: Vec<Option<u64>>| Ok(all))
        .after_all(["bad", "late", "quick"])
        .join(Join::Settled)
        .node("needs", async |_: Context, (): ()| Ok(()))
        .after("bad")
        .node("never", async |_: Context, (): ()| Ok(()))
        .after("quick")
        .when(Condition::output(Name::new("quick").expect("a name"), "", Test::AtLeast(2.0)))
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Completed(_)));
    let nodes = run.view().await.expect("a view").nodes;
    let node = |name: &str| nodes.iter().find(|node| node.name == name).expect("a node");
    assert_eq!(node("any").output.as_ref().map(Payload::as_json), Some("1"));
    assert_eq!(node("settled").output.as_ref().map(Payload::as_json), Some("[null,2,1]"));
    assert_eq!(node("needs").status, NodeStatus::Skipped);
    assert_eq!(node("never").status, NodeStatus::Skipped);
}

#[tokio::test(start_paused = true)]
async fn a_silent_task_times_out() {
    let silent = async |cx: Context, (): ()| {
        if cx.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            cx.heartbeat();
        }
        // Waiting does not count as silence.
        cx.sleep(Duration::from_secs(3600)).await?;
        Ok(cx.last_failure().map(|failure| failure.kind.clone()))
    };
    let workflow = Workflow::new("w")
        .node("s", silent)
        .retry(Retry::immediate(2))
        .heartbeat_timeout(Duration::from_secs(6))
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "heartbeat_timed_out");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_is_parked_and_called_again() {
    let effects = Effects::default();
    let counted = effects.clone();
    let waits = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            effects.did("called");
            cx.step("once", || async {
                effects.did("step");
                TaskResult::Ok(())
            })
            .await?;
            cx.sleep(Duration::from_secs(3 * 86_400)).await?;
            let word: String = cx.signal("word").await?;
            TaskResult::Ok(word)
        }
    };
    let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
    let store = MemoryStore::new();
    let first = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
    let run = first.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let record = run.status().await.expect("a record");
    assert!(record.wake_at.is_some_and(|at| at > Timestamp::from_millis(1_000_000)), "{record:?}");
    tokio::time::sleep(Duration::from_secs(4 * 86_400)).await;
    assert_eq!((effects.count("called"), effects.count("step")), (2, 1));
    assert_eq!(run.status().await.expect("a record").wake_at, None, "only a signal can wake it");
    run.signal("word", "go").await.expect("it is sent");
    assert_eq!(run.output::<String>().await.expect("an output"), "go");
    assert_eq!((effects.count("called"), effects.count("step")), (3, 1));
    assert_eq!(named(&journal(&run).await, "TaskParked"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_passes_its_deadline_is_stopped() {
    let waits = async |cx: Context, (): ()| cx.signal::<()>("never").await;
    let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").deadline(Duration::from_secs(60)).start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::TimedOut(_)));
}

#[tokio::test(start_paused = true)]
async fn large_payloads_are_kept_beside_the_journal() {
    const LARGE: usize = 1_000_000;
    let effects = Effects::default();
    let counted = effects.clone();
    let doubles = move |cx: Context, text: String| {
        let effects = counted.clone();
        async move {
            let text = &text;
            let stepped: String = cx
                .step("double", || async {
                    effects.did("step");
                    TaskResult::Ok(text.repeat(2))
                })
                .await?;
            cx.sleep(Duration::from_secs(600)).await?;
            TaskResult::Ok(stepped)
        }
    };
    let child = Workflow::new("echo").node("e", async |_: Context, text: String| Ok(text)).build().expect("a workflow");
    let lengths = async |cx: Context, (one, other): (String, String)| {
        let echoed: String = cx.child("echo", "echo", &one).await?;
        // A text that looks like the engine's own is a user's value.
        let fake = serde_json::json!({"$orkestra.blob": {"run": "r", "key": "x", "bytes": 1}});
        let back: serde_json::Value = cx.step("fake", || async { TaskResult::Ok(fake.clone()) }).await?;
        assert_eq!(back, fake);
        Ok((echoed.len(), other.len()))
    };
    let workflow = Workflow::new("w")
        .node("a", doubles.clone())
        .node("b", doubles)
        .node("c", lengths)
        .after_all(["a", "b"])
        .build()
        .expect("a workflow");
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(child).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&"x".repeat(LARGE)).expect("json").start().await.expect("a run");
    assert_eq!(run.output::<(usize, usize)>().await.expect("an output"), (2 * LARGE, 2 * LARGE));
    assert_eq!(effects.count("step"), 2, "remembered over the park");
    let journal = serde_json::to_string(&journal(&run).await).expect("events serialise");
    assert!(journal.len() < 20_000, "{}", journal.len());
    let fork = run.fork::<str>("f", "c", None).await.expect("a fork");
    store.delete(run.id()).await.expect("deleted with its blobs");
    assert_eq!(fork.output::<(usize, usize)>().await.expect("an output"), (2 * LARGE, 2 * LARGE));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_for_a_missing_run() {
    let workflow = Workflow::new("w").node("n", async |_: Context, (): ()| Ok(())).build().expect("a workflow");
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    run.outcome().await.expect("an end");
    store.delete(run.id()).await.expect("deleted");
    let long = "x".repeat(1_000_000);
    let error = run.signal("s", &long).await.expect_err("the run does not exist");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = serde_json::to_string(&long).expect("JSON");
    let key: String = <sha2::Sha256 as sha2::Digest>::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(store.blob(run.id(), &key).await.expect("a store"), None);
}
