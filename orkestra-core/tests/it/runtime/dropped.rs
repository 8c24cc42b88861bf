//! What is dropped and what is kept over calls of one attempt, over attempts, and over the end of a process.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::prelude::*;

use super::moody::{Moods, MoodyStore};
use super::world::{children, engine, journal, only_child};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn run_of<M>(task: impl orkestra_core::IntoTask<M>) -> (Engine, Run) {
    let workflow = Workflow::new("w").node("n", task).retry(Retry::immediate(2)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    (engine, run)
}

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| format!("{event:?}").starts_with(kind)).count()
}

async fn one(value: u32) -> TaskResult<u32> {
    Ok(value)
}

#[tokio::test(start_paused = true)]
async fn keys_follow_the_order_in_which_steps_and_waits_are_made() {
    async fn swaps(cx: Context, (): ()) -> TaskResult<Vec<u32>> {
        let (first, second) = (cx.step("a", || one(1)), cx.step("a", || one(2)));
        let second = second.await?;
        let mut all = vec![first.await?, second];
        // Both are called `sleep`, and which one is polled first is random, anew in each call of the task.
        all.push(tokio::select! {
            slept = cx.sleep(ms(100)) => slept.map(|()| 3)?,
            slept = cx.sleep(days(1)) => slept.map(|()| 4)?,
        });
        cx.sleep(secs(1)).await?;
        Ok(all)
    }
    for _ in 0..20 {
        let (_engine, run) = run_of(swaps).await;
        assert_eq!(run.output::<Vec<u32>>().await.expect("an output"), [1, 2, 3]);
        let events = journal(&run).await;
        let done = events.iter().find_map(|event| match event {
            Event::StepCompleted { step, .. } => Some(step.as_str()),
            _ => None,
        });
        assert_eq!(done, Some("a#2"), "the one that was made second is done first");
        assert!(count(&events, "TaskParked") > 1, "it was called again");
    }
}

/// The first attempt drops a wait for `go`, and is called again by another process when `go` has arrived.
#[tokio::test(start_paused = true)]
async fn the_same_branch_wins_after_a_crash_and_a_later_attempt_waits_anew() {
    async fn tries(cx: Context, (): ()) -> TaskResult<String> {
        if cx.attempt() > 1 {
            return cx.signal("go").await;
        }
        let said = tokio::select! {
            biased;
            go = cx.signal::<String>("go") => go?,
            slept = cx.sleep(ms(100)) => slept.map(|()| "nobody".into())?,
        };
        let on: String = cx.signal("on").await?;
        Err(TaskError::new(format!("{said} {on}")))
    }
    let store = MemoryStore::new();
    let workflow = Workflow::new("w").node("n", tries).retry(Retry::immediate(2)).build().expect("a workflow");
    let start = || engine(store.clone()).worker("one").workflow(workflow.clone()).start();
    let first = start().await.expect("an engine");
    let run = first.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(300)).await;
    // The first engine is fenced, which is as good as dead.
    let second = start().await.expect("an engine");
    let run = second.handle(run.id()).expect("an id");
    run.signal("go", "yes").await.expect("it waits");
    run.signal("on", "on").await.expect("it waits");
    assert_eq!(run.output::<String>().await.expect("an output"), "yes");
    let events = journal(&run).await;
    assert_eq!(count(&events, "Recovered"), 1);
    let failed = events.iter().find_map(|event| match event {
        Event::AttemptFailed { failure, .. } => Some(failure.message.as_str()),
        _ => None,
    });
    assert_eq!(failed, Some("nobody on"), "the first attempt did the same again");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_keeps_its_timer_and_its_question() {
    async fn tries(cx: Context, (): ()) -> TaskResult<u8> {
        let fails = async {
            if cx.attempt() == 1 {
                tokio::time::sleep(secs(4)).await;
                return Err(TaskError::new("no luck"));
            }
            Ok(())
        };
        let ((), answer, ()) = tokio::try_join!(cx.sleep(secs(10)), cx.ask::<u8>("well?"), fails)?;
        Ok(answer)
    }
    let (_engine, run) = run_of(tries).await;
    let began = tokio::time::Instant::now();
    tokio::time::sleep(secs(1)).await;
    let question = run.view().await.expect("a view").questions[0].id;
    tokio::time::sleep(secs(5)).await;
    run.answer(question, &7).await.expect("the second attempt waits for the same answer");
    assert_eq!(run.output::<u8>().await.expect("an output"), 7);
    assert_eq!(began.elapsed().as_secs(), 10, "the end of the wait has not moved");
    let events = journal(&run).await;
    assert_eq!([count(&events, "TimerSet"), count(&events, "QuestionAsked"), count(&events, "WaitLetGo")], [1, 1, 0]);
}

