//! Runs that deadlock through a limit are reported, and no others.

use orkestra_core::Limit;
use orkestra_core::prelude::*;

use super::super::world::engine;
use super::within;

#[tokio::test(start_paused = true)]
async fn runs_that_deadlock_through_a_limit_are_reported() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        // All of them have their slots before the first requests its child.
        cx.sleep(secs(1)).await?;
        cx.child("c", "between", ()).await
    }
    async fn between(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("c", "kid", ()).await
    }
    async fn kid(_cx: Context, (): ()) -> TaskResult<bool> {
        Ok(true)
    }
    let limited = |name: &str, at_once| {
        let engine = engine(MemoryStore::new()).limit(Limit::concurrency(name, at_once));
        let parents = Workflow::new("parent").node("p", parent).limit("cpu").build().expect("a workflow");
        let between = Workflow::new("between").node("b", between).build().expect("a workflow");
        engine.workflow(parents).workflow(between)
    };
    let kids = || Workflow::new("kid").node("k", kid).limit("cpu").build().expect("a workflow");
    for at_once in [1, 2] {
        let engine = limited("cpu", at_once).workflow(kids()).start().await.expect("an engine");
        let mut runs = Vec::new();
        for id in 0..at_once {
            runs.push(engine.run("parent").id(format!("r{id}")).start().await.expect("a run"));
        }
        tokio::time::sleep(secs(120)).await;
        let stuck = engine.stuck().await.expect("a store");
        let said: Vec<_> = stuck.iter().map(|(run, why)| format!("{run}: {why}")).collect();
        // Every parent, every run between, and every run that waits for slots.
        assert_eq!(stuck.len(), 3 * at_once as usize, "{said:#?}");
        assert!(
            said.iter().any(|text| text.contains("waits for limit `cpu`, all of whose slots are held")),
            "{said:#?}"
        );
        let health = engine.health().await;
        assert_eq!((health.deadlocked, health.is_good()), (stuck.len(), false));
        // One of them ends, and the others continue.
        runs.pop().expect("a run").cancel("the deadlock is broken").await.expect("it is accepted");
        for run in runs {
            assert!(within(secs(120), run.output::<bool>()).await.expect("an output"));
        }
        tokio::time::sleep(secs(120)).await;
        assert_eq!(engine.stuck().await.expect("a store"), []);
        assert!(engine.health().await.is_good());
        engine.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_deadlock_is_reported_with_a_free_slot_or_a_timeout() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("c", "kid", ()).await
    }
    async fn busy(_cx: Context, (): ()) -> TaskResult<bool> {
        tokio::time::sleep(secs(600)).await;
        Ok(true)
    }
    async fn kid(_cx: Context, (): ()) -> TaskResult<bool> {
        Ok(true)
    }
    let kids = || Workflow::new("kid").node("k", kid).limit("cpu").build().expect("a workflow");
    let busies = Workflow::new("busy").node("b", busy).limit("cpu").build().expect("a workflow");
    let parents = Workflow::new("parent").node("p", parent).limit("cpu").build().expect("a workflow");
    let bounded =
        Workflow::new("bounded").node("p", parent).limit("cpu").timeout(secs(300)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("cpu", 2)).workflow(kids()).workflow(busies);
    let engine = engine.workflow(parents).workflow(bounded).start().await.expect("an engine");
    // All slots are taken, but one of them by a run that is working.
    let work = engine.run("busy").id("busy").start().await.expect("a run");
    let run = engine.run("parent").id("waits").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store"), []);
    assert!(engine.health().await.is_good());
    assert!(run.output::<bool>().await.expect("an output"));
    assert!(work.output::<bool>().await.expect("an output"));
    // All slots are taken by waiting runs, but one of them has a timeout.
    let first = engine.run("parent").id("one").start().await.expect("a run");
    engine.run("bounded").id("two").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store"), []);
    assert!(first.output::<bool>().await.expect("an output"));
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_is_reported_although_its_run_does_other_work() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("c", "kid", ()).await
    }
    async fn beside(cx: Context, (): ()) -> TaskResult<bool> {
        for number in 0..600 {
            cx.emit("n", number);
            tokio::time::sleep(secs(1) / 2).await;
        }
        Ok(true)
    }
    async fn kid(_cx: Context, (): ()) -> TaskResult<bool> {
        Ok(true)
    }
    let parents = Workflow::new("parent").node("p", parent).limit("cpu").node("b", beside).build().expect("a workflow");
    let kids = Workflow::new("kid").node("k", kid).limit("cpu").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("cpu", 1)).workflow(parents).workflow(kids);
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store").len(), 2);
    assert_eq!(engine.health().await.deadlocked, 2);
    run.cancel("the deadlock is broken").await.expect("it is accepted");
    run.outcome().await.expect("an end");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store"), []);
    assert!(engine.health().await.is_good());
}
