//! Nothing starts while a run is paused, and nothing counts as started that did not start. A cancelled task retries
//! nothing.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::model::Amount;
use orkestra_core::prelude::*;

use super::world::{engine, journal};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn run_of<M>(task: impl orkestra_core::IntoTask<M>) -> (Engine, Run) {
    let workflow = Workflow::new("w").node("pays", task).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(ms(100)).workflow(workflow);
    let engine = builder.start().await.expect("an engine");
    let request = engine.run("w").id("r").budget("usd", Amount::whole(1)).expect("a meter");
    let run = request.start().await.expect("a run");
    (engine, run)
}

#[tokio::test(start_paused = true)]
async fn a_pause_before_an_at_most_once_step_does_not_interrupt_it() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, once: bool) -> TaskResult<()> {
        tokio::time::sleep(ms(300)).await;
        let pay = cx.step("pay", || async {
            PAID.fetch_add(1, SeqCst);
            TaskResult::Ok(())
        });
        if once { pay.at_most_once().await } else { pay.await }
    }
    for once in [true, false] {
        PAID.store(0, SeqCst);
        let workflow = Workflow::new("w").node("pays", pays).build().expect("a workflow");
        let builder = engine(MemoryStore::new()).park_after(ms(100)).workflow(workflow);
        let engine = builder.start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&once).expect("json").start().await.expect("a run");
        tokio::time::sleep(ms(100)).await;
        run.pause("lunch").await.expect("it runs");
        tokio::time::sleep(secs(5)).await;
        assert_eq!(PAID.load(SeqCst), 0, "nothing starts while a run is paused");
        assert_eq!(engine.health().await.live, 0, "a paused run costs no memory");
        run.resume().await.expect("it is paused");
        assert_eq!(run.outcome().await.expect("an end"), Outcome::Completed(Payload::null()));
        assert_eq!(PAID.load(SeqCst), 1);
    }
}

/// The pause comes at any moment around the start of the step.
#[tokio::test(start_paused = true)]
async fn a_pause_at_any_moment_lets_an_at_most_once_step_start_once() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, (): ()) -> TaskResult<()> {
        tokio::task::yield_now().await;
        let pay = || async {
            PAID.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            TaskResult::Ok(())
        };
        cx.step("pay", pay).at_most_once().await?;
        cx.step("book", || async { TaskResult::Ok(()) }).await
    }
    for turns in 0..40 {
        PAID.store(0, SeqCst);
        let (_engine, run) = run_of(pays).await;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if run.pause("lunch").await.is_ok() {
            let begun = PAID.load(SeqCst);
            tokio::time::sleep(secs(5)).await;
            assert_eq!(PAID.load(SeqCst), begun, "after {turns} turns: it was paused, and then something began");
            run.resume().await.expect("it is paused");
        }
        assert_eq!(run.outcome().await.expect("an end"), Outcome::Completed(Payload::null()), "after {turns} turns");
        assert_eq!(PAID.load(SeqCst), 1, "after {turns} turns");
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_reached_next_to_an_at_most_once_step_does_not_interrupt_it() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, (): ()) -> TaskResult<()> {
        let spend = cx.charge([("usd", Amount::whole(2))]);
        let pay = cx.step("pay", || async {
            PAID.fetch_add(1, SeqCst);
            TaskResult::Ok(())
        });
        let (spent, paid) = tokio::join!(spend, pay.at_most_once());
        spent?;
        paid
    }
    let (_engine, run) = run_of(pays).await;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Paused);
    run.set_budget("usd", None).await.expect("it may");
    run.resume().await.expect("it is paused");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Completed(Payload::null()));
    assert_eq!(PAID.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_starts_no_child_and_asks_no_question() {
    async fn asks(cx: Context, (): ()) -> TaskResult<String> {
        tokio::time::sleep(ms(300)).await;
        let (child, answer) = tokio::join!(cx.child::<()>("one", "nowhere", 1), cx.ask::<String>("well?"));
        drop(child);
        answer
    }
    let (_engine, run) = run_of(asks).await;
    tokio::time::sleep(ms(100)).await;
    run.pause("lunch").await.expect("it runs");
    tokio::time::sleep(secs(5)).await;
    let events = run.view().await.expect("a view");
    assert!(events.questions.is_empty(), "no question is asked");
    run.resume().await.expect("it is paused");
    tokio::time::sleep(secs(1)).await;
    let question = run.view().await.expect("a view").questions[0].id;
    run.answer(question, "yes").await.expect("it is open");
    assert_eq!(run.output::<String>().await.expect("an output"), "yes");
    let events = journal(&run).await;
    let place = |kind: &str| events.iter().position(|event| format!("{event:?}").starts_with(kind));
    assert!(place("RunResumed") < place("ChildRequested") && place("RunResumed") < place("QuestionAsked"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_stops_retrying_its_step() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    async fn calls(cx: Context, (): ()) -> TaskResult<()> {
        let call = || async {
            CALLS.fetch_add(1, SeqCst);
            Err::<(), _>(TaskError::new("down"))
        };
        cx.step("call", call).retry(Retry::exponential(9).with_initial(ms(400)).with_jitter(0.0)).await
    }
    let (_engine, run) = run_of(calls).await;
    tokio::time::sleep(ms(200)).await;
    let (before, at) = (CALLS.load(SeqCst), tokio::time::Instant::now());
    run.cancel("enough").await.expect("it runs");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Cancelled("enough".into()));
    assert!(at.elapsed() < ms(50), "it took {:?}", at.elapsed());
    assert_eq!(CALLS.load(SeqCst), before);
}

#[tokio::test(start_paused = true)]
async fn a_step_in_backoff_is_not_retried_during_a_pause() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    async fn calls(cx: Context, (): ()) -> TaskResult<()> {
        let call = || async { if CALLS.fetch_add(1, SeqCst) == 0 { Err(TaskError::new("down")) } else { Ok(()) } };
        cx.step("call", call).retry(Retry::exponential(9).with_initial(ms(400)).with_jitter(0.0)).at_most_once().await
    }
    let (_engine, run) = run_of(calls).await;
    tokio::time::sleep(ms(200)).await;
    run.pause("lunch").await.expect("it runs");
    tokio::time::sleep(secs(5)).await;
    assert_eq!(CALLS.load(SeqCst), 1);
    run.resume().await.expect("it is paused");
    assert_eq!(run.outcome().await.expect("an end"), Outcome::Completed(Payload::null()));
    assert_eq!(CALLS.load(SeqCst), 2);
}