/// The failure of the first attempt and its signal arrive at the same time, after a pause.
#[tokio::test(start_paused = true)]
async fn a_signal_not_taken_by_a_failed_attempt_goes_to_the_next() {
    async fn tries(cx: Context, (): ()) -> TaskResult<String> {
        let fails = async {
            cx.sleep(secs(1)).await?;
            if cx.attempt() == 1 { Err(TaskError::new("no luck")) } else { Ok(()) }
        };
        if cx.attempt() == 1 {
            return Ok(tokio::try_join!(fails, cx.signal::<String>("go"))?.1);
        }
        // It ended in the first attempt, and stays ended.
        cx.sleep(secs(1)).await?;
        // Another wait, independent of the first one.
        let later: String = cx.scope("later")?.signal("go").timeout(secs(60)).await?;
        Ok(format!("{later} in attempt {}", cx.attempt()))
    }
    let began = tokio::time::Instant::now();
    let (_engine, run) = run_of(tries).await;
    tokio::time::sleep(ms(100)).await;
    run.pause("so that both are over at once").await.expect("it runs");
    run.signal("go", "it came").await.expect("it waits");
    tokio::time::sleep(secs(3)).await;
    run.resume().await.expect("it is paused");
    assert_eq!(run.output::<String>().await.expect("an output"), "it came in attempt 2");
    assert_eq!(began.elapsed().as_secs(), 3);
}

