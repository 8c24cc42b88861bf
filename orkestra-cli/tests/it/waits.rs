//! `aios status` says why a run waits, and what its user can do.

use orkestra_core::prelude::*;
use orkestra_store::SledStore;

use super::support::{Place, json_lines};

async fn ask(cx: Context, (): ()) -> TaskResult<bool> {
    cx.ask("ship it?").timeout(days(1)).await
}

async fn build(_cx: Context, (): ()) -> TaskResult<()> {
    Err(TaskError::permanent("no disk"))
}

async fn publish(_cx: Context, _built: ()) -> TaskResult<()> {
    Ok(())
}

/// Leaves a run in the store of `place` that waits for a signal and an answer and, if `fails`, for a decision.
fn leave_a_run(place: &Place, fails: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = SledStore::open(place.path().join(".orkestra").join("store")).expect("a store");
        let mut workflow = Workflow::new("w").gate::<bool>("approve").node("ask", ask);
        if fails {
            workflow =
                workflow.node("build", build).on_failure(OnFailure::Pause).node("publish", publish).after("build");
        }
        let workflow = workflow.build().expect("a workflow");
        let engine = Engine::builder().store(store).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        let mut events = run.events(Cursor::START);
        // A node asks nothing while the run is paused, and `build` may fail first.
        let (mut asks, mut paused) = (fails, !fails);
        while !(asks && paused) {
            let event = events.next().await.expect("a journal").expect("it has not ended").event;
            asks |= matches!(event, Event::QuestionAsked { .. });
            paused |= matches!(event, Event::RunPaused { .. });
        }
        engine.shutdown().await;
    });
}

#[test]
fn status_says_why_a_run_waits_and_what_to_do() {
    let place = Place::new();
    leave_a_run(&place, false);
    let status = place.good(&["status", "r"]).out;
    let waits = |sentence: &str| status.lines().any(|line| line.starts_with(&format!("waiting    {sentence}")));
    assert!(waits("`approve` waits for the signal `approve`; send it with `Run::signal`"), "{status}");
    assert!(waits("`ask` waits for an answer to question "), "{status}");
    assert!(
        status.contains(", \"ship it?\", until 20") && status.contains("; answer it with `Run::answer`"),
        "{status}"
    );
    assert!(status.contains("unfinished, and no process works on it; continue with `aios resume r`"), "{status}");
    let json = &json_lines(&place.good(&["status", "r", "--json"]).out)[0];
    let (approve, ask) = (&json["nodes"][0]["waits_for"][0], &json["nodes"][1]["waits_for"][0]);
    assert_eq!((&approve["kind"], &approve["request_id"]), (&"signal".into(), &"approve".into()), "{json}");
    assert_eq!(approve["text"], "the signal `approve`");
    assert_eq!((&ask["kind"], &ask["question"]), (&"question".into(), &"ship it?".into()), "{json}");
    assert!(ask["until"].as_str().is_some_and(|until| until.starts_with("20")), "{json}");
    assert_eq!(json["lease"], serde_json::Value::Null);
}

#[test]
fn status_of_a_paused_run_says_what_ends_the_pause() {
    let place = Place::new();
    leave_a_run(&place, true);
    let status = place.good(&["status", "r"]).out;
    let decision =
        "`build` waits for a decision on its failure; `Run::retry` tries the node again, `aios resume r` gives it up";
    let pause = "`publish` waits for the end of a pause: node `build` failed; `aios resume r` ends it";
    for sentence in [decision, pause] {
        assert!(status.contains(&format!("waiting    {sentence}\n")), "{status}");
    }
}
