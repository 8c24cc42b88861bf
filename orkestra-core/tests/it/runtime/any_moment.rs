//! Everything that users and machines can do to a run, at any moment of a run that uses every feature.

use std::time::Duration;

use orkestra_core::model::Amount;
use orkestra_core::prelude::*;
use orkestra_core::{EngineBuilder, Winner};

use tokio::time::Instant;

use super::moody::{Moods, MoodyStore};
use super::world::{Effects, engine, journal};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Work that may start once over all attempts, parks and processes.
const ONCE: [&str; 4] = ["two", "slow", "pay", "kid"];
/// Work that may start again when its process was lost.
const PLAIN: [&str; 5] = ["one", "beside", "m0", "m1", "m2"];

async fn work(effects: &Effects, what: &str, takes: u64) -> TaskResult<String> {
    effects.did(what);
    tokio::time::sleep(ms(takes)).await;
    effects.did(&format!("{what} done"));
    Ok(what.to_owned())
}

fn kind(result: TaskResult<String>) -> TaskResult<String> {
    match result {
        Err(error) if error.failure().kind == "interrupted" => Ok("interrupted".into()),
        result => result,
    }
}

async fn first(cx: Context, effects: Effects) -> TaskResult<Vec<String>> {
    let (all, own) = (&effects, &cx);
    let mut said = vec![own.step("one", || work(all, "one", 5)).await?];
    said.push(kind(own.step("two", || work(all, "two", 5)).at_most_once().await)?);
    let slow = async { own.step("slow", || work(all, "slow", 300)).at_most_once().await };
    said.push(match own.race("r", slow, own.sleep(ms(50))).await? {
        Winner::First(done) => kind(done)?,
        Winner::Second(slept) => slept.map(|()| "late".to_owned())?,
    });
    if own.attempt() == 1 {
        return Err(TaskError::new("once more"));
    }
    let (go, beside) = tokio::join!(own.signal::<String>("go"), own.step("beside", || work(all, "beside", 20)));
    said.extend([go?, beside?]);
    own.charge([("usd", Amount::whole(1))]).await?;
    let items = own.map("m", 2, ["m0", "m1", "m2"], |item| async move { work(all, item, 7).await });
    said.extend(items.await?);
    Ok(said)
}

async fn second(cx: Context, effects: Effects) -> TaskResult<Vec<String>> {
    let child = cx.child::<String>("c", "kid", ()).await?;
    let paid = cx.step("pay", || work(&effects, "pay", 5)).at_most_once().charge(|_| [("usd", Amount::whole(1))]);
    Ok(vec![kind(paid.await)?, child])
}

fn builder(store: impl Store, effects: &Effects) -> EngineBuilder {
    let with = |effects: &Effects| effects.clone();
    let (one, two, three) = (with(effects), with(effects), with(effects));
    let kid = move |cx: Context, (): ()| {
        let effects = one.clone();
        async move {
            cx.sleep(ms(30)).await?;
            kind(cx.step("kid", || work(&effects, "kid", 5)).at_most_once().await)
        }
    };
    let undo = |effects: &Effects, what: &'static str| {
        let effects = effects.clone();
        move |_: Context, _: serde_json::Value| {
            let effects = effects.clone();
            async move {
                effects.did(what);
                Ok::<_, TaskError>(())
            }
        }
    };
    let all = Workflow::new("all")
        .node("a", move |cx: Context, (): ()| first(cx, two.clone()))
        .retry(Retry::immediate(2))
        .compensate(undo(effects, "undo a"))
        .node("b", move |cx: Context, (): ()| second(cx, three.clone()))
        .compensate(undo(effects, "undo b"))
        .node("end", |_: Context, (a, b): (Vec<String>, Vec<String>)| async move {
            tokio::time::sleep(ms(30)).await;
            Ok::<_, TaskError>([a, b].concat())
        })
        .after_all(["a", "b"])
        .build()
        .expect("a workflow");
    let kid = Workflow::new("kid").node("n", kid).build().expect("a workflow");
    engine(store).park_after(ms(25)).workflow(all).workflow(kid)
}

fn slow() -> MoodyStore {
    let store = MoodyStore::default();
    store.is(Moods { appends_take: ms(7), ..Moods::default() });
    store
}

async fn begin(engine: &Engine) -> Run {
    let run = engine.run("all").id("r").start().await.expect("a run");
    run.signal("go", "go").await.expect("it exists");
    run
}

fn begun(effects: &Effects) -> usize {
    ONCE.into_iter().chain(PLAIN).map(|what| effects.count(what)).sum()
}

async fn ended(run: &Run, when: &str) -> Outcome {
    match tokio::time::timeout(secs(600), run.outcome()).await {
        Ok(outcome) => outcome.unwrap_or_else(|error| panic!("{when}: {error}")),
        Err(_) => panic!("{when}: it does not end: {:?}\n{:?}", run.view().await, run.status().await),
    }
}

