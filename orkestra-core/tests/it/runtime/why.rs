//! Why a run waits, as far as an engine and its store know: who drives it, its place in a queue, what keeps this engine from it.

use std::sync::Arc;

use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::projection::{RunWaitsFor, WaitsFor};
use orkestra_core::store::{LeaseState, StoreWrapper};
use orkestra_core::{Clock, EngineBuilder, Limit};
use serde_json::{Value, json};

use super::world::{TokioClock, engine};

/// The same clock for several engines.
#[derive(Clone)]
struct Shown(Arc<TokioClock>);

impl Shown {
    fn new() -> Self {
        Self(Arc::new(TokioClock::new()))
    }
}

impl Clock for Shown {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

fn on(store: &Arc<dyn Store>, clock: &Shown, worker: &str) -> EngineBuilder {
    let builder = Engine::builder().shared_store(Arc::clone(store)).clock(clock.clone()).lease(secs(30));
    builder.worker(worker).park_after(secs(10))
}

async fn hour(_cx: Context, (): ()) -> TaskResult<()> {
    tokio::time::sleep(secs(3600)).await;
    Ok(())
}

async fn view(engine: &Engine, run: &str) -> RunView {
    let run = engine.get(&RunId::new(run).expect("an id")).await.expect("a store").expect("the run");
    run.view().await.expect("a view")
}

/// What the first node waits for, as JSON.
fn first(view: &RunView) -> Value {
    json!(view.nodes[0].waits_for)
}

#[tokio::test(start_paused = true)]
async fn every_engine_on_a_store_sees_who_drives_a_run_and_until_when() {
    let workflow = Workflow::new("w").node("n", hour).build().expect("a workflow");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new().between_engines());
    let clock = Shown::new();
    let driver = on(&store, &clock, "driver").workflow(workflow.clone()).start().await.expect("an engine");
    let reader = on(&store, &clock, "reader").runs_max(0).workflow(workflow.clone()).start().await.expect("an engine");
    driver.run("w").id("r").start().await.expect("a run");
    for wait in [1, 100] {
        tokio::time::sleep(secs(wait)).await;
        let (here, there) = (view(&driver, "r").await, view(&reader, "r").await);
        assert_eq!(here, there, "after {wait} s");
        let lease = there.lease.expect("it is driven");
        assert_eq!(lease.worker, WorkerId::new("driver").expect("a name"));
        assert!(lease.epoch.0 > 0 && lease.until > clock.now(), "it was renewed: {lease:?}");
        assert_eq!((there.waits_for, first(&view(&reader, "r").await)), (None, json!([])));
    }
    driver.shutdown().await;
    let left = view(&reader, "r").await;
    assert_eq!(left.lease, None, "it was released");
    let Some(RunWaitsFor::Engine { since }) = left.waits_for else { panic!("{:?}", left.waits_for) };
    assert_eq!(since, left.updated_at);
    assert_eq!(json!(left)["waits_for"], json!({"kind": "engine", "since": since}));
    let other = on(&store, &clock, "other").workflow(workflow).start().await.expect("an engine");
    tokio::time::sleep(secs(5)).await;
    let taken = view(&reader, "r").await;
    assert_eq!(taken.lease.map(|lease| lease.worker.to_string()).as_deref(), Some("other"));
    assert_eq!(taken.waits_for, None);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_waits_for_its_signal_and_nobody_drives_it() {
    let workflow = Workflow::new("w").gate::<()>("approve").timeout(secs(3600)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(secs(10)).workflow(workflow).start().await.expect("an engine");
    engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    assert!(view(&engine, "r").await.lease.is_some(), "it is in memory still");
    tokio::time::sleep(secs(60)).await;
    let parked = view(&engine, "r").await;
    assert_eq!((&parked.lease, &parked.waits_for), (&None, &None));
    let until = 1_000_000 + 3_600_000;
    assert_eq!(first(&parked), json!([{"kind": "signal", "key": null, "signal": "approve", "until": until}]));
}

#[tokio::test(start_paused = true)]
async fn places_in_the_queue_of_a_limit_are_known_to_the_engine_that_has_it() {
    let workflow = Workflow::new("w")
        .node("n", hour)
        .limit("cpu")
        .limit_by("model", SlotBy::Label("customer".into()))
        .build()
        .expect("a workflow");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new().between_engines());
    let clock = Shown::new();
    let limited = |builder: EngineBuilder| {
        let builder = builder.limit(Limit::concurrency("cpu", 2)).limit(Limit::concurrency("model", 9));
        builder.workflow(workflow.clone())
    };
    let driver = limited(on(&store, &clock, "driver")).start().await.expect("an engine");
    let reader = limited(on(&store, &clock, "reader").runs_max(0)).start().await.expect("an engine");
    for (number, (customer, priority)) in [("x", 0), ("x", 0), ("x", 0), ("y", 0), ("x", 9)].into_iter().enumerate() {
        let run = driver.run("w").id(format!("r{number}")).label("customer", customer).priority(priority);
        run.start().await.expect("a run");
        tokio::time::sleep(secs(1)).await;
    }
    let slots = |cpu: usize, customer: &str, model: usize, of_customer: u32| {
        json!([{"kind": "slots", "slots": [
            {"limit": "cpu", "key": null, "place": cpu, "in_use": 2, "at_once": 2, "free_at": null},
            {"limit": "model", "key": customer, "place": model, "in_use": of_customer, "at_once": 9, "free_at": null},
        ]}])
    };
    // Whether they are in memory or parked.
    for wait in [1, 60] {
        tokio::time::sleep(secs(wait)).await;
        assert_eq!(first(&view(&driver, "r0").await), json!([]));
        assert_eq!(first(&view(&driver, "r2").await), slots(2, "x", 2, 2));
        assert_eq!(first(&view(&driver, "r3").await), slots(3, "y", 1, 0));
        assert_eq!(first(&view(&driver, "r4").await), slots(1, "x", 1, 2), "higher priority goes first");
    }
    let words = view(&driver, "r3").await.nodes[0].waits_for[0].to_string();
    assert_eq!(
        words,
        "slots of `cpu` (place 3 in the queue, 2 of 2 in use) and `model` for `y` (place 1 in the queue, 0 of 9 in use)"
    );
    let unknown = |limit: &str, key: Option<&str>| json!({"limit": limit, "key": key, "place": null, "in_use": null, "at_once": null, "free_at": null});
    let elsewhere = view(&reader, "r3").await;
    let expected = json!([{"kind": "slots", "slots": [unknown("cpu", None), unknown("model", Some("y"))]}]);
    assert_eq!((first(&elsewhere), &elsewhere.waits_for), (expected, &None));
}

#[tokio::test(start_paused = true)]
async fn a_rate_says_when_the_next_attempt_may_begin() {
    let workflow = Workflow::new("w").node("n", hour).limit("api").build().expect("a workflow");
    let limit = Limit::rate("api", 1, secs(60));
    let engine = engine(MemoryStore::new()).limit(limit).workflow(workflow).start().await.expect("an engine");
    engine.run("w").id("first").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    engine.run("w").id("second").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    let waits = view(&engine, "second").await.nodes.remove(0).waits_for;
    let WaitsFor::Slots { slots } = &waits[0] else { panic!("{waits:?}") };
    let free_at = slots[0].free_at.expect("the rate is what it waits for").as_millis();
    assert!((1_059_000..=1_061_000).contains(&free_at), "{free_at}");
    assert_eq!((slots[0].place, slots[0].at_once), (Some(1), None));
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_capacity_of_an_engine_that_drives_as_many_as_it_may() {
    let workflow = Workflow::new("w").node("n", hour).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).runs_max(1).workflow(workflow).start().await.expect("an engine");
    engine.run("w").id("first").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    engine.run("w").id("second").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    let (first, second) = (view(&engine, "first").await, view(&engine, "second").await);
    assert_eq!((first.lease.is_some(), first.waits_for), (true, None));
    assert_eq!((second.lease, second.waits_for), (None, Some(RunWaitsFor::Capacity { runs_max: 1 })));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_this_engine_cannot_drive_says_why() {
    let store = MemoryStore::new();
    let workflow = Workflow::new("w").node("n", hour).build().expect("a workflow");
    let first = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    first.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    first.shutdown().await;
    // Its tasks are not registered here.
    let second = engine(store).start().await.expect("an engine");
    tokio::time::sleep(secs(1)).await;
    let blocked = view(&second, "r").await;
    let Some(RunWaitsFor::Blocked { reason }) = &blocked.waits_for else { panic!("{:?}", blocked.waits_for) };
    assert_eq!(*reason, second.blocked()[0].1.to_string());
    assert_eq!(blocked.lease, None);
}

#[tokio::test(start_paused = true)]
async fn runs_that_wait_for_each_other_say_so() {
    async fn parent(cx: Context, (): ()) -> TaskResult<()> {
        cx.child("c", "kid", ()).await
    }
    let parents = Workflow::new("parent").node("p", parent).limit("cpu").build().expect("a workflow");
    let kids = Workflow::new("kid").node("k", hour).limit("cpu").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("cpu", 1)).workflow(parents).workflow(kids);
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    let stuck = view(&engine, "r").await;
    let Some(RunWaitsFor::Stuck { reason }) = &stuck.waits_for else { panic!("{:?}", stuck.waits_for) };
    let known = engine.stuck().await.expect("a store");
    assert!(known.iter().any(|(id, why)| id == run.id() && why == reason), "{known:?}");
    let child = stuck.children[0].clone();
    assert_eq!(first(&stuck)[0]["run"], json!(child));
    assert!(matches!(view(&engine, child.as_str()).await.waits_for, Some(RunWaitsFor::Stuck { .. })));
}

/// A store of somebody else's, written before stores said who holds a run.
struct Silent(MemoryStore);

impl StoreWrapper for Silent {
    fn inner(&self) -> &dyn Store {
        &self.0
    }

    async fn lease(&self, _run: &RunId, _now: Timestamp) -> Result<LeaseState, orkestra_core::store::StoreError> {
        Ok(LeaseState::Unknown)
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_tell_who_drives_a_run_is_not_taken_to_say_nobody() {
    let workflow = Workflow::new("w").node("n", hour).build().expect("a workflow");
    let store: Arc<dyn Store> = Arc::new(Silent(MemoryStore::new().between_engines()));
    let clock = Shown::new();
    let driver = on(&store, &clock, "driver").workflow(workflow.clone()).start().await.expect("an engine");
    let reader = on(&store, &clock, "reader").runs_max(0).workflow(workflow).start().await.expect("an engine");
    driver.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    let (here, there) = (view(&driver, "r").await, view(&reader, "r").await);
    assert_eq!(here.lease.map(|lease| lease.worker.to_string()).as_deref(), Some("driver"), "it knows its own");
    assert_eq!((there.lease, there.waits_for), (None, None));
}
