//! Waits that are dropped, have a time limit, race, or are parked, which happens only when a task truly only waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::Winner;
use orkestra_core::prelude::*;

use super::moody::{Moods, MoodyStore};
use super::world::{engine, journal};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn run_of<M>(task: impl orkestra_core::IntoTask<M>, park_after: Duration) -> (Engine, Run) {
    let workflow = Workflow::new("w").node("n", task).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(park_after).workflow(workflow);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    (engine, run)
}

fn count(events: &[Event], kind: &str) -> usize {
    events.iter().filter(|event| format!("{event:?}").starts_with(kind)).count()
}

/// Reminds the person who is to answer, twice, and waits again.
async fn reminds(cx: Context, (): ()) -> TaskResult<String> {
    for round in 0..3 {
        tokio::select! {
            answer = cx.signal::<String>("answer") => return Ok(format!("{} in round {round}", answer?)),
            slept = cx.sleep(ms(300)) => slept?,
        }
    }
    Ok("nobody answered".into())
}

#[tokio::test(start_paused = true)]
async fn a_signal_in_the_second_round_of_a_select_is_received_there() {
    for park_after in [ms(1), secs(1)] {
        let (_engine, run) = run_of(reminds, park_after).await;
        tokio::time::sleep(ms(450)).await;
        run.signal("answer", "yes").await.expect("it waits");
        assert_eq!(run.output::<String>().await.expect("an output"), "yes in round 1");
        assert_eq!(count(&journal(&run).await, "WaitLetGo"), 2, "of the first round and the last sleep");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_select_ends_after_all_rounds() {
    for park_after in [ms(1), secs(1)] {
        let (_engine, run) = run_of(reminds, park_after).await;
        assert_eq!(run.output::<String>().await.expect("an output"), "nobody answered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_of_a_losing_wait_goes_to_the_next() {
    async fn both(cx: Context, (): ()) -> TaskResult<String> {
        let fast = tokio::select! {
            biased;
            answer = cx.signal::<String>("other") => answer?,
            answer = cx.signal::<String>("answer") => answer?,
        };
        let (next, last): (String, String) = (cx.signal("answer").await?, cx.signal("answer").await?);
        Ok(format!("{fast}, {next}, {last}"))
    }
    // Both have arrived when the task is called again after a park: one is taken, the other is returned.
    let (_engine, run) = run_of(both, ms(1)).await;
    tokio::time::sleep(ms(100)).await;
    run.pause("so that both come at once").await.expect("it runs");
    run.signal("answer", "second").await.expect("it waits");
    run.signal("other", "first").await.expect("it waits");
    run.signal("answer", "third").await.expect("it waits");
    run.resume().await.expect("it is paused");
    assert_eq!(run.output::<String>().await.expect("an output"), "first, second, third");
}

#[tokio::test(start_paused = true)]
async fn work_next_to_a_wait_is_not_dropped() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    async fn calls(cx: Context, (): ()) -> TaskResult<String> {
        BEGUN.fetch_add(1, SeqCst);
        tokio::select! {
            biased;
            () = tokio::time::sleep(secs(20)) => Ok("answered".into()),
            slept = cx.sleep(secs(40)) => { slept?; Ok("timed out".into()) }
        }
    }
    let (_engine, run) = run_of(calls, ms(5)).await;
    assert_eq!(run.output::<String>().await.expect("an output"), "answered");
    assert_eq!(BEGUN.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_work_next_to_a_wait_is_detected() {
    async fn works(cx: Context, how: String) -> TaskResult<String> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match how.as_str() {
            "a spawned task" => Box::pin(async { drop(tokio::spawn(tokio::time::sleep(secs(5))).await) }),
            "a channel" => {
                tokio::spawn(async {
                    tokio::time::sleep(secs(5)).await;
                    sender.send(()).ok();
                });
                Box::pin(async { drop(receiver.await) })
            }
            "a time limit" => Box::pin(async { drop(tokio::time::timeout(secs(5), cx.signal::<()>("never")).await) }),
            "a spawned user of the context" => {
                let cx = cx.clone();
                let slow = async move {
                    tokio::time::sleep(secs(5)).await;
                    cx.step("slow", || async { TaskResult::Ok(()) }).await
                };
                Box::pin(async { drop(tokio::spawn(slow).await) })
            }
            _ => Box::pin(async {
                let many: Vec<_> = (0..40).map(|_| tokio::time::sleep(secs(5))).collect();
                futures_util::future::join_all(many).await;
            }),
        };
        tokio::select! {
            biased;
            () = work => Ok("worked".into()),
            slept = cx.sleep(secs(20)) => { slept?; Ok("slept".into()) }
        }
    }
    for how in ["a spawned task", "a channel", "a time limit", "a spawned user of the context", "many timers"] {
        let workflow = Workflow::new("w").node("n", works).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").input(how).expect("json").start().await.expect("a run");
        assert_eq!(run.output::<String>().await.expect("an output"), "worked", "{how}");
        assert_eq!(count(&journal(&run).await, "TaskParked"), 0, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_only_wait_are_parked_whatever_their_form() {
    async fn waits(cx: Context, how: String) -> TaskResult<String> {
        match how.as_str() {
            "join" => {
                let (a, b) = tokio::join!(cx.signal::<u8>("go"), cx.sleep(secs(1)));
                b?;
                Ok(a?.to_string())
            }
            "cancelled" => tokio::select! {
                biased;
                go = cx.signal::<u8>("go") => Ok(go?.to_string()),
                () = cx.cancelled() => Ok("cancelled".into()),
            },
            "race" => match cx.race("r", cx.signal::<u8>("go"), cx.sleep(days(1))).await? {
                Winner::First(go) => Ok(go?.to_string()),
                Winner::Second(slept) => slept.map(|()| "slept".into()),
            },
            "timeout" => Ok(cx.signal::<u8>("go").timeout(days(1)).await?.to_string()),
            _ => {
                let all: Vec<u8> = cx.map_runs("all", 2, "gate", [(), (), ()]).await?;
                Ok(all[0].to_string())
            }
        }
    }
    for how in ["join", "cancelled", "race", "timeout", "map"] {
        let gate = Workflow::new("gate").gate::<u8>("go").build().expect("a workflow");
        let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
        let builder = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).workflow(gate);
        let engine = builder.start().await.expect("an engine");
        let run = engine.run("w").id("r").input(how).expect("json").start().await.expect("a run");
        tokio::time::sleep(secs(2)).await;
        assert_eq!(engine.health().await.live, 0, "{how}: a run that only waits is not in memory");
        drop(run.signal("go", &7).await);
        for _ in 0..2 {
            let query = RunQuery { parent: Some(run.id().clone()), ..RunQuery::default() };
            for child in engine.list(&query).await.expect("a store").items {
                let child = engine.get(&child.id).await.expect("a store").expect("it exists");
                drop(child.signal("go", &7).await);
            }
            tokio::time::sleep(secs(2)).await;
        }
        assert_eq!(run.output::<String>().await.expect("an output"), "7", "{how}");
        assert!(count(&journal(&run).await, "TaskParked") > 0, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_with_a_time_limit_ends_and_later_waits_get_the_signal() {
    async fn limited(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let kind = |error: TaskError| error.failure().kind.clone();
        let signal = cx.signal::<String>("go").timeout(secs(3)).await.unwrap_or_else(kind);
        let answer = cx.ask::<String>("well?").timeout(secs(3)).await.unwrap_or_else(kind);
        let child = cx.child::<String>("one", "gate", ()).timeout(secs(3)).await.unwrap_or_else(kind);
        let later = cx.signal::<String>("go").timeout(secs(30)).await?;
        Ok(vec![signal, answer, child, later])
    }
    let gate = Workflow::new("gate").gate::<String>("open").build().expect("a workflow");
    let workflow = Workflow::new("w").node("n", limited).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).workflow(gate);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(12)).await;
    run.signal("go", "late").await.expect("it waits");
    let said: Vec<String> = run.output().await.expect("an output");
    assert_eq!(said, ["timed_out", "timed_out", "timed_out", "late"]);
    let query = RunQuery { parent: Some(run.id().clone()), ..RunQuery::default() };
    let children = engine.list(&query).await.expect("a store").items;
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].status, RunStatus::Cancelled, "what is not waited for is cancelled");
}

#[tokio::test(start_paused = true)]
async fn the_winner_of_a_race_is_remembered() {
    static WORKED: AtomicU32 = AtomicU32::new(0);
    async fn races(cx: Context, (): ()) -> TaskResult<String> {
        let work = async {
            WORKED.fetch_add(1, SeqCst);
            tokio::time::sleep(ms(200)).await;
            "work"
        };
        let won = match cx.race("r", work, cx.sleep(ms(100))).await? {
            Winner::First(text) => text.to_owned(),
            Winner::Second(slept) => slept.map(|()| "sleep".to_owned())?,
        };
        cx.sleep(secs(5)).await?;
        Ok(won)
    }
    let (_engine, run) = run_of(races, ms(5)).await;
    assert_eq!(run.output::<String>().await.expect("an output"), "sleep");
    assert_eq!(WORKED.load(SeqCst), 1, "what has lost is not done again");
}

#[tokio::test(start_paused = true)]
async fn an_at_most_once_step_starts_once_however_often_it_is_dropped() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let mut said = Vec::new();
        for _ in 0..3 {
            let work = || async {
                PAID.fetch_add(1, SeqCst);
                tokio::time::sleep(secs(1)).await;
                TaskResult::Ok(())
            };
            let pay = cx.step("pay", work).at_most_once();
            said.push(match tokio::time::timeout(ms(50), pay).await {
                Ok(Ok(())) => "paid".to_owned(),
                Ok(Err(error)) => error.failure().kind.clone(),
                Err(_) => "dropped".to_owned(),
            });
        }
        Ok(said)
    }
    let (_engine, run) = run_of(pays, ms(5)).await;
    assert_eq!(run.output::<Vec<String>>().await.expect("an output"), ["dropped", "interrupted", "interrupted"]);
    assert_eq!(PAID.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_keeps_its_child() {
    async fn tries(cx: Context, (): ()) -> TaskResult<String> {
        let fails = async {
            if cx.attempt() == 1 {
                tokio::time::sleep(ms(50)).await;
                return Err(TaskError::new("no luck"));
            }
            Ok(())
        };
        let (output, ()) = tokio::try_join!(cx.child::<u8>("one", "gate", ()), fails)?;
        Ok(output.to_string())
    }
    let gate = Workflow::new("gate").gate::<u8>("open").build().expect("a workflow");
    let workflow = Workflow::new("w").node("n", tries).retry(Retry::immediate(2)).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).workflow(gate);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    let query = RunQuery { parent: Some(run.id().clone()), ..RunQuery::default() };
    let children = engine.list(&query).await.expect("a store").items;
    assert_eq!(children.len(), 1, "the second attempt waits for the same run");
    let child = engine.get(&children[0].id).await.expect("a store").expect("it exists");
    child.signal("open", &7).await.expect("it waits");
    assert_eq!(run.output::<String>().await.expect("an output"), "7");
}

#[tokio::test(start_paused = true)]
async fn a_nondeterministic_task_fails_instead_of_waiting_for_ever() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    async fn changes(cx: Context, (): ()) -> TaskResult<u8> {
        if CALLS.fetch_add(1, SeqCst) == 0 {
            tokio::select! {
                biased;
                go = cx.signal::<u8>("go") => return go,
                slept = cx.sleep(ms(10)) => slept?,
            }
            cx.sleep(secs(1)).await?;
        }
        cx.signal("go").await
    }
    let (_engine, run) = run_of(changes, ms(50)).await;
    let ended = tokio::time::timeout(secs(60), run.outcome()).await.expect("it does not wait for ever");
    let Outcome::Failed { failure, .. } = ended.expect("an end") else { panic!("it fails") };
    assert_eq!(failure.kind, "not_repeatable");
}

#[tokio::test(start_paused = true)]
async fn leftovers_of_a_dropped_call_have_no_effect() {
    static LATE: AtomicU32 = AtomicU32::new(0);
    async fn leaves(cx: Context, (): ()) -> TaskResult<()> {
        let hands = cx.clone();
        tokio::spawn(async move {
            tokio::time::sleep(secs(1)).await;
            if hands.step("late", || async { TaskResult::Ok(LATE.fetch_add(1, SeqCst)) }).await.is_ok() {
                LATE.fetch_add(100, SeqCst);
            }
        });
        Ok(())
    }
    let (_engine, run) = run_of(leaves, ms(5)).await;
    run.outcome().await.expect("an end");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(LATE.load(SeqCst) / 100, 0, "its step is not remembered by anybody");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_question_cannot_be_answered_and_a_dropped_child_is_cancelled() {
    async fn asks(cx: Context, (): ()) -> TaskResult<()> {
        tokio::select! {
            biased;
            answer = cx.ask::<()>("well?") => answer,
            output = cx.child::<()>("one", "gate", ()) => output,
            slept = cx.sleep(ms(100)) => slept,
        }?;
        cx.sleep(days(1)).await
    }
    let gate = Workflow::new("gate").gate::<u8>("open").build().expect("a workflow");
    let workflow = Workflow::new("w").node("n", asks).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(ms(5)).workflow(workflow).workflow(gate);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(50)).await;
    let question = run.view().await.expect("a view").questions[0].id;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(run.answer(question, &()).await.expect_err("it is not open").kind(), ErrorKind::Conflict);
    let query = RunQuery { parent: Some(run.id().clone()), ..RunQuery::default() };
    assert_eq!(engine.list(&query).await.expect("a store").items[0].status, RunStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_step_is_not_recorded_and_its_key_can_be_used_again() {
    static DONE: AtomicU32 = AtomicU32::new(0);
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    async fn slow(cx: Context, (): ()) -> TaskResult<u32> {
        let work = |time: u64| async move {
            BEGUN.fetch_add(1, SeqCst);
            tokio::time::sleep(ms(time)).await;
            TaskResult::Ok(DONE.fetch_add(1, SeqCst))
        };
        let first = tokio::time::timeout(ms(50), cx.step("call", || work(100))).await;
        assert!(first.is_err(), "it takes too long, each time");
        let second = cx.step("call", || work(10)).await?;
        cx.sleep(secs(5)).await?;
        Ok(second)
    }
    let (_engine, run) = run_of(slow, ms(5)).await;
    assert_eq!(run.output::<u32>().await.expect("an output"), 0);
    assert_eq!(DONE.load(SeqCst), 1, "the second use is remembered, the first never ends");
    assert_eq!(BEGUN.load(SeqCst), 3, "the first begins again when the task is called again");
    let is_second = |event: &Event| matches!(event, Event::StepCompleted { step, .. } if step == "call#2");
    assert!(journal(&run).await.iter().any(is_second));
}

#[tokio::test(start_paused = true)]
async fn waits_in_a_join_run_concurrently() {
    async fn both(cx: Context, (): ()) -> TaskResult<u8> {
        let (first, second, slept) = tokio::join!(cx.signal::<u8>("go"), cx.signal::<u8>("go"), cx.sleep(secs(60)));
        slept?;
        Ok(10 * first? + second?)
    }
    let (_engine, run) = run_of(both, ms(5)).await;
    for signal in [1, 2] {
        run.signal("go", &signal).await.expect("it waits");
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(run.output::<u8>().await.expect("an output"), 12, "in the order in which they stand");
}

#[tokio::test(start_paused = true)]
async fn a_step_with_a_large_result_next_to_a_wait_runs_once() {
    for once in [false, true] {
        let done = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&done);
        let both = move |cx: Context, (): ()| {
            let done = Arc::clone(&counting);
            async move {
                let buys = || async {
                    done.fetch_add(1, SeqCst);
                    TaskResult::Ok("x".repeat(300_000))
                };
                let step = cx.step("buy", buys);
                let step = if once { step.at_most_once() } else { step };
                let (went, bought) = tokio::join!(cx.signal::<bool>("go"), step);
                went?;
                Ok(bought?.len())
            }
        };
        let store = MoodyStore::default();
        store.is(Moods { blob_takes: secs(3), ..Moods::default() });
        let workflow = Workflow::new("w").node("both", both).build().expect("a workflow");
        let engine = engine(store).park_after(ms(5)).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").start().await.expect("a run");
        tokio::time::sleep(secs(4)).await;
        run.signal("go", &true).await.expect("it waits");
        assert_eq!(run.output::<usize>().await.expect("an output"), 300_000);
        assert_eq!(done.load(SeqCst), 1, "at most once: {once}");
    }
}
