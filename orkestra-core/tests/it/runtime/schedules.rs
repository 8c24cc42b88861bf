//! Scheduled runs: each fire time once, despite crashes and with any number of engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_core::{CatchUp, Clock, EngineBuilder, FireOutcome, Overlap, Schedule};
use orkestra_testkit::{Fault, FaultyStore};

use super::world::{Effects, TokioClock, engine};

/// A workflow that takes this long, and counts its runs by their input.
fn work(effects: &Effects, takes: Duration) -> Workflow {
    let effects = effects.clone();
    let task = move |cx: Context, what: String| {
        let effects = effects.clone();
        async move {
            cx.step("count", || async {
                effects.did(&what);
                TaskResult::Ok(())
            })
            .await?;
            cx.sleep(takes).await
        }
    };
    Workflow::new("work").node("work", task).build().expect("a workflow")
}

fn every(seconds: u64) -> Schedule {
    let schedule = Schedule::every("s", "work", secs(seconds)).expect("a schedule");
    schedule.with_input("done").expect("json").with_label("team", "blue")
}

/// An engine whose clock shows this many seconds since the epoch.
fn engine_at(seconds: u64, store: impl Store) -> EngineBuilder {
    engine(store).clock(TokioClock::at(Timestamp::from_millis(1000 * seconds)))
}

async fn start(builder: EngineBuilder, effects: &Effects) -> Engine {
    builder.workflow(work(effects, Duration::ZERO)).start().await.expect("an engine")
}

async fn pass(seconds: u64) {
    tokio::time::sleep(secs(seconds)).await;
}

/// The ids of the runs that the schedule started, earliest first, without their common prefix.
async fn started(engine: &Engine) -> Vec<String> {
    let labels = [("schedule".to_owned(), "s".to_owned())].into();
    let page = engine.list(&RunQuery { labels, ..RunQuery::default() }).await.expect("a list");
    let mut ids: Vec<_> = page.items.iter().map(|run| run.id.trim_start_matches("s:19700101T").to_owned()).collect();
    ids.sort();
    ids
}

async fn last(engine: &Engine) -> FireOutcome {
    let status = engine.schedules().get("s").await.expect("a store").expect("the schedule");
    status.last.expect("it has fired").outcome
}

#[tokio::test(start_paused = true)]
async fn a_period_starts_a_run_at_each_fire_time() {
    let effects = Effects::default();
    let engine = start(engine(MemoryStore::new()), &effects).await;
    engine.schedules().put(every(60)).await.expect("it is put");
    pass(150).await;
    assert_eq!(started(&engine).await, ["001700Z", "001800Z", "001900Z"], "it is 00:16:40 at first");
    assert_eq!(effects.count("done"), 3);
    let run = engine.get("s:19700101T001800Z").await.expect("a store").expect("the run");
    let record = run.status().await.expect("a record");
    assert_eq!(record.labels["team"], "blue");
    assert_eq!(record.created_at.as_millis(), 1_080_000, "on time");

    let listed = engine.schedules().list().await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].next.expect("a time").as_millis(), 1_200_000);
    assert_eq!(last(&engine).await, FireOutcome::Started(RunId::new("s:19700101T001900Z").expect("an id")));
}

