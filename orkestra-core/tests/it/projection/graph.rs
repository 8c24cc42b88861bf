//! Graphs of small runs, compared in full.

use orkestra_core::kernel::NodeStatus;
use orkestra_core::model::WorkflowSpec;
use orkestra_core::projection::{Graph, GraphKind};
use serde_json::json;

use super::story::{Story, completes, fails, starts};

fn spine() -> Story {
    Story::of(json!([
        {"name": "planner", "task": "plan"},
        {"name": "backend", "task": "code", "after": ["planner"]},
        {"name": "frontend", "task": "code", "after": ["planner"], "retry": {"attempts_max": 3}},
        {"name": "qa", "task": "test", "after": ["backend", "frontend"], "join": "settled"},
    ]))
}

#[test]
fn a_small_graph_is_readable_on_a_terminal() {
    let mut story = spine();
    story
        .at(1, &[starts("planner", 1)])
        .at(2, &[completes("planner"), starts("backend", 1), starts("frontend", 1)])
        .at(3, &[completes("backend"), fails("frontend", 1, "no luck", Some(5))])
        .at(5, &[starts("frontend", 2)])
        .at(6, &[json!({"SignalAwaited": {"node": "frontend", "step": "s", "signal": "go"}})]);
    let expected = "\
w · run r · running

✓ planner     completed
│
├ ✓ backend   completed
├ ▶ frontend  running, attempt 2 · waits for signal `go` · error: no luck
│
○ qa          pending · after all have ended
";
    assert_eq!(story.graph().to_text(), expected);
}

#[test]
fn edges_that_skip_levels_are_named() {
    let graph = Story::of(json!([
        {"name": "a", "task": "t"},
        {"name": "b", "task": "t", "after": ["a"]},
        {"name": "c", "task": "t", "after": ["b", "a"]},
        {"name": "d", "gate": "g", "after": ["a"]},
    ]))
    .graph();
    let expected = "\
w · run r · running

○ a    pending
│
├ ○ b  pending
├ ○ d  pending
│
○ c    pending · ← b, a
";
    assert_eq!(graph.to_text(), expected);
}

#[test]
fn growth_compensation_children_and_reports_are_marked() {
    let mut story = Story::of(json!([
        {"name": "a", "task": "t", "compensate": "undo"},
        {"name": "b", "task": "t", "after": ["a"]},
    ]));
    story
        .at(1, &[starts("a", 1)])
        .at(
            2,
            &[json!({"Grown": {"node": "a", "step": "g", "growth": {
                "nodes": [{"name": "c", "task": "t", "after": ["a"]}], "edges": [["c", "b"]],
            }}})],
        )
        .at(3, &[completes("a"), starts("c", 1)])
        .at(4, &[json!({"ChildRequested": {"node": "c", "step": "k", "child": "r/c/k", "workflow": "v", "input": 1}})])
        .at(5, &[json!({"Emitted": {"node": "c", "kind": "progress", "payload": 0.5}})]);
    let graph = story.graph();
    let grown: Vec<_> = graph.edges.iter().map(|edge| (edge.from, edge.to, edge.grown)).collect();
    assert_eq!(grown, [(0, 1, false), (2, 1, true), (0, 2, true)]);
    let node = &graph.nodes[2];
    assert_eq!(node.grown_by.as_deref(), Some("a"));
    assert!(node.children.len() == 1 && node.children[0] == "r/c/k");
    assert_eq!(node.labels, ["waits for run `r/c/k`", "progress: 0.5"]);
    assert!(graph.to_mermaid().contains("\n  n2 -.-> n1\n"), "{}", graph.to_mermaid());
    assert!(graph.to_dot().contains("n2 -> n1 [style=dashed];"), "{}", graph.to_dot());

    story
        .at(6, &[fails("c", 1, "broken", None)])
        .at(
            6,
            &[json!({"StopRequested": {"grace_until": 9, "reason": {
                "NodeFailed": {"node": "c", "failure": {"kind": "error", "message": "broken"}},
            }}})],
        )
        .at(6, &[json!({"NodeCancelled": {"node": "b"}})])
        .at(7, &[json!({"CompensationStarted": {"growth": {"nodes": [{"name": "undo:a", "task": "undo"}]}}})])
        .at(7, &[starts("undo:a", 1)]);
    let expected = "\
w · run r · compensating · node `c` failed: error: broken

├ ✓ a       completed
├ ▶ undo:a  running · undoes a
│
✗ c         failed · ← a · error: broken · added by a
│
■ b         cancelled · ← a, c
";
    assert_eq!(story.graph().to_text(), expected);
}

