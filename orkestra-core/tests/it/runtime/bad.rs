//! Faults outside the engine: clocks that jump, tasks that block or never return, stores that fail in the middle of a
//! commit, payloads and graphs over their limits. Each has a defined result, and the run continues or ends.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use orkestra_core::model::limits::{CANCEL_GRACE, NODES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_LARGE_BYTES_MAX};
use orkestra_core::prelude::*;
use orkestra_core::store::StoreErrorKind;
use orkestra_core::{Clock, EngineBuilder};
use orkestra_testkit::{Fault, FaultyStore};
use serde_json::value::RawValue;

use super::world::{TokioClock, engine, journal};

const HOUR: Duration = Duration::from_secs(3600);

/// Virtual time that a test moves forward and back.
#[derive(Clone)]
struct Jumping {
    steady: Arc<TokioClock>,
    ahead_ms: Arc<AtomicI64>,
}

impl Jumping {
    fn new() -> Self {
        let a_day = 24 * 3_600_000;
        Self { steady: Arc::new(TokioClock::new()), ahead_ms: Arc::new(AtomicI64::new(a_day)) }
    }

    fn jump(&self, hours: i64) {
        self.ahead_ms.fetch_add(hours * 3_600_000, Ordering::SeqCst);
    }

    fn engine(&self) -> EngineBuilder {
        Engine::builder().store(MemoryStore::new()).clock(self.clone())
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::SeqCst);
        Timestamp::from_millis(self.steady.now().as_millis().saturating_add_signed(ahead))
    }
}

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

async fn never(_cx: Context, (): ()) -> TaskResult<()> {
    std::future::pending().await
}

async fn status(run: &Run) -> RunStatus {
    run.status().await.expect("a record").status
}

