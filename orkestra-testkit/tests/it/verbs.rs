//! The harnesses on tasks that combine verbs: racing waits, children with similar keys, retries after a child's failure,
//! at-most-once steps and pauses.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use orkestra_core::EngineBuilder;
use orkestra_core::prelude::*;
use orkestra_testkit::{Counter, Harness, VirtualClock, run};

type BoxedTask<T> = Pin<Box<dyn Future<Output = TaskResult<T>> + Send>>;

/// A counted step, which returns its node and key.
async fn counted(cx: &Context, counter: &Counter, key: &str) -> TaskResult<String> {
    cx.step(key, || async {
        counter.count(cx, key);
        TaskResult::Ok(format!("{} did {key}", cx.node()))
    })
    .await
}

/// Asserts that a workflow of one node has the same outcome wherever its process dies, and when each attempt is repeated.
fn assert_sound<D, F>(counter: &Counter, build: impl Fn(EngineBuilder) -> EngineBuilder + Clone + 'static, drive: D)
where
    D: Fn(Engine) -> F + Clone + 'static,
    F: Future<Output = Result<Run, Error>> + 'static,
{
    let harness = || Harness::new(build.clone(), drive.clone()).with_counter(counter);
    let report = run(harness().crash_after_every_commit());
    report.assert_sound();
    assert!(report.trials > 4, "{report}");
    run(harness().repeat_each_attempt()).assert_sound();
}

#[test]
fn a_task_that_is_reminded_while_it_waits_for_a_signal_receives_it() {
    let ask = |cx: Context, (): ()| -> BoxedTask<String> {
        Box::pin(async move {
            for round in 0..5 {
                tokio::select! {
                    biased;
                    answer = cx.signal::<String>("answer") => return answer,
                    slept = cx.sleep(Duration::from_millis(300)) => slept?,
                }
                // Not counted: a new process sends the signal later, so there are more of these steps.
                cx.step(format!("remind {round}"), || async { TaskResult::Ok(()) }).await?;
            }
            Ok("nobody answered".to_owned())
        })
    };
    let build = move |engine: EngineBuilder| {
        engine.workflow(Workflow::new("ask").node("ask", ask).build().expect("a workflow"))
    };
    let drive = |engine: Engine| async move {
        let run = engine.run("ask").id("r").start().await?;
        // In the second round, before the task is parked: the wait of the first round was dropped and must not take the signal.
        tokio::time::sleep(Duration::from_millis(450)).await;
        run.signal("answer", "yes").await?;
        Ok(run)
    };
    assert_sound(&Counter::new(), build, drive);
}

#[test]
fn a_signal_that_misses_a_time_limit_goes_to_the_next_wait() {
    let counter = Counter::new();
    let counting = counter.clone();
    let task = move |cx: Context, (): ()| -> BoxedTask<Vec<String>> {
        let counter = counting.clone();
        Box::pin(async move {
            let early = tokio::select! {
                biased;
                slept = cx.sleep(secs(5)) => { slept?; None }
                early = cx.signal::<String>("late") => Some(early?),
            };
            let done = counted(&cx, &counter, "between").await?;
            let late = match early {
                Some(early) => early,
                None => cx.signal::<String>("late").await?,
            };
            Ok(vec![done, late])
        })
    };
    let build = move |engine: EngineBuilder| {
        let workflow = Workflow::new("late").node("first", task.clone()).build();
        engine.workflow(workflow.expect("a workflow"))
    };
    let drive = |engine: Engine| async move {
        let run = engine.run("late").id("r").start().await?;
        tokio::time::sleep(secs(10)).await;
        run.signal("late", "here").await?;
        Ok(run)
    };
    assert_sound(&counter, build, drive);
}

/// A workflow that echoes its input, and one whose task starts many runs of it.
fn echoing(
    engine: EngineBuilder,
    task: impl Fn(Context, ()) -> BoxedTask<usize> + Send + Sync + 'static,
) -> EngineBuilder {
    async fn echo(_: Context, text: String) -> TaskResult<String> {
        Ok(format!("echo of {text}"))
    }
    let echo = Workflow::new("echo").node("only", echo).build().expect("a workflow");
    engine.workflow(echo).workflow(Workflow::new("many").node("eu", task).build().expect("a workflow"))
}

async fn many(engine: Engine) -> Result<Run, Error> {
    engine.run("many").id("r").start().await
}

#[test]
fn children_with_similar_keys_are_not_confused() {
    async fn ask(cx: &Context, key: &str, text: &str) -> TaskResult<()> {
        let echo: String = cx.child(key, "echo", text).await?;
        if echo == format!("echo of {text}") { Ok(()) } else { Err(TaskError::permanent(format!("{key}: {echo}"))) }
    }
    let task = |cx: Context, (): ()| -> BoxedTask<usize> {
        Box::pin(async move {
            let keys = ["a", "a", "a#2", "a.2", "a[0]", "a.0", "child:a", "x/y"];
            for (number, key) in keys.into_iter().enumerate() {
                ask(&cx, key, &format!("{number}: {key}")).await?;
            }
            let all: Vec<String> = cx.map_runs("a", 2, "echo", ["first", "second"]).await?;
            if all != ["echo of first", "echo of second"] {
                return Err(TaskError::permanent(format!("{all:?}")));
            }
            Ok(keys.len())
        })
    };
    assert_sound(&Counter::new(), move |engine| echoing(engine, task), many);
}

#[test]
fn a_node_retried_after_a_child_failed_gets_the_children_it_asks_for() {
    /// Fails when `bad` is set.
    async fn ship(cx: Context, (item, bad): (u64, bool)) -> TaskResult<String> {
        cx.step("ship", || async { TaskResult::Ok(()) }).await?;
        if bad { Err(TaskError::permanent(format!("item {item} is locked"))) } else { Ok(format!("receipt of {item}")) }
    }
    async fn order(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let (mut done, mut failed) = (Vec::new(), None);
        for item in 1..=3_u64 {
            let bad = item == 1 && cx.attempt() == 1;
            match cx.child::<String>("item", "ship", (item, bad)).await {
                Ok(receipt) => done.push(receipt),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }
    let build = |engine: EngineBuilder| {
        let ship = Workflow::new("ship").node("ship", ship).build().expect("a workflow");
        engine.workflow(ship).workflow(Workflow::new("many").node("order", order).build().expect("a workflow"))
    };
    let drive = |engine: Engine| async move {
        let run = engine.run("many").id("r").start().await?;
        if !matches!(run.outcome().await?, Outcome::Completed(_)) {
            run.retry("order").await?;
        }
        let receipts: Vec<String> = run.output().await?;
        assert_eq!(receipts, ["receipt of 1", "receipt of 2", "receipt of 3"]);
        Ok(run)
    };
    assert_sound(&Counter::new(), build, drive);
}

#[test]
fn an_at_most_once_step_runs_after_a_pause() {
    let counter = Counter::new();
    let counting = counter.clone();
    let task = move |cx: Context, (): ()| -> BoxedTask<String> {
        let counter = counting.clone();
        Box::pin(async move {
            cx.sleep(secs(5)).await?;
            let paid = cx.step("pay", || async {
                counter.count(&cx, "pay");
                TaskResult::Ok("paid".to_owned())
            });
            match paid.at_most_once().await {
                // Only a crash while the step runs may cause this, and then its outcome is unknown.
                Err(error) if error.failure().kind == "interrupted" => Ok("paid".to_owned()),
                paid => paid,
            }
        })
    };
    let build = move |engine: EngineBuilder| {
        engine.workflow(Workflow::new("pay").node("pay", task.clone()).build().expect("a workflow"))
    };
    let drive = |engine: Engine| async move {
        let run = engine.run("pay").id("r").start().await?;
        tokio::time::sleep(secs(4)).await;
        if run.status().await?.status == RunStatus::Running {
            run.pause("lunch").await?;
            tokio::time::sleep(secs(20)).await;
        }
        if run.status().await?.status == RunStatus::Paused {
            run.resume().await?;
        }
        Ok(run)
    };
    // A pause is not a crash: without a crash the step runs.
    let plain = async {
        let engine = build(Engine::builder().clock(VirtualClock::new())).start().await?;
        drive(engine).await?.output::<String>().await
    };
    assert_eq!(run(plain).expect("the run ends well"), "paid");
    assert_eq!(counter.times("pay", "pay"), 1);
    assert_sound(&counter, build, drive);
}