/// The run has completed, and did what it had to do.
async fn check(run: &Run, effects: &Effects, lost: bool, when: &str) {
    let outcome = ended(run, when).await;
    let Outcome::Completed(output) = outcome else { panic!("{when}: {outcome:?}") };
    let said: Vec<String> = output.to().expect("a list");
    assert_eq!(said.len(), 10, "{when}: {said:?}");
    for what in ONCE {
        let (begun, done) = (effects.count(what), effects.count(&format!("{what} done")));
        // A race may end before its step has started.
        let least = usize::from(what != "slow");
        assert!((least..=1).contains(&begun), "{when}: {what}: {said:?} {:?}", journal(run).await);
        let expected = if done == 1 { what } else { "interrupted" };
        if what != "slow" {
            assert!(said.iter().any(|said| said == expected), "{when}: {what} {expected}: {said:?}");
            assert!(lost || done == 1, "{when}: {what}");
        }
    }
    for what in PLAIN {
        let most = if lost { 2 } else { 1 };
        assert!((1..=most).contains(&effects.count(what)), "{when}: {what}");
    }
}

const LAST: u64 = 640;

#[tokio::test(start_paused = true)]
async fn a_pause_at_any_moment_loses_and_repeats_nothing() {
    for after in (0..LAST).step_by(13) {
        for lasts in [0, 40, 3000] {
            let (effects, when) = (Effects::default(), format!("paused after {after} ms for {lasts} ms"));
            let engine = builder(slow(), &effects).start().await.expect("an engine");
            let run = begin(&engine).await;
            tokio::time::sleep(ms(after)).await;
            if run.pause("lunch").await.is_ok() {
                let (kid, before) = (effects.count("kid"), begun(&effects));
                tokio::time::sleep(ms(lasts)).await;
                assert_eq!(begun(&effects) - effects.count("kid"), before - kid, "{when}: nothing begins");
                run.resume().await.expect("it is paused");
            }
            check(&run, &effects, false, &when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_at_any_moment_loses_nothing() {
    for after in (0..LAST).step_by(13) {
        for pauses in [false, true] {
            let (effects, when) = (Effects::default(), format!("after {after} ms, paused: {pauses}"));
            let store = slow();
            let first = builder(store.clone(), &effects).start().await.expect("an engine");
            let run = begin(&first).await;
            tokio::time::sleep(ms(after)).await;
            if pauses {
                let pausing = tokio::spawn(async move { run.pause("lunch").await });
                tokio::time::sleep(ms(after % 17)).await;
                first.shutdown().await;
                drop(pausing.await);
            } else {
                first.shutdown().await;
            }
            let before = begun(&effects);
            tokio::time::sleep(secs(5)).await;
            assert_eq!(begun(&effects), before, "{when}: nothing begins");
            let second = builder(store, &effects).start().await.expect("an engine");
            let run = second.get("r").await.expect("a store").expect("a run");
            drop(run.resume().await);
            check(&run, &effects, true, &when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_engine_takes_over_at_any_moment() {
    for after in (0..LAST).step_by(13) {
        for drops in [0, 1, 2] {
            let (effects, when) = (Effects::default(), format!("after {after} ms, {drops}"));
            let mut shared = slow();
            shared.inner = shared.inner.between_engines();
            let one = builder(shared.clone(), &effects).start().await.expect("an engine");
            begin(&one).await;
            let two = builder(shared, &effects).start().await.expect("an engine");
            tokio::time::sleep(ms(after)).await;
            match drops {
                0 => drop(one),
                1 => one.shutdown().await,
                _ => drop(one.drain(secs(1)).await),
            }
            let run = two.get("r").await.expect("a store").expect("a run");
            check(&run, &effects, drops < 2, &when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_at_any_moment_loses_and_repeats_nothing() {
    for after in (0..LAST).step_by(13) {
        for limit in [1, 2] {
            let (effects, when) = (Effects::default(), format!("a budget of {limit} after {after} ms"));
            let engine = builder(slow(), &effects).start().await.expect("an engine");
            let run = begin(&engine).await;
            tokio::time::sleep(ms(after)).await;
            if run.set_budget("usd", Some(Amount::whole(limit))).await.is_ok() {
                tokio::time::sleep(secs(3)).await;
                run.set_budget("usd", None).await.expect("it may");
                drop(run.resume().await);
            }
            check(&run, &effects, false, &when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_or_terminating_at_any_moment_is_final() {
    for after in (0..LAST).step_by(13) {
        for (terminates, pauses) in [(false, false), (false, true), (true, false), (true, true)] {
            let (effects, when) = (Effects::default(), format!("after {after} ms, {terminates} {pauses}"));
            let engine = builder(slow(), &effects).start().await.expect("an engine");
            let run = begin(&engine).await;
            tokio::time::sleep(ms(after)).await;
            if pauses && run.pause("lunch").await.is_ok() {
                tokio::time::sleep(ms(after % 50)).await;
            }
            let told = if terminates { run.terminate("enough").await } else { run.cancel("enough").await };
            let outcome = ended(&run, &when).await;
            if told.is_ok() {
                assert!(matches!(outcome, Outcome::Cancelled(_) | Outcome::Terminated(_)), "{when}: {outcome:?}");
            }
            tokio::time::sleep(secs(1)).await;
            let before = begun(&effects);
            tokio::time::sleep(secs(30)).await;
            assert_eq!(begun(&effects), before, "{when}: nothing begins");
            for what in ONCE.into_iter().chain(PLAIN).chain(["undo a", "undo b"]) {
                assert!(effects.count(what) <= 1, "{when}: {what}");
            }
            let view = run.view().await.expect("a view");
            for (node, undo) in [("a", "undo a"), ("b", "undo b")] {
                let done =
                    view.nodes.iter().any(|known| known.name.as_str() == node && known.status == NodeStatus::Completed);
                let undone = done && !terminates && told.is_ok();
                assert_eq!(effects.count(undo), usize::from(undone), "{when}: {undo}");
            }
            assert_eq!(engine.health().await.live, 0, "{when}");
            for child in super::world::children(&engine, "r").await {
                let child = engine.get(&child).await.expect("a store").expect("it exists");
                ended(&child, &when).await;
            }
        }
    }
}

async fn leaf(cx: Context, (): ()) -> TaskResult<u64> {
    tokio::time::sleep(ms(10)).await;
    cx.sleep(ms(30)).await?;
    Ok(1)
}

/// Is never seen to wait alone.
async fn middle(cx: Context, (): ()) -> TaskResult<u64> {
    let beats = async {
        loop {
            tokio::time::sleep(ms(200)).await;
        }
    };
    let all = tokio::select! {
        all = cx.map_runs::<_, u64>("leaf", 2, "leaf", [(), ()]) => all?,
        () = beats => vec![],
    };
    Ok(all.into_iter().sum())
}

async fn top(cx: Context, (): ()) -> TaskResult<u64> {
    Ok(cx.map_runs::<_, u64>("middle", 3, "middle", [(), (), ()]).await?.into_iter().sum())
}

async fn with_capacity(store: MoodyStore, capacity: usize) -> Engine {
    let builder = engine(store).park_after(ms(25)).runs_max(capacity).worker("me").limit(Limit::concurrency("two", 2));
    let leaf = Workflow::new("leaf").node("n", leaf).limit("two").build().expect("a workflow");
    let middle = Workflow::new("middle").node("n", middle).build().expect("a workflow");
    let top = Workflow::new("top").node("n", top).build().expect("a workflow");
    builder.workflow(leaf).workflow(middle).workflow(top).start().await.expect("an engine")
}

/// A parent, its children and grandchildren, on an engine with a small capacity, stopped and restarted at any moment.
#[tokio::test(start_paused = true)]
async fn a_small_capacity_is_enough_at_any_moment() {
    for (after, capacity, what) in (1..420)
        .step_by(26)
        .flat_map(|after| [(1, 0), (1, 1), (1, 2), (2, 3)].map(|(capacity, what)| (after, capacity, what)))
    {
        let store = slow();
        let when = format!("{capacity} capacity, {what} after {after} ms");
        let one = with_capacity(store.clone(), capacity).await;
        let run = one.run("top").id("r").start().await.expect("a run");
        tokio::time::sleep(ms(after)).await;
        let paused = what == 1 && run.pause("lunch").await.is_ok();
        let kids = super::world::children(&one, "r").await;
        if what == 2
            && let Some(kid) = kids.first()
        {
            let kid = one.handle(kid).expect("a handle");
            if kid.pause("lunch").await.is_ok() {
                tokio::time::sleep(secs(3)).await;
                kid.resume().await.expect("it is paused");
            }
        }
        let (engine, run) = if what == 3 {
            one.shutdown().await;
            let two = with_capacity(store.clone(), capacity).await;
            let run = two.handle("r").expect("a handle");
            (two, run)
        } else {
            (one, run)
        };
        if paused {
            tokio::time::sleep(secs(3)).await;
            run.resume().await.expect("it is paused");
        }
        let begin = Instant::now();
        let Outcome::Completed(output) = ended(&run, &when).await else { panic!("{when}") };
        // No run waits for a periodic check.
        assert!(begin.elapsed() < secs(10), "{when}: {:?}", begin.elapsed());
        assert_eq!(output.to::<u64>().expect("a number"), 6, "{when}");
        tokio::time::sleep(secs(60)).await;
        assert_eq!(engine.health().await.live, 0, "{when}");
        // The full capacity is available again.
        let late = engine.run("top").id("late").start().await.expect("a run");
        let begin = Instant::now();
        ended(&late, &when).await;
        assert!(begin.elapsed() < secs(10), "{when}: {:?}", begin.elapsed());
        engine.shutdown().await;
    }
}
