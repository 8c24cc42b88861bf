//! The harnesses accept sound workflows and report unsound ones.

use orkestra_core::model::{Join, OnFailure};
use orkestra_core::prelude::*;
use orkestra_testkit::{Counter, Harness, run};

/// A task of steps with waits between them. Some keys look like those of the engine.
fn worker(counter: &Counter) -> impl Fn(Context, Payload) -> BoxedTask + Clone + Send + Sync + 'static {
    let counter = counter.clone();
    move |cx: Context, _: Payload| {
        let counter = counter.clone();
        Box::pin(async move {
            for step in ["first", "charge", "pay #2 > [all]"] {
                cx.step(step, || async {
                    counter.count(&cx, step);
                    TaskResult::Ok(())
                })
                .await?;
                cx.sleep(mins(1)).await?;
            }
            Ok(cx.node().to_owned())
        })
    }
}

type BoxedTask = std::pin::Pin<Box<dyn Future<Output = TaskResult<String>> + Send>>;

fn harness(counter: &Counter) -> Harness {
    let task = worker(counter);
    let build = move |engine: EngineBuilder| {
        let workflow = Workflow::new("w")
            .node("a", task.clone())
            .retry(Retry::exponential(3))
            .node("b", task.clone())
            .on_failure(OnFailure::Continue)
            .gate::<bool>("go")
            .after("a")
            .node("c", task.clone())
            .after_all(["go", "b"])
            .join(Join::Settled)
            .build();
        engine.workflow(workflow.expect("a workflow"))
    };
    let drive = |engine: Engine| async move {
        let run = engine.run("w").id("r").start().await?;
        run.signal("go", &true).await?;
        Ok(run)
    };
    Harness::new(build, drive).with_counter(counter)
}

#[test]
fn a_sound_workflow_survives_a_crash_at_every_write() {
    let counter = Counter::new();
    let report = run(harness(&counter).crash_after_every_commit());
    report.assert_sound();
    assert!(report.trials > 20, "{report}");
    // A process can always die between an effect and the commit of its step.
    assert!(report.repeats.iter().any(|repeat| repeat.step == "first" && repeat.excused), "{report}");
}

#[test]
fn a_sound_workflow_repeats_no_step_of_an_interrupted_attempt() {
    let counter = Counter::new();
    let report = run(harness(&counter).repeat_each_attempt());
    report.assert_sound();
    assert!(report.trials >= 3, "{report}");
    assert_eq!(counter.times("c", "charge"), 1);
}

#[test]
fn a_failing_node_follows_its_policy() {
    let counter = Counter::new();
    let report = run(harness(&counter).fail_each_node());
    report.assert_sound();
    assert_eq!(report.trials, 6, "{report}");
}

/// A workflow with an effect outside of steps, and an output that depends on how often its task was called.
fn careless(counter: &Counter) -> Harness {
    let counting = counter.clone();
    let task = move |cx: Context, (): ()| {
        let counter = counting.clone();
        async move {
            counter.count(&cx, "email");
            cx.step("note", || async { TaskResult::Ok(()) }).await?;
            cx.sleep(secs(1)).await?;
            Ok(counter.times("a", "email"))
        }
    };
    let build = move |engine: EngineBuilder| {
        engine.workflow(Workflow::new("w").node("a", task.clone()).build().expect("a workflow"))
    };
    Harness::new(build, |engine: Engine| async move { engine.run("w").id("r").start().await }).with_counter(counter)
}

#[test]
fn effects_outside_steps_are_reported() {
    let counter = Counter::new();
    let report = run(careless(&counter).crash_after_every_commit());
    assert!(report.repeats.iter().any(|repeat| repeat.step == "email" && !repeat.excused), "{report}");
    assert!(report.problems.iter().any(|problem| problem.contains("it ends in")), "{report}");

    let report = run(careless(&counter).repeat_each_attempt());
    assert!(report.problems.iter().any(|problem| problem.contains("no step remembers it")), "{report}");
}