#[test]
fn every_status_has_a_label() {
    let mut story = Story::of(json!([
        {"name": "queued", "task": "t", "limits": [{"limit": "http", "by": {"key": "eu"}}, {"limit": "gpu"}]},
        {"name": "backoff", "task": "t", "retry": {"attempts_max": 2}},
        {"name": "skipped", "task": "t", "when": {"is": "truthy"}},
        {"name": "gate", "gate": "go", "timeout_ms": 60000},
        {"name": "sleeper", "task": "t"},
    ]));
    story
        .at(1, &[json!({"SlotAwaited": {"node": "queued"}}), starts("backoff", 1)])
        .at(1, &[json!({"NodeSkipped": {"node": "skipped", "reason": "Condition"}})])
        .at(1, &[json!({"AttemptStarted": {"node": "gate", "attempt": 1, "deadline": 60001}}), starts("sleeper", 1)])
        .at(2, &[fails("backoff", 1, "later", Some(1000))])
        .at(3, &[json!({"TimerSet": {"node": "sleeper", "step": "a", "due": 5000}})])
        .at(3, &[json!({"QuestionAsked": {"node": "sleeper", "step": "b", "question": {"ok": "?"}}})]);
    let labels = |graph: &Graph| graph.nodes.iter().map(|node| node.labels.join("; ")).collect::<Vec<_>>();
    let graph = story.graph();
    assert_eq!(
        labels(&graph),
        [
            "waits for slots of http[eu], gpu",
            "next attempt at 1970-01-01T00:00:01.000Z; error: later",
            "its condition does not hold",
            "waits for signal `go`; times out at 1970-01-01T00:01:00.001Z",
            "sleeps until 1970-01-01T00:00:05.000Z; asks {\"ok\":\"?\"}",
        ]
    );
    assert_eq!(graph.nodes[0].status, Some(NodeStatus::Queued));
    story.at(4, &[json!({"RunPaused": {"reason": {"Asked": {"reason": "lunch"}}}})]);
    let graph = story.graph();
    assert_eq!(graph.run.as_ref().map(|run| run.labels.clone()), Some(vec!["paused: lunch".to_owned()]));
    assert!(graph.to_text().starts_with("w · run r · paused · paused: lunch\n"), "{}", graph.to_text());
}

#[test]
fn a_plan_can_be_drawn_before_there_is_a_run() {
    let spec = WorkflowSpec::from_json(
        r#"{"name": "w", "version": "2", "nodes": [
            {"name": "a", "task": "t"},
            {"name": "b", "gate": "ok", "after": ["a"], "when": {"is": "present"}}
        ]}"#,
    )
    .expect("a workflow");
    let graph = Graph::of_spec(&spec).expect("a plan");
    assert!(graph.run.is_none() && graph.nodes.iter().all(|node| node.status.is_none()));
    assert_eq!(
        graph.to_text(),
        "w · version 2\n\n○ a  task `t`\n│\n○ b  gate `ok` · conditional\n".replace("  ", "    ")
    );
    assert_eq!(
        graph.to_mermaid().lines().take(4).collect::<Vec<_>>(),
        [
            "flowchart LR",
            "  n0[\"<b>a</b><br/>task #96;t#96;\"]:::planned",
            "  n1{{\"<b>b</b><br/>gate #96;ok#96;<br/><i>conditional</i>\"}}:::planned",
            "  n0 --> n1",
        ]
    );
    assert!(matches!(&graph.nodes[1].kind, GraphKind::Gate(signal) if *signal == "ok"));
    let json = serde_json::to_value(&graph).expect("it serialises");
    assert_eq!(json["nodes"][1]["gate"], "ok");
    assert_eq!(json["edges"][0], json!({"from": 0, "to": 1, "grown": false}));
}

#[test]
fn drawings_are_deterministic() {
    let graph = spine().graph();
    assert_eq!(graph.to_svg(), spine().graph().to_svg());
    let svg = graph.to_svg();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{svg}");
    assert!(svg.contains("<title>qa\npending\nafter all have ended</title>"), "{svg}");
    assert_eq!(svg.matches("<path d=\"M").count(), 5, "four edges and the tip of their arrows: {svg}");
    let dot = graph.to_dot();
    assert!(dot.contains("  n3 [label=\"qa\\npending\\nafter all have ended\", class=\"pending\""), "{dot}");
    assert_eq!(dot.matches(" -> ").count(), 4);
}