/// A question ends once for all attempts; each attempt has its own wait for a signal.
#[tokio::test(start_paused = true)]
async fn a_question_keeps_its_time_limit_over_attempts_and_a_signal_does_not() {
    async fn tries(cx: Context, which: String) -> TaskResult<u32> {
        let fails = async {
            tokio::time::sleep(secs(if cx.attempt() == 1 { 6 } else { 60 })).await;
            Err::<(), _>(TaskError::new("no luck"))
        };
        let wait = if which == "ask" { cx.ask::<()>("well?") } else { cx.signal::<()>("go") };
        match tokio::try_join!(wait.timeout(secs(10)), fails) {
            Err(error) if error.failure().kind == "timed_out" => Ok(cx.attempt()),
            other => other.map(|_| 0),
        }
    }
    for (which, seconds) in [("ask", 10), ("signal", 16)] {
        let workflow = Workflow::new("w").node("n", tries).retry(Retry::immediate(2)).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
        let began = tokio::time::Instant::now();
        let run = engine.run("w").input(which).expect("json").start().await.expect("a run");
        assert_eq!(run.output::<u32>().await.expect("an output"), 2);
        assert_eq!(began.elapsed().as_secs(), seconds, "{which}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_timed_out_stays_timed_out_in_later_attempts() {
    async fn tries(cx: Context, (): ()) -> TaskResult<(u32, String)> {
        let error = cx.signal::<()>("go").timeout(secs(10)).await.expect_err("it is never sent");
        if cx.attempt() == 1 {
            Err(TaskError::new("no luck"))
        } else {
            Ok((cx.attempt(), error.failure().kind.clone()))
        }
    }
    let began = tokio::time::Instant::now();
    let (_engine, run) = run_of(tries).await;
    assert_eq!(run.output::<(u32, String)>().await.expect("an output"), (2, "timed_out".into()));
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn retrying_a_node_repeats_failed_steps_except_at_most_once_ones() {
    static CALLS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    async fn fails_once(of: usize) -> TaskResult<()> {
        if CALLS[of].fetch_add(1, SeqCst) == 0 { Err(TaskError::permanent("locked")) } else { Ok(()) }
    }
    async fn tries(cx: Context, (): ()) -> TaskResult<bool> {
        let waited = cx.signal::<()>("go").timeout(secs(1)).await;
        let plain = cx.step("plain", || fails_once(0)).await;
        let once = cx.step("once", || fails_once(1)).at_most_once().await;
        waited.and(plain).map(|()| once.is_ok())
    }
    let (_engine, run) = run_of(tries).await;
    assert!(matches!(run.outcome().await, Ok(Outcome::Failed { .. })));
    run.retry("n").await.expect("it failed");
    run.signal("go", &()).await.expect("it continues");
    assert!(!run.output::<bool>().await.expect("an output"));
    assert_eq!([CALLS[0].load(SeqCst), CALLS[1].load(SeqCst)], [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_retried_node_starts_a_new_child_for_a_cancelled_one() {
    async fn asks(cx: Context, (): ()) -> TaskResult<u8> {
        let fails = async {
            tokio::time::sleep(secs(1)).await;
            if cx.attempt() == 1 { Err(TaskError::permanent("no luck")) } else { Ok(()) }
        };
        Ok(tokio::try_join!(cx.child("one", "gate", ()), fails)?.0)
    }
    let gate = Workflow::new("gate").gate::<u8>("open").build().expect("a workflow");
    let workflow = Workflow::new("w").node("n", asks).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(gate).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    assert!(matches!(run.outcome().await, Ok(Outcome::Failed { .. })));
    let first = only_child(&engine, "r").await.expect("a child");
    assert!(matches!(first.outcome().await, Ok(Outcome::Cancelled(_))));
    run.retry("n").await.expect("it failed");
    tokio::time::sleep(secs(5)).await;
    let second = children(&engine, "r").await.into_iter().find(|child| child != first.id()).expect("another child");
    engine.handle(second).expect("an id").signal("open", &7).await.expect("it waits");
    assert_eq!(run.output::<u8>().await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_left_behind_by_a_park_has_no_effect() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static LATE: AtomicU32 = AtomicU32::new(0);
    async fn leaves(cx: Context, (): ()) -> TaskResult<()> {
        if CALLS.fetch_add(1, SeqCst) == 0 {
            let hands = cx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(secs(1)).await;
                if hands.step("late", || one(1)).await.is_ok() || hands.sleep(ms(1)).await.is_ok() {
                    LATE.fetch_add(1, SeqCst);
                }
            });
        }
        cx.sleep(secs(60)).await
    }
    let (_engine, run) = run_of(leaves).await;
    run.output::<()>().await.expect("an output");
    assert_eq!((CALLS.load(SeqCst), LATE.load(SeqCst)), (2, 0));
    assert_eq!(count(&journal(&run).await, "StepCompleted"), 0);
}

/// It is dropped while its start is being written.
#[tokio::test(start_paused = true)]
async fn an_at_most_once_step_dropped_before_its_work_can_start_again() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, (): ()) -> TaskResult<u32> {
        let pay = || cx.step("pay", || async { TaskResult::Ok(PAID.fetch_add(1, SeqCst)) }).at_most_once();
        let first = tokio::time::timeout(ms(20), pay().into_future()).await;
        assert!(first.is_err(), "a write takes longer");
        let second = pay().await?;
        cx.sleep(secs(1)).await?;
        Ok(second)
    }
    let workflow = Workflow::new("w").node("n", pays).build().expect("a workflow");
    let store = MoodyStore::default();
    store.is(Moods { appends_take: ms(40), ..Moods::default() });
    let engine = engine(store).park_after(ms(50)).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    assert_eq!(run.output::<u32>().await.expect("an output"), 0);
    assert_eq!(PAID.load(SeqCst), 1);
    let events = journal(&run).await;
    assert_eq!(count(&events, "StepNotBegun"), 2, "in both calls of the task: {events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_interrupts_only_at_most_once_steps() {
    async fn works(cx: Context, once: bool) -> TaskResult<String> {
        let work = || async {
            tokio::time::sleep(secs(5)).await;
            TaskResult::Ok("done".to_owned())
        };
        let step = cx.step("work", work);
        let worked = if once { step.at_most_once().await } else { step.await };
        Ok(worked.unwrap_or_else(|error| error.failure().kind.clone()))
    }
    for (once, said) in [(true, "interrupted"), (false, "done")] {
        let store = MemoryStore::new();
        let workflow = Workflow::new("w").node("n", works).build().expect("a workflow");
        let start = || engine(store.clone()).workflow(workflow.clone()).start();
        let first = start().await.expect("an engine");
        let run = first.run("w").id("r").input(&once).expect("json").start().await.expect("a run");
        tokio::time::sleep(secs(1)).await;
        first.shutdown().await;
        let second = start().await.expect("an engine");
        let run = second.handle(run.id()).expect("an id");
        assert_eq!(run.output::<String>().await.expect("an output"), said);
        assert_eq!(count(&journal(&run).await, "Released"), 1);
    }
}

/// The numbers in `docs/verbs.md` under "Steps or nodes".
#[tokio::test(start_paused = true)]
async fn the_number_of_writes_of_steps_nodes_and_waits() {
    async fn works(cx: Context, what: String) -> TaskResult<()> {
        match what.as_str() {
            "step" => cx.step("s", || one(1)).await.map(drop),
            "once" => cx.step("s", || one(1)).at_most_once().await.map(drop),
            "sleep" => cx.sleep(ms(1)).await,
            "parked sleep" => cx.sleep(secs(60)).await,
            "child" => cx.child("c", "works", "nothing").await,
            _ => Ok(()),
        }
    }
    async fn commits(run: &Run) -> usize {
        run.commits(Cursor::START).await.expect("a store").len()
    }
    let one_node = Workflow::new("works").node("n", works).build().expect("a workflow");
    let two = Workflow::new("two").node("a", works).node("b", async |_: Context, (): ()| TaskResult::Ok(())).after("a");
    let engine = engine(MemoryStore::new()).park_after(secs(1)).workflow(one_node);
    let engine = engine.workflow(two.build().expect("a workflow")).start().await.expect("an engine");
    let wrote = async |workflow: &str, what: &str| {
        let run = engine.run(workflow).input(what).expect("json").start().await.expect("a run");
        run.output::<()>().await.expect("an output");
        tokio::time::sleep(secs(5)).await;
        let query = RunQuery { parent: Some(run.id().clone()), ..RunQuery::default() };
        let children = engine.list(&query).await.expect("a store").items;
        let mut all = vec![commits(&run).await];
        for child in children {
            all.push(commits(&engine.handle(&child.id).expect("an id")).await);
        }
        all
    };
    assert_eq!(wrote("works", "nothing").await, [2], "its beginning and its end");
    assert_eq!(wrote("two", "nothing").await, [3], "a node more is a write more");
    assert_eq!(wrote("works", "step").await, [3]);
    assert_eq!(wrote("works", "once").await, [4]);
    assert_eq!(wrote("works", "sleep").await, [4]);
    assert_eq!(wrote("works", "parked sleep").await, [5]);
    assert_eq!(wrote("works", "child").await, [4, 3], "that the parent was told is a write too");
}