/// Sleeps for an hour, and has a node that is retried an hour after its first attempt.
fn patient() -> Workflow {
    let rest = async |cx: Context, (): ()| cx.sleep(HOUR).await;
    let flaky = async |cx: Context, (): ()| if cx.attempt() == 1 { Err(TaskError::new("not yet")) } else { Ok(()) };
    let retry = Retry::exponential(2).with_initial(HOUR).with_jitter(0.0);
    Workflow::new("patient").node("rest", rest).node("flaky", flaky).retry(retry).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_back_fires_nothing_early() {
    let clock = Jumping::new();
    let gate = Workflow::new("gate").gate::<()>("never").build().expect("a workflow");
    let engine = clock.engine().workflow(patient()).workflow(gate).start().await.expect("an engine");
    let begun = tokio::time::Instant::now();
    let waits = engine.run("patient").start().await.expect("a run");
    let limited = engine.run("gate").deadline(HOUR).start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(600)).await;
    clock.jump(-5);
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!((status(&waits).await, status(&limited).await), (RunStatus::Running, RunStatus::Running));
    assert!(waits.view().await.expect("a view").nodes.iter().all(|node| node.attempt == 1));

    waits.output::<()>().await.expect_err("two last nodes give an object, and that is no `()`");
    assert_eq!(status(&waits).await, RunStatus::Completed);
    assert!(matches!(limited.outcome().await.expect("an end"), Outcome::TimedOut(_)));
    let took = begun.elapsed();
    assert!((6 * HOUR..6 * HOUR + Duration::from_secs(120)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_forward_fires_what_is_due() {
    let clock = Jumping::new();
    let gate = Workflow::new("gate").gate::<()>("never").build().expect("a workflow");
    let engine = clock.engine().workflow(patient()).workflow(gate).start().await.expect("an engine");
    let waits = engine.run("patient").start().await.expect("a run");
    let limited = engine.run("gate").deadline(HOUR).start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let jumped = tokio::time::Instant::now();
    clock.jump(5);
    assert!(matches!(waits.outcome().await.expect("an end"), Outcome::Completed(_)));
    assert!(matches!(limited.outcome().await.expect("an end"), Outcome::TimedOut(_)));
    assert!(jumped.elapsed() <= Duration::from_secs(61), "{:?}", jumped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_after_a_clock_jump_has_its_full_length() {
    for hours in [-5, 5] {
        let clock = Jumping::new();
        let naps = async |cx: Context, (): ()| {
            cx.signal::<()>("there").await?;
            cx.signal::<()>("back").await?;
            let (short, long) = tokio::join!(cx.sleep(mins(1)), cx.sleep(HOUR));
            short.and(long)
        };
        let workflow = Workflow::new("w").node("naps", naps).build().expect("a workflow");
        let engine = clock.engine().workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").start().await.expect("a run");
        clock.jump(hours);
        run.signal("there", &()).await.expect("it is sent");
        clock.jump(-hours);
        let begun = tokio::time::Instant::now();
        run.signal("back", &()).await.expect("it is sent");
        run.output::<()>().await.expect("an end");
        assert!(begun.elapsed() >= HOUR, "after a jump of {hours} hours and back it slept for {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_returns_can_be_ended() {
    let workflow = Workflow::new("w").node("n", never).build().expect("a workflow");
    let limited = Workflow::new("limited").node("n", never).timeout(secs(30)).retry(Retry::immediate(2));
    let engine = engine(MemoryStore::new()).workflow(workflow).workflow(limited.build().expect("a workflow"));
    let engine = engine.start().await.expect("an engine");
    let start = async |name| {
        let run = engine.run(name).start().await.expect("a run");
        tokio::time::sleep(secs(1)).await;
        (run, tokio::time::Instant::now())
    };
    let (run, asked) = start("w").await;
    run.cancel("enough").await.expect("it is accepted");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Cancelled("enough".into()));
    assert!(asked.elapsed() >= CANCEL_GRACE && asked.elapsed() < 2 * CANCEL_GRACE, "{:?}", asked.elapsed());

    let (run, asked) = start("w").await;
    run.terminate("enough").await.expect("it ends");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Terminated("enough".into()));
    assert!(asked.elapsed() < secs(1), "{:?}", asked.elapsed());

    let (run, asked) = start("limited").await;
    let error = run.output::<()>().await.expect_err("both attempts take too long");
    assert_eq!(error.to_string(), "node `n` failed: timed_out: `n` took longer than 30000 ms");
    assert!(asked.elapsed() >= secs(59) && asked.elapsed() < secs(61), "{:?}", asked.elapsed());
}

/// Something that blocks threads, which a task must not do.
#[derive(Clone, Default)]
struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    fn wait(&self) {
        let open = self.0.0.lock().expect("no test panics here");
        drop(self.0.1.wait_while(open, |open| !*open).expect("no test panics here"));
    }

    fn open(&self) {
        *self.0.0.lock().expect("no test panics here") = true;
        self.0.1.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_blocks_its_thread_is_abandoned() {
    let (latch, blocked) = (Latch::default(), Arc::new(AtomicUsize::new(0)));
    let (held, counted) = (latch.clone(), Arc::clone(&blocked));
    let blocks = move |cx: Context, (): ()| {
        let (held, counted) = (held.clone(), Arc::clone(&counted));
        async move {
            if cx.attempt() == 1 {
                counted.fetch_add(1, Ordering::SeqCst);
                held.wait();
                // Its result is ignored.
                return Ok(0);
            }
            TaskResult::Ok(cx.attempt())
        }
    };
    let limited = Workflow::new("limited").node("n", blocks.clone()).timeout(Duration::from_millis(50));
    let limited = limited.retry(Retry::immediate(2)).build().expect("a workflow");
    let without = Workflow::new("without").node("n", blocks).build().expect("a workflow");
    let engine = Engine::builder().workflow(limited).workflow(without).start().await.expect("an engine");

    let run = engine.run("limited").start().await.expect("a run");
    assert_eq!(run.output::<u32>().await.expect("the second attempt continues"), 2);
    let run = engine.run("without").start().await.expect("a run");
    while blocked.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    run.terminate("it does not listen").await.expect("it ends");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Terminated("it does not listen".into()));
    latch.open();
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_blocks_its_runs_and_the_next_process_continues() {
    for fault in [
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::Failed(StoreErrorKind::Poisoned),
        Fault::Failed(StoreErrorKind::Damaged),
    ] {
        let memory = MemoryStore::new();
        let store = FaultyStore::new(Arc::new(memory.clone()));
        let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
        let first = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
        let run = first.run("w").id("r").start().await.expect("a run");
        store.fail_next(fault);
        let error = run.signal("go", &7_u64).await.expect_err("the write failed");
        assert_eq!(error.kind(), ErrorKind::Store, "{fault:?}: {error}");
        let error = run.outcome().await.expect_err("it cannot continue here");
        assert_eq!(error.kind(), ErrorKind::Store, "{fault:?}: {error}");
        assert_eq!(first.blocked().len(), 1, "{fault:?}");
        first.shutdown().await;
        memory.drop_leases();

        let second = engine(memory).workflow(workflow).start().await.expect("an engine");
        let run = second.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the run");
        if fault != Fault::CrashAfter {
            run.signal("go", &7_u64).await.expect("the store is another one");
        }
        assert_eq!(run.output::<u64>().await.expect("an output"), 7, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_over_the_limit_is_refused_everywhere() {
    let said =
        "the payload has 67108866 bytes, more than the 67108864 allowed; store it elsewhere and pass its address";
    // As text that is already JSON: escaping that much text repeatedly takes long.
    let text = RawValue::from_string(format!("\"{}\"", "x".repeat(PAYLOAD_LARGE_BYTES_MAX))).expect("JSON");
    let large = Arc::new(text);
    let held = Arc::clone(&large);
    let tries = move |cx: Context, (): ()| {
        let large = Arc::clone(&held);
        async move {
            let asked = cx.ask::<()>(&large).await.expect_err("too large").failure().message.clone();
            let child = cx.child::<()>("c", "tries", &large).await.expect_err("too large").failure().message.clone();
            cx.emit("report", "x".repeat(PAYLOAD_BYTES_MAX));
            TaskResult::Ok((asked, child))
        }
    };
    let workflow = Workflow::new("tries").node("n", tries).gate::<()>("go").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let input = engine.run("tries").input(&large).expect_err("too large");
    let run = engine.run("tries").start().await.expect("a run");
    let signal = run.signal("go", &large).await.expect_err("too large");
    let answer = run.answer(Seq(1), &large).await.expect_err("too large");
    let fork = run.fork("f", "n", Some(&large)).await.expect_err("too large");
    for error in [input, signal, answer, fork] {
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, said));
    }
    run.signal("go", &()).await.expect("it is small");
    let output = run.output::<serde_json::Value>().await.expect("an output");
    assert_eq!(output["n"], serde_json::json!([said, said]));
    let report = journal(&run).await.into_iter().find_map(|event| match event {
        Event::Emitted { payload, .. } => Some(payload),
        _ => None,
    });
    assert!(report.is_some_and(|report| report.is_null()), "a report over its limit is written down as null");
}

#[tokio::test(start_paused = true)]
async fn growth_that_does_not_fit_is_refused_and_the_run_continues() {
    let grows = async |cx: Context, (): ()| {
        let node = |name: &str| Ok::<_, TaskError>(NodeSpec::task(Name::new(name)?, Name::new("nothing")?));
        let cycle = Growth::new().with_node(node("x")?.with_after(Name::new("y")?));
        let cycle = cycle.with_node(node("y")?.with_after(Name::new("x")?));
        let back = Growth::new().with_node(node("x")?).with_edge(Name::new("x")?, Name::new("grows")?);
        let nobody = Growth::new().with_node(NodeSpec::task(Name::new("x")?, Name::new("nobody")?));
        let mut many = Growth::new();
        for number in 0..NODES_MAX {
            many = many.with_node(node(&format!("n{number}"))?);
        }
        let mut said = Vec::new();
        for growth in [cycle, back, nobody, many] {
            let refused = cx.grow(&format!("{}", said.len()), growth).await.expect_err("it does not fit");
            assert!(!refused.failure().retryable);
            said.push(refused.failure().message.clone());
        }
        Ok(said)
    };
    let workflow = Workflow::new("w").node("grows", grows).build().expect("a workflow");
    let engine =
        engine(MemoryStore::new()).workflow(workflow).task("nothing", nothing).start().await.expect("an engine");
    let said: Vec<String> = engine.run("w").start().await.expect("a run").output().await.expect("an output");
    assert!(said[0].starts_with("the workflow has a cycle: ") && said[0].matches(" -> ").count() == 2, "{}", said[0]);
    assert_eq!(
        said[1..],
        [
            "cannot add an edge to node `grows`: it has already started",
            "the growth needs task `nobody`, which is not registered with this engine",
            "the plan is too large: it may have at most 10000 nodes and 200000 edges",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_signal_to_a_missing_run_is_refused() {
    let workflow = Workflow::new("w").node("n", nothing).build().expect("a workflow");
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let id = RunId::new("r").expect("an id");
    assert!(engine.get(&id).await.expect("a store").is_none(), "there is no handle of a missing run");
    let run = engine.run("w").id("r").start().await.expect("a run");
    run.output::<()>().await.expect("an end");
    tokio::time::sleep(secs(1)).await;
    store.delete(&id).await.expect("it is gone");
    let error = run.signal("go", &1).await.expect_err("the run does not exist");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "there is no such run"));
    let error = run.events(Cursor::START).next().await.expect_err("the run does not exist");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "run `r` not found"));
}

#[tokio::test(start_paused = true)]
async fn the_largest_graph_runs() {
    let first = Workflow::new("wide").node("first", nothing);
    let names: Vec<_> = (0..NODES_MAX - 2).map(|number| format!("n{number}")).collect();
    let wide = names.iter().fold(first, |builder, name| builder.node(name, nothing).after("first"));
    let wide = wide.node("last", nothing).after_all(names.iter().map(String::as_str)).build().expect("it fits");
    let engine = engine(MemoryStore::new()).workflow(wide).start().await.expect("an engine");
    let run = engine.run("wide").start().await.expect("a run");
    run.output::<()>().await.expect("an end");
    let nodes = run.view().await.expect("a view").nodes;
    assert_eq!(nodes.iter().filter(|node| node.status == NodeStatus::Completed).count(), NODES_MAX);
}
