//! Timelines of small runs.

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::Timestamp;
use orkestra_core::projection::{AttemptOutcome, MarkKind, NodeEnd, Span, Timeline, WaitKind};
use serde_json::json;

use super::story::{Story, completes, fails, starts, step};

fn span(from: u64, until: u64) -> Span {
    Span { from: Timestamp::from_millis(from), until: Some(Timestamp::from_millis(until)) }
}

/// A run with everything that a timeline shows.
fn full() -> Story {
    let mut story = Story::of(json!([
        {"name": "fetch", "task": "t", "retry": {"attempts_max": 2}},
        {"name": "approve", "gate": "ok", "after": ["fetch"]},
        {"name": "sum", "task": "t", "after": ["fetch"], "limits": [{"limit": "cpu"}]},
        {"name": "never", "task": "t", "after": ["fetch"], "when": {"is": "truthy"}},
    ]));
    let charged = |key: &str, usd: u64| json!({"StepCompleted": {"node": "fetch", "step": key, "result": 1, "charges": {"usd": usd}}});
    story
        .at(0, &[starts("fetch", 1)])
        .at(100, &[json!({"StepStarted": {"node": "fetch", "step": "pay"}})])
        .at(300, &[charged("pay", 1_500_000)])
        .at(300, &[json!({"TimerSet": {"node": "fetch", "step": "nap", "due": 900}})])
        .at(400, &[fails("fetch", 1, "no luck", Some(500))])
        .at(500, &[starts("fetch", 2)])
        .at(600, &[json!("Recovered")])
        .at(900, &[json!({"TimerFired": {"node": "fetch", "step": "nap"}})])
        .at(1000, &[charged("get", 500_000), json!({"Emitted": {"node": "fetch", "kind": "x", "payload": 1}})])
        .at(1000, &[completes("fetch"), starts("approve", 1)])
        .at(1000, &[json!({"SlotAwaited": {"node": "sum"}})])
        .at(1000, &[json!({"NodeSkipped": {"node": "never", "reason": "Condition"}})])
        .at(1500, &[starts("sum", 1)])
        .at(1600, &[json!({"RunPaused": {"reason": {"Asked": {"reason": "lunch"}}}}), json!("RunResumed")])
        .at(1700, &[step("sum", "one"), step("sum", "two"), completes("sum")])
        .at(2000, &[json!({"SignalReceived": {"signal": "ok", "payload": true}})])
        .at(2000, &[json!({"SignalConsumed": {"node": "approve", "signal": "ok"}}), completes("approve")])
        .at(2000, &[json!({"RunCompleted": {"output": 1}})]);
    story
}

#[test]
fn attempts_list_their_steps_waits_and_costs() {
    let timeline = full().timeline();
    assert_eq!((timeline.status, timeline.ended_at), (RunStatus::Completed, Some(Timestamp::from_millis(2000))));
    let names: Vec<_> = timeline.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["fetch", "approve", "sum", "never"]);
    assert_eq!(timeline.spent.values().map(ToString::to_string).collect::<Vec<_>>(), ["2"]);

    let [first, second] = &timeline.nodes[0].attempts[..] else { panic!("two attempts") };
    assert_eq!((first.span, first.steps.len()), (span(0, 400), 1));
    assert_eq!(first.steps[0].started_at, Some(Timestamp::from_millis(100)));
    assert_eq!(first.steps[0].settled_at, Some(Timestamp::from_millis(300)));
    assert!(matches!(&first.outcome, Some(AttemptOutcome::Failed { next_at: Some(at), .. }) if at.as_millis() == 500));
    assert_eq!(first.waits[0].span, span(300, 400), "no time between attempts is counted");
    assert_eq!(second.waits[0].span, span(500, 900), "the wait continued");
    assert_eq!(second.waits[0].kind, WaitKind::Timer(Timestamp::from_millis(900)));
    assert_eq!((second.reports, second.interruptions), (1, 1));
    assert_eq!(second.charges.values().map(ToString::to_string).collect::<Vec<_>>(), ["0.5"]);

    let gate = &timeline.nodes[1].attempts[0];
    assert_eq!((gate.waits[0].span, gate.waits[0].key.as_deref()), (span(1000, 2000), None));
    assert_eq!(timeline.nodes[2].queued, [span(1000, 1500)]);
    assert!(matches!(timeline.nodes[3].ended, Some(NodeEnd::Skipped { .. })));
    let marks: Vec<_> = timeline.marks.iter().map(|mark| (mark.at.as_millis(), &mark.kind)).collect();
    assert_eq!(marks.len(), 4);
    assert_eq!((marks[0], marks[3]), ((600, &MarkKind::Recovered), (2000, &MarkKind::Ended(RunStatus::Completed))));
}