#[tokio::test(start_paused = true)]
async fn two_engines_start_each_run_once() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let one = start(engine(store.clone()), &effects).await;
    // Seven seconds slow: it finds fire times that the other engine has handled.
    let other = start(engine_at(993, store), &effects).await;
    one.schedules().put(every(10)).await.expect("it is put");
    // Put again by every engine that starts, as programs do.
    other.schedules().put(every(10)).await.expect("it is put");
    pass(605).await;
    assert_eq!(started(&one).await.len(), 60);
    assert_eq!(effects.count("done"), 60);
    // The first engine stops: the other goes on.
    one.shutdown().await;
    pass(600).await;
    assert_eq!(effects.count("done"), 119);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_put_by_one_engine_is_seen_by_the_other() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let builder = engine(store.clone());
    let without = builder.start().await.expect("an engine");
    let with = start(engine(store), &effects).await;
    without.schedules().put(every(10)).await.expect("it is put");
    pass(60).await;
    assert!(effects.count("done") >= 3, "within half a minute: {}", effects.count("done"));
    drop(with);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_loses_no_fire_time_and_doubles_none() {
    for nth in 1..=12 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let (store, effects) = (MemoryStore::new(), Effects::default());
            let crashing = FaultyStore::new(Arc::new(store.clone())).with_fault(nth, fault);
            let first = start(engine(crashing), &effects).await;
            let catching_up = every(60).with_catch_up(CatchUp::All { limit: 10 });
            first.schedules().put(catching_up.clone()).await.expect("it is put");
            pass(300).await;
            first.shutdown().await;
            store.drop_leases();

            let second = start(engine_at(1_300, store), &effects).await;
            second.schedules().put(catching_up).await.expect("it is put");
            pass(5).await;
            let expected = ["001700Z", "001800Z", "001900Z", "002000Z", "002100Z"];
            assert_eq!(started(&second).await, expected, "{fault:?} at {nth}");
            // A step whose process died before it was durable runs again: that is a rule of steps, not of schedules.
            assert!(matches!(effects.count("done"), 5 | 6), "{fault:?} at {nth}: {}", effects.count("done"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missed_fire_times_follow_the_catch_up_policy() {
    for (catch_up, expected) in [
        (CatchUp::Skip, vec!["002600Z"]),
        (CatchUp::One, vec!["002600Z"]),
        (CatchUp::All { limit: 2 }, vec!["002500Z", "002600Z"]),
    ] {
        let (store, effects) = (MemoryStore::new(), Effects::default());
        let first = start(engine(store.clone()), &effects).await;
        first.schedules().put(every(60).with_catch_up(catch_up)).await.expect("it is put");
        first.shutdown().await;

        let second = start(engine_at(1_610, store), &effects).await;
        pass(1).await;
        assert_eq!(started(&second).await, expected, "{catch_up:?}: it is 00:26:50");
    }
}

#[tokio::test(start_paused = true)]
async fn fire_times_long_past_are_skipped() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let first = start(engine(store.clone()), &effects).await;
    first.schedules().put(every(3600)).await.expect("it is put");
    first.shutdown().await;

    let second = start(engine_at(4 * 3600 + 61, store.clone()), &effects).await;
    pass(1).await;
    assert_eq!(started(&second).await, [""; 0]);
    assert_eq!(last(&second).await, FireOutcome::Missed);
    let status = second.schedules().get("s").await.expect("a store").expect("the schedule");
    assert_eq!(status.next.expect("a time").as_millis(), 5 * 3_600_000);

    // A policy that asks for it gets the last one, however long ago it was.
    second.schedules().put(every(3600).with_catch_up(CatchUp::One)).await.expect("it is put");
    second.shutdown().await;
    let third = start(engine_at(9 * 3600 - 10, store), &effects).await;
    pass(1).await;
    assert_eq!(started(&third).await, ["080000Z"]);
}

#[tokio::test(start_paused = true)]
async fn runs_do_not_overlap_when_forbidden() {
    let effects = Effects::default();
    let workflow = work(&effects, secs(90));
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    engine.schedules().put(every(60).with_overlap(Overlap::Skip)).await.expect("it is put");
    pass(100).await;
    assert_eq!(started(&engine).await, ["001700Z"]);
    assert_eq!(last(&engine).await, FireOutcome::Overlapped);
    pass(60).await;
    assert_eq!(started(&engine).await, ["001700Z", "001900Z"], "the first took until 00:18:30");
    pass(90).await;
    // A run started by hand counts as well.
    let by_hand = engine.schedules().trigger("s").await.expect("a run");
    assert!(by_hand.id().starts_with("s:by-hand:"), "{}", by_hand.id());
    let scheduled = effects.count("done");
    pass(50).await;
    assert_eq!(effects.count("done"), scheduled);
    assert_eq!(last(&engine).await, FireOutcome::Overlapped);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_paused_resumed_and_removed() {
    let effects = Effects::default();
    let engine = start(engine(MemoryStore::new()), &effects).await;
    let schedules = engine.schedules();
    schedules.put(every(60)).await.expect("it is put");
    schedules.pause("s").await.expect("it rests");
    // Put again at the next start of the program: the pause stays.
    schedules.put(every(60).with_catch_up(CatchUp::All { limit: 9 })).await.expect("it is put");
    pass(300).await;
    let status = schedules.get("s").await.expect("a store").expect("the schedule");
    assert!(status.paused && status.next.is_none());
    schedules.resume("s").await.expect("it continues");
    pass(30).await;
    assert_eq!(started(&engine).await, ["002200Z"], "fire times during the pause are skipped");

    assert!(schedules.remove("s").await.expect("it is removed"));
    assert!(!schedules.remove("s").await.expect("it does not exist"));
    assert!(schedules.list().await.expect("a list").is_empty());
    for missing in [schedules.pause("s").await, schedules.resume("s").await, schedules.trigger("s").await.map(drop)] {
        assert_eq!(missing.expect_err("it does not exist").kind(), ErrorKind::NotFound);
    }
    pass(300).await;
    assert_eq!(started(&engine).await.len(), 1);

    schedules.put(every(30)).await.expect("the name can be used again");
    pass(60).await;
    assert_eq!(started(&engine).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unregistered_workflow_is_reported_and_waited_for() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let without = engine(store.clone()).start().await.expect("an engine");
    without.schedules().put(every(600)).await.expect("it is put");
    pass(201).await;
    let status = without.schedules().get("s").await.expect("a store").expect("the schedule");
    assert_eq!(status.problem.expect("a reason").to_string(), "no workflow `work` is registered");
    let with = start(engine_at(1_201, store), &effects).await;
    pass(10).await;
    assert_eq!(started(&with).await, ["002000Z"]);
    let status = without.schedules().get("s").await.expect("a store").expect("the schedule");
    assert!(status.problem.is_none(), "{status:?}");
}

/// A clock that can be moved forward and back.
#[derive(Clone)]
struct Jumping(Arc<TokioClock>, Arc<AtomicU64>);

impl Jumping {
    fn new() -> Self {
        Self(Arc::new(TokioClock::new()), Arc::default())
    }

    /// Moves the clock this many seconds ahead.
    fn ahead(&self, seconds: u64) {
        self.1.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        self.0.now().saturating_add(secs(self.1.load(Ordering::SeqCst)))
    }
}

const YEAR: u64 = 31_536_000;

async fn next_of(engine: &Engine) -> u64 {
    let status = engine.schedules().get("s").await.expect("a store").expect("the schedule");
    status.next.expect("a time").as_millis() / 1000
}

#[tokio::test(start_paused = true)]
async fn a_clock_briefly_a_year_ahead_does_not_stop_a_schedule() {
    let effects = Effects::default();
    let clock = Jumping::new();
    let engine = start(engine(MemoryStore::new()).clock(clock.clone()), &effects).await;
    engine.schedules().put(every(60)).await.expect("it is put");
    pass(30).await;
    clock.ahead(YEAR);
    pass(45).await;
    clock.ahead(0);
    // It is 00:17:55: the engine sees it within half a minute.
    assert_eq!(next_of(&engine).await, 1080);
    pass(310).await;
    let runs = started(&engine).await;
    for expected in ["001700Z", "001900Z", "002000Z", "002100Z", "002200Z", "002300Z"] {
        assert!(runs.iter().any(|run| run == expected), "{expected} is not in {runs:?}");
    }
    assert_eq!(next_of(&engine).await, 1440);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_put_by_a_fast_clock_fires_after_a_restart_and_when_put_again() {
    for put_again in [false, true] {
        let (store, effects) = (MemoryStore::new(), Effects::default());
        let first = start(engine_at(YEAR, store.clone()), &effects).await;
        first.schedules().put(every(60)).await.expect("it is put");
        pass(61).await;
        first.shutdown().await;

        let second = start(engine(store), &effects).await;
        if put_again {
            second.schedules().put(every(60)).await.expect("it is put");
        }
        assert_eq!(next_of(&second).await, 1020);
        pass(150).await;
        let runs = started(&second).await;
        for expected in ["001700Z", "001800Z", "001900Z"] {
            assert!(runs.iter().any(|run| run == expected), "{expected} is not in {runs:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn runs_started_by_a_fast_clock_are_not_started_twice() {
    let effects = Effects::default();
    let clock = Jumping::new();
    let engine = start(engine(MemoryStore::new()).clock(clock.clone()), &effects).await;
    let schedule = every(60).with_range(None, Some(Timestamp::from_millis(1_300_000)));
    engine.schedules().put(schedule.with_catch_up(CatchUp::All { limit: 100 })).await.expect("it is put");
    pass(25).await;
    // All its fire times have passed, and none is left.
    clock.ahead(3600);
    pass(60).await;
    let all = started(&engine).await;
    assert_eq!(all, ["001700Z", "001800Z", "001900Z", "002000Z", "002100Z"]);
    clock.ahead(0);
    pass(600).await;
    assert_eq!((started(&engine).await, effects.count("done")), (all, 5));
}

/// A workflow whose first attempt fails and whose second waits for a signal.
fn fails_first() -> Workflow {
    let task = async |cx: Context, _what: String| {
        if cx.attempt() == 1 { Err(TaskError::permanent("no luck")) } else { cx.signal::<()>("go").await }
    };
    Workflow::new("work").node("work", task).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn reopened_and_paused_runs_are_not_overlapped() {
    let engine = engine(MemoryStore::new()).workflow(fails_first()).start().await.expect("an engine");
    engine.schedules().put(every(60).with_overlap(Overlap::Skip)).await.expect("it is put");
    // Long after the other runs have ended too.
    pass(60 * 40).await;
    let count = started(&engine).await.len();
    assert_eq!(count, 40);
    let first = engine.get(&RunId::new("s:19700101T001700Z").expect("an id")).await.expect("a store").expect("a run");
    first.retry("work").await.expect("it continues");
    pass(180).await;
    assert_eq!(started(&engine).await.len(), count);
    assert_eq!(last(&engine).await, FireOutcome::Overlapped);
    first.pause("lunch").await.expect("it is paused");
    pass(180).await;
    assert_eq!(started(&engine).await.len(), count);
    first.resume().await.expect("it continues");
    first.signal("go", &()).await.expect("it is sent");
    first.outcome().await.expect("an end");
    pass(61).await;
    assert_eq!(started(&engine).await.len(), count + 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_started_before_overlaps_were_forbidden_counts() {
    let effects = Effects::default();
    let workflow = work(&effects, secs(400));
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    engine.schedules().put(every(60)).await.expect("it is put");
    pass(30).await;
    engine.schedules().put(every(60).with_overlap(Overlap::Skip)).await.expect("it is put");
    pass(180).await;
    assert_eq!(started(&engine).await, ["001700Z"]);
}

#[cfg(feature = "schedules")]
#[tokio::test(start_paused = true)]
async fn a_cron_expression_keeps_its_hour_when_the_clocks_change() {
    let effects = Effects::default();
    // 28 March 2026, 12:00 UTC: clocks in Berlin move forward that night, at 01:00 UTC.
    let engine = start(engine_at(1_774_699_200, MemoryStore::new()), &effects).await;
    for (name, expression) in [("s", "30 2 * * *"), ("day", "0 8 * * *")] {
        let schedule = Schedule::cron(name, "work", expression, "Europe/Berlin").expect("a schedule");
        engine.schedules().put(schedule.with_input(name).expect("json")).await.expect("it is put");
    }
    let never = Schedule::cron("never", "work", "0 0 30 2 *", "UTC").expect("it is well written");
    let refused = engine.schedules().put(never).await.expect_err("there is no such day");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    pass(86_400).await;
    assert_eq!(started(&engine).await, ["s:20260329T010000Z"], "once, when 02:00 has become 03:00");
    pass(86_400).await;
    assert_eq!(started(&engine).await, ["s:20260329T010000Z", "s:20260330T003000Z"]);
    let days = RunQuery { labels: [("schedule".into(), "day".into())].into(), ..RunQuery::default() };
    let ids: Vec<_> = engine.list(&days).await.expect("a list").items.into_iter().map(|run| run.id).collect();
    assert_eq!(ids, ["day:20260330T060000Z", "day:20260329T060000Z"]);
}
