//! Several engines on one store: letters, children, followers, names, capacity.

use std::sync::Arc;

use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::store::{LetterId, claim_one};
use orkestra_core::{Clock, EngineBuilder};

use super::world::{Effects, TokioClock};

/// Engines that know `workflow`, on one store that they share.
struct Many {
    store: Arc<dyn Store>,
    clock: Arc<TokioClock>,
    workflow: Workflow,
}

/// The same clock for all engines.
struct Shown(Arc<TokioClock>);

impl Clock for Shown {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Many {
    fn of(workflow: Workflow) -> Self {
        let store = Arc::new(MemoryStore::new().between_engines());
        Self { store, clock: Arc::new(TokioClock::new()), workflow }
    }

    fn builder(&self) -> EngineBuilder {
        let builder = Engine::builder().shared_store(Arc::clone(&self.store)).clock(Shown(Arc::clone(&self.clock)));
        builder.lease(secs(30)).workflow(self.workflow.clone())
    }

    async fn engine(&self) -> Engine {
        self.builder().start().await.expect("an engine")
    }

    async fn has_letters(&self, run: &Run) -> bool {
        !self.store.letters(run.id(), LetterId::ZERO, 9).await.expect("a store").is_empty()
    }
}

/// Stays in memory until it gets a signal: the engine that started it drives it.
async fn busy(cx: Context, (): ()) -> TaskResult<u64> {
    let told = cx.signal::<u64>("go");
    tokio::pin!(told);
    loop {
        tokio::select! {
            told = &mut told => return told,
            () = tokio::time::sleep(std::time::Duration::from_millis(100)) => cx.emit("busy", ()),
        }
    }
}

async fn of(engine: &Engine, run: &Run) -> Run {
    engine.get(run.id()).await.expect("a store").expect("the run")
}

fn asking() -> Workflow {
    let ask = async |cx: Context, (): ()| {
        let answer: String = cx.ask("red or green?").await?;
        let told = busy(cx, ()).await?;
        TaskResult::Ok(format!("{answer} {told}"))
    };
    Workflow::new("w").node("n", ask).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn any_engine_can_control_a_run_driven_by_another() {
    let many = Many::of(asking());
    let (one, two) = (many.engine().await, many.engine().await);
    let driven = one.run("w").start().await.expect("a run");
    let mut events = of(&two, &driven).await.events(Cursor::START);
    let question = loop {
        let event = events.next().await.expect("readable").expect("it continues");
        if matches!(event.event, Event::QuestionAsked { .. }) {
            break event.seq;
        }
    };
    let run = of(&two, &driven).await;
    run.answer(question, &"green").await.expect("it is delivered");
    run.pause("a break").await.expect("it is delivered");
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Paused, "taken when it returns");
    run.resume().await.expect("it is delivered");
    run.set_budget("usd", Some(Amount::whole(3))).await.expect("it is delivered");
    run.signal("go", &7_u64).await.expect("it is delivered");
    assert_eq!(run.output::<String>().await.expect("an output"), "green 7");
    assert!(!many.has_letters(&run).await);
    assert_eq!(driven.output::<String>().await.expect("an output"), "green 7");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_fails_at_once_and_leaves_no_letter() {
    let many = Many::of(asking());
    let (one, two) = (many.engine().await, many.engine().await);
    let driven = one.run("w").start().await.expect("a run");
    let run = of(&two, &driven).await;
    assert_eq!(run.resume().await.expect_err("it is not paused").kind(), ErrorKind::Conflict);
    assert_eq!(run.retry("n").await.expect_err("it has not failed").kind(), ErrorKind::Conflict);
    assert_eq!(run.answer(Seq(9), &1).await.expect_err("nothing was asked").kind(), ErrorKind::Conflict);
    assert!(!many.has_letters(&run).await);
    run.terminate("enough").await.expect("it is delivered");
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Terminated);
    assert_eq!(run.cancel("again").await.expect_err("it has ended").kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn a_pending_letter_is_taken_by_the_next_driver() {
    let many = Many::of(asking());
    let one = many.engine().await;
    let driven = one.run("w").start().await.expect("a run");
    one.shutdown().await;
    let silent = WorkerId::new("silent").expect("a name");
    let now = many.clock.now();
    let held = claim_one(&*many.store, driven.id(), &silent, now, now.saturating_add(secs(90))).await.expect("a store");
    assert!(held.is_some());
    let two = many.engine().await;
    let run = of(&two, &driven).await;
    let sent = tokio::time::Instant::now();
    run.cancel("enough").await.expect("it is durable");
    assert!(sent.elapsed() >= secs(29), "it waits for as long as a lease lasts");
    assert!(many.has_letters(&run).await);
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Cancelled("enough".into()));
    assert!(!many.has_letters(&run).await);
}

#[tokio::test(start_paused = true)]
async fn letters_to_a_run_that_has_ended_are_discarded() {
    let many = Many::of(asking());
    let one = many.engine().await;
    let run = one.run("w").start().await.expect("a run");
    run.terminate("enough").await.expect("it ends");
    tokio::time::sleep(secs(5)).await;
    many.store.send(run.id(), br#"{"v":1,"sent":"Resume"}"#).await.expect("it is kept");
    many.store.send(run.id(), b"no letter at all").await.expect("it is kept");
    tokio::time::sleep(secs(5)).await;
    assert!(!many.has_letters(&run).await);
}

#[tokio::test(start_paused = true)]
async fn an_engine_of_the_same_name_takes_over_at_once_and_fences_the_other() {
    let many = Many::of(asking());
    let old = many.builder().worker("a").start().await.expect("an engine");
    let run = old.run("w").start().await.expect("a run");
    // The old engine still runs; it is as good as dead once the new one has claimed its runs.
    let began = tokio::time::Instant::now();
    let new = many.builder().worker("a").start().await.expect("an engine");
    let taken = of(&new, &run).await;
    // Callers that wait with the old engine still get the outcome.
    let waiting = tokio::spawn(async move { tokio::time::timeout(secs(90), run.outcome()).await });
    tokio::task::yield_now().await;
    taken.cancel("by the new one").await.expect("it is delivered");
    assert_eq!(taken.outcome().await.expect("an end"), Outcome::Cancelled("by the new one".into()));
    assert!(began.elapsed() < secs(20), "no engine waited for a lease: {:?}", began.elapsed());
    let heard = waiting.await.expect("no panic").expect("it is informed in time");
    assert_eq!(heard.expect("an end"), Outcome::Cancelled("by the new one".into()));
}

#[tokio::test(start_paused = true)]
async fn runs_spread_over_engines_with_free_capacity() {
    let effects = Effects::default();
    let work = async |cx: Context, (): ()| {
        tokio::time::sleep(secs(5)).await;
        cx.step("once", || async { TaskResult::Ok(()) }).await
    };
    let many = Many::of(Workflow::new("w").node("n", work).build().expect("a workflow"));
    let counting = |name: &'static str| {
        let effects = effects.clone();
        many.builder().runs_max(4).around(move |task| {
            effects.did(name);
            task
        })
    };
    let (one, two) =
        (counting("one").start().await.expect("an engine"), counting("two").start().await.expect("an engine"));
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(one.run("w").start().await.expect("a run"));
    }
    let (mut most, mut by_two) = (0, 0);
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let (here, there) = (one.health().await.live, two.health().await.live);
        most = most.max(here).max(there);
        by_two = by_two.max(there);
    }
    for run in &runs {
        run.output::<()>().await.expect("it completes");
    }
    assert!(most <= 4, "{most} runs were in memory");
    assert!(by_two >= 3, "the other engine has taken {by_two} at once");
}