#[test]
fn a_timeline_is_readable_on_a_terminal() {
    let expected = "\
w · run r · completed · from 1970-01-01T00:00:00.000Z · usd 2

          0                                          2.0 s
fetch     ████████░█                                        failed after 400 ms: error: no luck · 1 step · usd 1.5
fetch #2              ░░░░░░░░░███                          completed in 500 ms · 1 step · 1 report · 1 interruption · usd 0.5
approve                           ░░░░░░░░░░░░░░░░░░░░░░░░  completed in 1.0 s
sum                               ············█████         completed in 200 ms · 2 steps
never                                                       skipped: its condition does not hold

+600 ms  taken over by another process
+1.6 s  paused: lunch
+1.6 s  resumed
+2.0 s  completed
";
    let shown = full().timeline().to_text();
    assert_eq!(shown, expected, "{shown}");
}

#[test]
fn a_live_run_has_an_open_timeline() {
    let mut story = Story::of(json!([{"name": "a", "task": "t"}, {"name": "b", "task": "t", "after": ["a"]}]));
    story.at(10, &[starts("a", 1)]).at(50, &[step("a", "one")]);
    let timeline: Timeline = story.timeline();
    assert_eq!((timeline.ended_at, timeline.nodes.len()), (None, 1));
    assert_eq!(timeline.nodes[0].attempts[0].span.until, None);
    let json = serde_json::to_value(&timeline).expect("it serialises");
    assert_eq!(json["nodes"][0]["attempts"][0]["steps"][0]["kind"], "work");
    story
        .at(60, &[json!({"StopRequested": {"grace_until": 90, "reason": {"Cancelled": {"reason": "enough"}}}})])
        .at(60, &[json!({"NodeCancelled": {"node": "b"}})])
        .at(70, &[json!({"NodeCancelled": {"node": "a"}}), json!({"RunCancelled": {"reason": "enough"}})]);
    let timeline = story.timeline();
    assert_eq!(timeline.nodes[0].attempts[0].outcome, Some(AttemptOutcome::Cancelled));
    assert_eq!(timeline.nodes[1].ended, Some(NodeEnd::Cancelled { at: Timestamp::from_millis(60) }));
    assert_eq!(timeline.status, RunStatus::Cancelled);
}

#[test]
fn the_cost_of_many_steps_is_linear() {
    let mut story = Story::of(json!([{"name": "a", "task": "t"}]));
    story.at(0, &[starts("a", 1)]);
    let steps: Vec<_> = (0..20_000).map(|n| step("a", &format!("k{n}"))).collect();
    story.at(1, &steps);
    let timers: Vec<_> =
        (0..5000).map(|n| json!({"TimerSet": {"node": "a", "step": format!("t{n}"), "due": 9}})).collect();
    let fired: Vec<_> = (0..5000).map(|n| json!({"TimerFired": {"node": "a", "step": format!("t{n}")}})).collect();
    story.at(2, &timers).at(9, &fired);
    let timeline = story.timeline();
    let attempt = &timeline.nodes[0].attempts[0];
    assert_eq!((attempt.steps.len(), attempt.waits.len()), (20_000, 5000));
    assert!(attempt.waits.iter().all(|wait| wait.span == span(2, 9)));
}

#[test]
fn the_cost_of_a_failed_step_is_counted() {
    let mut story = Story::of(json!([{"name": "fetch", "task": "t"}]));
    let failure = json!({"kind": "error", "message": "no luck", "retryable": false});
    story.at(0, &[starts("fetch", 1)]).at(
        100,
        &[json!({"StepFailed": {"node": "fetch", "step": "pay", "failure": failure, "charges": {"usd": 500_000}}})],
    );
    let timeline = story.timeline();
    let attempt = &timeline.nodes[0].attempts[0];
    for charges in [&timeline.spent, &attempt.charges, &attempt.steps[0].charges] {
        assert_eq!(charges.values().map(ToString::to_string).collect::<Vec<_>>(), ["0.5"]);
    }
}
