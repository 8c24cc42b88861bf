//! Start and end of an engine and of its runtime: everything is released, and every wait ends.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_testkit::FaultyStore;

use super::moody::{Moods, MoodyStore};
use super::world::engine;

fn gate() -> Workflow {
    Workflow::new("w").gate::<u64>("go").build().expect("a workflow")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(secs(30), what).await.expect("it ends")
}

/// A store whose number of holders can be asked for.
fn counted() -> (Arc<dyn Store>, impl Fn() -> usize) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let weak = Arc::downgrade(&store);
    (store, move || weak.strong_count())
}

fn at_work() -> Workflow {
    async fn work(cx: Context, (): ()) -> TaskResult<u64> {
        cx.step("first", || async { TaskResult::Ok(1) }).await?;
        cx.step("long", || async {
            tokio::time::sleep(secs(1000)).await;
            TaskResult::Ok(1)
        })
        .await
    }
    async fn parent(cx: Context, (): ()) -> TaskResult<u64> {
        cx.child("one", "w", ()).await
    }
    Workflow::new("busy").node("n", work).node("p", parent).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn nothing_holds_the_store_after_shutdown() {
    for drains in [false, true] {
        let (store, holders) = counted();
        let builder = Engine::builder().shared_store(store).snapshot_every(1).limit(Limit::concurrency("l", 1));
        let engine = builder.workflow(gate()).workflow(at_work()).start().await.expect("an engine");
        for workflow in ["w", "busy", "busy"] {
            engine.run(workflow).start().await.expect("a run");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if drains {
            engine.drain(secs(1)).await;
        } else {
            engine.shutdown().await;
        }
        drop(engine);
        assert_eq!(holders(), 0, "drained: {drains}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_releases_the_store_by_itself() {
    let (store, holders) = counted();
    let engine = Engine::builder().shared_store(store).workflow(at_work()).workflow(gate()).start().await;
    let engine = engine.expect("an engine");
    engine.run("busy").start().await.expect("a run");
    drop(engine);
    tokio::time::sleep(secs(10)).await;
    assert_eq!(holders(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_when_the_engine_has_shut_down() {
    let engine = engine(MemoryStore::new()).workflow(gate()).start().await.expect("an engine");
    let (mut early, mut beats) = (engine.feed(), 0);
    let run = engine.run("w").start().await.expect("a run");
    engine.shutdown().await;
    while soon(early.next()).await.is_some() {
        beats += 1;
    }
    assert!(beats > 0, "what came before is told first");
    assert_eq!(soon(engine.feed().next()).await, None, "one that begins later has nothing to tell");
    drop((engine, run));
}

#[tokio::test(start_paused = true)]
async fn waits_end_when_the_engine_is_shut_down_or_dropped() {
    for drops in [false, true] {
        let engine = engine(MemoryStore::new()).workflow(gate()).start().await.expect("an engine");
        let run = engine.run("w").start().await.expect("a run");
        let waiting = tokio::spawn({
            let run = run.clone();
            async move { run.outcome().await }
        });
        tokio::time::sleep(secs(1)).await;
        if drops {
            drop(engine);
        } else {
            engine.shutdown().await;
        }
        let ended = soon(waiting).await.expect("it does not panic");
        assert_eq!(ended.expect_err("no engine drives it").kind(), ErrorKind::ShutDown);
        assert_eq!(soon(run.signal("go", &1)).await.expect_err("no engine receives it").kind(), ErrorKind::ShutDown);
    }
}

#[test]
fn calls_end_when_the_runtime_of_the_engine_is_gone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let theirs = runtime();
    let (engine, run) = theirs.block_on(async {
        let engine = Engine::builder().workflow(gate()).workflow(at_work()).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        engine.run("busy").start().await.expect("a run");
        (engine, run)
    });
    let mut feed = engine.feed();
    let mut events = run.events(Cursor::START);
    drop(theirs);
    runtime().block_on(async {
        let shut_down = |error: Error| assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
        shut_down(soon(run.outcome()).await.expect_err("no engine drives it"));
        shut_down(soon(run.signal("go", &1)).await.expect_err("no engine drives it"));
        shut_down(soon(run.cancel("now")).await.expect_err("no engine drives it"));
        shut_down(soon(run.delete()).await.expect_err("no engine drives it"));
        shut_down(soon(run.fork::<u64>("f", "go", None)).await.expect_err("no engine drives it"));
        shut_down(soon(engine.run("w").id("other").start()).await.expect_err("no engine drives it"));
        while soon(feed.next()).await.is_some() {}
        let ended = async {
            loop {
                if let Err(error) = events.next().await {
                    return error;
                }
            }
        };
        shut_down(soon(ended).await);
        assert!(soon(run.status()).await.is_ok(), "the store is there");
        assert!(soon(engine.drain(secs(1))).await);
        soon(engine.shutdown()).await;
        assert!(soon(engine.health()).await.shut_down);
    });
}

#[test]
fn a_wait_on_another_runtime_ends_with_the_runtime_of_the_engine() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (theirs, ours) = (runtime(), runtime());
    let run = theirs.block_on(async {
        let engine = Engine::builder().workflow(gate()).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        std::mem::forget(engine);
        run
    });
    let waiting = ours.spawn({
        let run = run.clone();
        async move { run.output::<u64>().await }
    });
    theirs.shutdown_timeout(secs(5));
    let ended = ours.block_on(async { soon(waiting).await.expect("it does not panic") });
    assert_eq!(ended.expect_err("no engine drives it").kind(), ErrorKind::ShutDown);
}

/// Two engines in one process, on one store that no other process opens.
async fn two(shared: bool) -> (Engine, Engine) {
    async fn parent(cx: Context, (): ()) -> TaskResult<u64> {
        cx.child("one", "w", ()).await
    }
    async fn rest(cx: Context, (): ()) -> TaskResult<u64> {
        cx.sleep(secs(10)).await?;
        Ok(3)
    }
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(if shared { memory.between_engines() } else { memory });
    let start = |store: Arc<dyn Store>| {
        let parent = Workflow::new("parent").node("p", parent).build().expect("a workflow");
        let rest = Workflow::new("rest").node("r", rest).build().expect("a workflow");
        // Wrapped like a user's own store, with the identity of the inner store.
        let store = FaultyStore::new(store);
        engine(store).workflow(gate()).workflow(parent).workflow(rest).start()
    };
    (start(Arc::clone(&store)).await.expect("an engine"), start(store).await.expect("an engine"))
}

async fn handle(engine: &Engine, id: &str) -> Run {
    engine.get(&RunId::new(id).expect("an id")).await.expect("a store").expect("the run")
}

#[tokio::test(start_paused = true)]
async fn engines_of_one_process_wake_each_others_waiters() {
    let (a, b) = two(false).await;
    let run = a.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(2)).await;
    let mut events = run.events(Cursor::START);
    let waiting = tokio::spawn(async move { run.output::<u64>().await });
    let reading = tokio::spawn(async move { while events.next().await.expect("readable").is_some() {} });
    tokio::time::sleep(Duration::from_millis(50)).await;
    handle(&b, "r").await.signal("go", &7_u64).await.expect("a signal");
    assert_eq!(soon(waiting).await.expect("no panic").expect("an output"), 7);
    soon(reading).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_parent_is_informed_of_a_child_driven_by_another_engine_of_the_process() {
    let (a, b) = two(false).await;
    let parent = a.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(secs(2)).await;
    let children = b.list(&RunQuery::default()).await.expect("a store").items;
    let child = children.into_iter().find(|record| record.id != *parent.id()).expect("a child").id;
    handle(&b, &child).await.signal("go", &7_u64).await.expect("a signal");
    assert_eq!(soon(parent.output::<u64>()).await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn an_engine_takes_over_at_once_from_another_of_its_process() {
    let (a, b) = two(false).await;
    a.run("rest").id("r").start().await.expect("a run");
    let waiting = tokio::spawn({
        let run = handle(&b, "r").await;
        async move { run.output::<u64>().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    a.shutdown().await;
    let began = tokio::time::Instant::now();
    assert_eq!(soon(waiting).await.expect("no panic").expect("an output"), 3);
    assert!(began.elapsed() < secs(12), "its timer is kept: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_engines_that_start_one_id_at_once_get_the_same_run() {
    for shared in [false, true] {
        let (a, b) = two(shared).await;
        for number in 0..50 {
            let id = format!("r{number}");
            let (one, other) =
                soon(async { tokio::join!(a.run("w").id(&id).start(), b.run("w").id(&id).start()) }).await;
            assert_eq!(one.expect("a run").id(), other.expect("the same").id(), "shared: {shared}");
        }
        let taken = soon(b.run("rest").id("r0").start()).await.expect_err("of another workflow");
        assert_eq!(taken.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test(start_paused = true)]
async fn two_engines_that_fork_at_once_get_the_same_run() {
    let (a, b) = two(false).await;
    let source = a.run("w").id("source").start().await.expect("a run");
    let theirs = handle(&b, "source").await;
    let both = async { tokio::join!(source.fork::<u64>("f", "go", None), theirs.fork::<u64>("f", "go", None)) };
    let (one, other) = soon(both).await;
    assert_eq!(one.expect("a fork").id(), other.expect("the same").id());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delete_releases_its_lease() {
    let engine = engine(MemoryStore::new()).workflow(gate()).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    run.terminate("enough").await.expect("it ends");
    run.outcome().await.expect("an end");
    tokio::time::sleep(secs(1)).await;
    {
        let mut deleting = std::pin::pin!(run.delete());
        // Polled once, then dropped.
        let polled = tokio::time::timeout(Duration::ZERO, &mut deleting).await;
        assert!(polled.is_err() || polled.is_ok_and(|deleted| deleted.is_ok()));
    }
    tokio::time::sleep(secs(1)).await;
    soon(engine.run("w").id("r").start()).await.expect("the run exists, or its id is free");
    soon(engine.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_store_hangs_shuts_down() {
    let store = MoodyStore::default();
    let engine = engine(store.clone()).workflow(gate()).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(60)).await;
    assert_eq!(engine.health().await.live, 0, "it is parked");
    store.is(Moods { read_takes: secs(100_000), ..Moods::default() });
    let sending = tokio::spawn(async move { run.signal("go", &7_u64).await });
    tokio::time::sleep(secs(1)).await;
    soon(engine.shutdown()).await;
    let error = sending.await.expect("no panic").expect_err("it was not decided");
    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_start_leaves_no_engine_behind() {
    let (store, holders) = counted();
    let start = || {
        let builder = Engine::builder().shared_store(Arc::clone(&store)).worker("me").runs_max(2);
        builder.workflow(gate()).workflow(at_work()).start()
    };
    let first = start().await.expect("an engine");
    for number in 0..3 {
        first.run("busy").id(format!("r{number}")).start().await.expect("a run");
    }
    first.shutdown().await;
    drop(first);
    {
        // It drives two of the runs, and then starts the next batch.
        let mut starting = std::pin::pin!(start());
        let ready = std::future::poll_fn(|cx| Poll::Ready(starting.as_mut().poll(cx).is_ready())).await;
        assert!(!ready);
    }
    tokio::time::sleep(secs(60)).await;
    assert_eq!(holders(), 1, "only this test");
}

/// Found from outside: a task without steps failed as `crashed` when its engine had been restarted often enough,
/// although in order.
#[tokio::test(start_paused = true)]
async fn shutdowns_do_not_count_as_lost_processes() {
    let store = MemoryStore::new();
    let works = async |_: Context, (): ()| {
        tokio::time::sleep(secs(100)).await;
        Ok(7)
    };
    let workflow = Workflow::new("w").node("works", works).build().expect("a workflow");
    for _ in 0..40 {
        let engine = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
        engine.run("w").id("r").start().await.expect("a run");
        tokio::time::sleep(secs(1)).await;
        engine.shutdown().await;
    }
    let engine = engine(store).workflow(workflow).start().await.expect("an engine");
    let run = engine.get("r").await.expect("a store").expect("it exists");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
}
