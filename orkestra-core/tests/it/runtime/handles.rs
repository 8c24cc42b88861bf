//! Small functions of contexts, runs and engines that no other test needs.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;

use super::world::{Effects, engine};

async fn double(_cx: Context, number: u64) -> TaskResult<u64> {
    Ok(2 * number)
}

fn gate(name: &str) -> Workflow {
    Workflow::new(name).gate::<u64>("go").build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_task_knows_its_run_node_and_attempt() {
    let tells = async |cx: Context, (): ()| {
        let key = cx.idempotency_key("buy");
        if cx.attempt() == 1 {
            return Err(TaskError::new(key));
        }
        assert_eq!(cx.last_failure().map(|failure| &failure.message), Some(&key), "the same for each attempt");
        let wrong = cx.run_input::<u64>().expect_err("it is a text").failure().message.clone();
        assert!(wrong.starts_with("the payload is not a `u64`"), "{wrong}");
        Ok((cx.run_id().to_string(), cx.node().to_owned(), cx.run_input::<String>()?, key))
    };
    let workflow = Workflow::new("w").node("n", tells).retry(Retry::immediate(2)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input("given").expect("json").start().await.expect("a run");
    let told: [String; 4] = run.output().await.expect("an output");
    assert_eq!(told[..3], ["r", "n", "given"]);
    assert!(told[3].starts_with("r.") && told[3].len() == 34, "{}", told[3]);
}

#[tokio::test(start_paused = true)]
async fn a_task_can_check_for_cancellation() {
    let looks = async |cx: Context, (): ()| {
        let mut looked = 0_u64;
        while !cx.is_cancelled() {
            looked += 1;
            tokio::time::sleep(secs(1)).await;
        }
        cx.step("looked", || async { TaskResult::Ok(looked) }).await
    };
    let workflow = Workflow::new("w").node("n", looks).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    run.cancel("enough").await.expect("it is accepted");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Cancelled(_)));
    let output = run.view().await.expect("a view").nodes[0].output.clone();
    assert_eq!(output.map(|output| output.as_json().to_owned()).as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_sleep_until_a_past_time_does_not_wait() {
    let waits = async |cx: Context, (): ()| {
        let begun = tokio::time::Instant::now();
        cx.sleep_until(Timestamp::from_millis(1_000)).await?;
        cx.sleep_until(Timestamp::from_millis(1_000_000 + 60_000)).await?;
        Ok(begun.elapsed().as_secs())
    };
    let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(mins(10)).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 60, "the clock began at 1,000,000 ms");
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_have_a_limit() {
    let slow = async |_cx: Context, (): ()| {
        tokio::time::sleep(secs(40)).await;
        Err::<(), _>(TaskError::new("again"))
    };
    let workflow = Workflow::new("w").node("n", slow).retry(Retry::immediate(9)).total_timeout(secs(100));
    let engine = engine(MemoryStore::new()).workflow(workflow.build().expect("a workflow")).start().await.expect("up");
    let begun = tokio::time::Instant::now();
    let run = engine.run("w").start().await.expect("a run");
    let error = run.output::<()>().await.expect_err("it takes too long");
    assert_eq!(error.failure().map(|failure| failure.kind.as_str()), Some("timed_out"), "{error}");
    assert!(begun.elapsed() >= secs(100) && begun.elapsed() < secs(101), "{:?}", begun.elapsed());
    assert_eq!(run.view().await.expect("a view").nodes[0].attempt, 3);
}

#[tokio::test(start_paused = true)]
async fn runs_are_found_and_paged() {
    let engine = engine(MemoryStore::new()).workflow(gate("a")).workflow(gate("b")).start().await.expect("an engine");
    for number in 0..6_u64 {
        let (workflow, parity) = (if number < 4 { "a" } else { "b" }, if number % 2 == 0 { "even" } else { "odd" });
        let run = engine.run(workflow).id(format!("r{number}")).label("parity", parity).start().await.expect("a run");
        if number == 0 {
            run.signal("go", &1_u64).await.expect("it is sent");
            run.outcome().await.expect("an end");
        }
        tokio::time::sleep(secs(1)).await;
    }
    let found = async |query: RunQuery| {
        let page = engine.list(&query).await.expect("a page");
        (page.items.iter().map(|record| record.id.to_string()).collect::<Vec<_>>(), page.next)
    };
    let even = || RunQuery { labels: [("parity".into(), "even".into())].into(), ..RunQuery::default() };
    assert_eq!(found(even()).await.0, ["r4", "r2", "r0"], "newest first");
    assert_eq!(found(RunQuery { statuses: [RunStatus::Running].into(), ..even() }).await.0, ["r4", "r2"]);
    assert_eq!(found(RunQuery { workflow: Some(Name::new("b").expect("a name")), ..even() }).await.0, ["r4"]);
    let from = Some(Timestamp::from_millis(1_000_000 + 1_500));
    let until = Some(Timestamp::from_millis(1_000_000 + 3_500));
    let between = RunQuery { created_from: from, created_until: until, ..RunQuery::default() };
    assert_eq!(found(between).await.0, ["r3", "r2"]);
    let (first, next) = found(RunQuery { limit: 2, ..even() }).await;
    let (second, end) = found(RunQuery { limit: 2, cursor: next, ..even() }).await;
    assert_eq!((first.len(), second, end), (2, vec!["r0".to_owned()], None));
    engine.get("r2").await.expect("a store").expect("a run").pause("a break").await.expect("it is paused");
    let live = RunQuery { statuses: RunStatus::LIVE.into(), limit: 1, ..even() };
    let live = engine.runs(live).collect().await.expect("a store");
    let live: Vec<_> = live.into_iter().map(|record| (record.id.to_string(), record.status)).collect();
    assert_eq!(live, [("r4".to_owned(), RunStatus::Running), ("r2".to_owned(), RunStatus::Paused)]);
    #[expect(deprecated, reason = "the old field works for one release more")]
    let old = RunQuery { status: Some(RunStatus::Paused), ..even() };
    assert_eq!(found(old).await.0, ["r2"]);
}

#[tokio::test(start_paused = true)]
async fn the_feed_reports_changed_runs() {
    let engine = engine(MemoryStore::new()).workflow(gate("w")).start().await.expect("an engine");
    let mut feed = engine.feed();
    for id in ["one", "two"] {
        let run = engine.run("w").id(id).start().await.expect("a run");
        run.signal("go", &1_u64).await.expect("it is sent");
        run.outcome().await.expect("an end");
        let last = run.view().await.expect("a view").last;
        loop {
            let Some(Pulse::Run(run, seq)) = feed.next().await else { panic!("nothing was missed") };
            assert_eq!(run.as_str(), id);
            if seq == last {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_workflow_from_data_runs() {
    let engine = engine(MemoryStore::new()).task("double", double).start().await.expect("an engine");
    let text =
        r#"{"name": "d", "nodes": [{"name": "a", "task": "double"}, {"name": "b", "task": "double", "after": ["a"]}]}"#;
    let spec = WorkflowSpec::from_json(text).expect("a workflow");
    let run = engine.run_spec(&spec).input(&3_u64).expect("json").start().await.expect("a run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 12);
}

#[tokio::test(start_paused = true)]
async fn an_idle_run_is_parked_after_the_configured_time() {
    for (park_after, called) in [(secs(5), 2), (secs(600), 1)] {
        let effects = Effects::default();
        let counted = effects.clone();
        let naps = move |cx: Context, (): ()| {
            counted.did("called");
            async move { cx.sleep(secs(60)).await }
        };
        let workflow = Workflow::new("w").node("n", naps).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).park_after(park_after).workflow(workflow).start().await.expect("up");
        engine.run("w").start().await.expect("a run").output::<()>().await.expect("an end");
        assert_eq!(effects.count("called"), called, "{park_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_silent_engine_is_taken_over() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let waits = async |cx: Context, (): ()| cx.signal::<u64>("go").await;
    let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
    let start =
        || engine(MemoryStore::new()).shared_store(Arc::clone(&store)).lease(secs(30)).workflow(workflow.clone());
    let first = start().start().await.expect("an engine");
    let id = first.run("w").id("r").start().await.expect("a run").id().clone();
    first.shutdown().await;
    let (worker, now) = (WorkerId::new("silent").expect("an id"), Timestamp::from_millis(1_000_000));
    let lease = orkestra_core::store::claim_one(&*store, &id, &worker, now, now.saturating_add(secs(30)))
        .await
        .expect("a store");
    assert!(lease.is_some(), "the first engine gave it back");

    let second = start().start().await.expect("an engine");
    let run = second.get(&id).await.expect("a store").expect("the run");
    run.signal("go", &7_u64).await.expect("it is durable, whichever engine drives the run");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn an_application_keeps_its_own_values_in_the_store() {
    let engine = engine(MemoryStore::new()).start().await.expect("an engine");
    let store = engine.store();
    let version = store.put("app/theme", 0, b"dark").await.expect("a store").expect("the value is new");
    assert!(store.put("app/theme", 0, b"light").await.expect("a store").is_none(), "the value exists already");
    store.put("app/theme", version, b"light").await.expect("a store").expect("it is the version that was read");
    assert_eq!(store.get("app/theme").await.expect("a store").expect("a value").bytes, b"light");
    assert_eq!(store.keys("app/", 10).await.expect("a store"), ["app/theme"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_does_not_read_the_store() {
    let engine = engine(MemoryStore::new()).workflow(gate("w")).start().await.expect("an engine");
    let run = engine.handle("r").expect("an id");
    assert_eq!(run.status().await.expect_err("the run does not exist").kind(), ErrorKind::NotFound);
    assert!(engine.get("r").await.expect("a store").is_none());
    engine.run("w").id(String::from("r")).start().await.expect("a run");
    run.signal("go", &7_u64).await.expect("it is sent");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
    assert!(engine.get(run.id()).await.expect("a store").is_some());
    for wrong in [engine.handle("no id").map(drop), engine.get("").await.map(drop)] {
        assert_eq!(wrong.expect_err("an invalid id").kind(), ErrorKind::Invalid);
    }
}

#[tokio::test(start_paused = true)]
async fn names_accept_any_string_type() {
    let list = async |_cx: Context, numbers: Vec<u64>| Ok(numbers.iter().sum::<u64>());
    let names: Vec<_> = (0..3).map(|number| format!("n{number}")).collect();
    let builder = names.iter().fold(Workflow::new(format!("w{}", 1)), |builder, name| builder.node(name, double));
    let builder = builder.node(format!("sum{}", 1), list).after_all(&names).gate::<u64>(String::from("go"));
    let sum = Name::new("sum1").expect("a name");
    let workflow = builder.node("last", list).after(&sum).after(format!("g{}", "o")).build().expect("a workflow");
    let engine: EngineBuilder = engine(MemoryStore::new());
    let engine = engine.workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w1").id(format!("r{}", 1)).input(&1_u64).expect("json").start().await.expect("a run");
    run.signal("go", &1_u64).await.expect("it is sent");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
}