#[tokio::test(start_paused = true)]
async fn children_spread_and_their_parent_is_informed_at_once() {
    let child = async |_cx: Context, number: u64| {
        tokio::time::sleep(secs(1)).await;
        TaskResult::Ok(number * 2)
    };
    let child = Workflow::new("child").node("n", child).build().expect("a workflow");
    let parent = async |cx: Context, (): ()| {
        let numbers: Vec<u64> = (0..12).collect();
        let mut sum = 0;
        for number in numbers {
            sum += cx.child::<u64>(&number.to_string(), "child", number).await?;
        }
        TaskResult::Ok(sum)
    };
    let many = Many::of(Workflow::new("w").node("n", parent).build().expect("a workflow"));
    let start = || many.builder().runs_max(1).workflow(child.clone());
    let (one, _two) = (start().start().await.expect("an engine"), start().start().await.expect("an engine"));
    let run = one.run("w").start().await.expect("a run");
    let began = tokio::time::Instant::now();
    assert_eq!(run.output::<u64>().await.expect("an output"), 132);
    assert!(began.elapsed() < secs(12 * 10), "{:?}: no child was waited for as long as a lease", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_engine_with_zero_capacity_starts_and_controls_but_drives_no_run() {
    let calls = Effects::default();
    let many = Many::of(asking());
    let called = calls.clone();
    let never = move |_cx: Context, (): ()| {
        called.did("called");
        async { TaskResult::Ok(String::new()) }
    };
    let unused = Workflow::new("w").node("n", never).build().expect("a workflow");
    let builder = Engine::builder().shared_store(Arc::clone(&many.store)).clock(Shown(Arc::clone(&many.clock)));
    let closed = builder.lease(secs(30)).runs_max(0).workflow(unused).start().await.expect("an engine");
    let run = closed.run("w").id("r").start().await.expect("a run");
    // Its driver is about to leave: waiting callers must check for news from then on.
    let waits = run.clone();
    let waiting = tokio::spawn(async move { tokio::time::timeout(secs(90), waits.outcome()).await });
    // No engine drives it: letters stay in its inbox, and starting it again finds it.
    closed.run("w").id("r").start().await.expect("the same run");
    let telling = run.clone();
    let told = tokio::spawn(async move { telling.signal("go", &7_u64).await });
    tokio::time::sleep(secs(5)).await;
    assert_eq!((closed.health().await.live, calls.count("called")), (0, 0));
    let open = many.engine().await;
    told.await.expect("no panic").expect("it is delivered");
    let mut events = run.events(Cursor::START);
    let question = loop {
        let event = events.next().await.expect("readable").expect("it continues");
        if matches!(event.event, Event::QuestionAsked { .. }) {
            break event.seq;
        }
    };
    run.answer(question, &"red").await.expect("it is delivered");
    assert_eq!(run.output::<String>().await.expect("an output"), "red 7");
    assert_eq!(run.cancel("late").await.expect_err("it has ended").kind(), ErrorKind::Conflict);
    let missing = RunId::new("nobody").expect("an id");
    assert!(closed.get(&missing).await.expect("a store").is_none());
    let heard = waiting.await.expect("no panic").expect("it is informed in time");
    assert!(matches!(heard.expect("an end"), Outcome::Completed(_)));
    assert_eq!(calls.count("called"), 0);
    open.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_running_steps() {
    let effects = Effects::default();
    let counted = effects.clone();
    let work = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            for key in ["first", "second"] {
                let work = || async {
                    effects.did(key);
                    tokio::time::sleep(secs(5)).await;
                    TaskResult::Ok(())
                };
                cx.step(key, work).await?;
            }
            Ok::<_, TaskError>(())
        }
    };
    let many = Many::of(Workflow::new("w").node("n", work).build().expect("a workflow"));
    let (one, two, three) = (many.engine().await, many.engine().await, many.engine().await);
    let run = one.run("w").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    assert!(one.drain(secs(20)).await, "the first step takes four seconds more");
    tokio::time::sleep(secs(1)).await;
    let driven = [two.health().await.live, three.health().await.live];
    let (driver, other) = if driven[0] == 1 { (&two, &three) } else { (&three, &two) };
    assert!(!driver.drain(secs(1)).await, "the second one takes longer");
    of(other, &run).await.output::<()>().await.expect("it completes");
    assert_eq!((effects.count("first"), effects.count("second")), (1, 2), "what was cut short is done again");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_slot_leaves_its_capacity_to_the_child_it_waits_for() {
    let child = async |cx: Context, (): ()| cx.sleep(secs(5)).await;
    let child = Workflow::new("child").node("n", child).build().expect("a workflow");
    let parent = async |cx: Context, (): ()| cx.child::<()>("c", "child", ()).await;
    let many = Many::of(Workflow::new("w").node("n", parent).limit("one").build().expect("a workflow"));
    let builder = many.builder().workflow(child).limit(Limit::concurrency("one", 1)).runs_max(1);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    run.output::<()>().await.expect("it completes");
}

/// Seed 54569 of the simulator: a task that could not be dropped from memory, because it did something besides its
/// wait, kept the capacity that its child needed. Nothing reported it.
#[tokio::test(start_paused = true)]
async fn a_busy_run_leaves_its_capacity_to_the_child_it_waits_for() {
    let child = async |cx: Context, (): ()| cx.sleep(secs(5)).await;
    let spawns = async |cx: Context, (): ()| {
        let side = cx.scope("side")?;
        let other = tokio::spawn(async move { side.sleep(secs(1)).await });
        cx.child::<()>("c", "child", ()).await?;
        other.await?
    };
    let beats = async |cx: Context, (): ()| {
        let beats = async {
            loop {
                tokio::time::sleep(secs(1) / 100).await;
                cx.emit("beat", ());
            }
        };
        tokio::select! {
            ended = cx.child::<()>("c", "child", ()) => ended,
            () = beats => Ok(()),
        }
    };
    for spawns_it in [true, false] {
        let parent = Workflow::new("w");
        let parent = if spawns_it { parent.node("n", spawns) } else { parent.node("n", beats) };
        let many = Many::of(parent.build().expect("a workflow"));
        let child = Workflow::new("child").node("n", child).build().expect("a workflow");
        let engine = many.builder().workflow(child).runs_max(2).start().await.expect("an engine");
        let runs = [engine.run("w").start().await.expect("a run"), engine.run("w").start().await.expect("a run")];
        for run in runs {
            let output = tokio::time::timeout(secs(300), run.output::<()>()).await;
            output.expect("it is not stranded").expect("it completes");
        }
        engine.shutdown().await;
    }
}
