//! Graphs too large to read are still drawn, and the text for terminals stays short.

use orkestra_core::model::limits::NODES_MAX;
use orkestra_core::model::{Name, NodeSpec, WorkflowSpec};
use orkestra_core::projection::Graph;
use serde_json::json;

use super::story::{Story, completes, fails, starts};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A plan of this many nodes, each after those that `before` returns.
fn graph(count: usize, before: impl Fn(usize) -> Vec<usize>) -> Graph {
    let node = |number: usize| {
        let node = NodeSpec::task(name(&format!("n{number}")), name("t"));
        before(number).into_iter().fold(node, |node, before| node.with_after(name(&format!("n{before}"))))
    };
    let spec = WorkflowSpec { name: name("w"), version: None, nodes: (0..count).map(node).collect() };
    Graph::of_spec(&spec).expect("a plan")
}

#[test]
fn a_wide_level_shows_important_nodes_and_counts_the_rest() {
    let width = 200;
    let mut nodes = vec![json!({"name": "start", "task": "t"})];
    nodes.extend((0..width).map(|n| json!({"name": format!("w{n}"), "task": "t", "after": ["start"]})));
    let mut story = Story::of(nodes);
    let wide: Vec<_> = (0..width).map(|n| starts(&format!("w{n}"), 1)).collect();
    story.at(1, &[starts("start", 1)]).at(2, &[completes("start")]).at(2, &wide);
    let done: Vec<_> = (0..150).map(|n| completes(&format!("w{n}"))).collect();
    story.at(3, &done).at(4, &[fails("w199", 1, "bad luck", None)]);
    let text = story.graph().to_text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 + 1 + 1 + 20 + 1, "{text}");
    assert_eq!(lines[4], "├ ▶ w150   running");
    assert_eq!(lines[23], "├ ✗ w199   failed · error: bad luck");
    assert_eq!(lines[24], "├ … 180 more: 30 running, 150 completed");
}

#[test]
fn a_deep_graph_shows_its_ends_and_active_levels() {
    let nodes = (0..2000).map(|n| match n {
        0 => json!({"name": "n0", "task": "t"}),
        _ => json!({"name": format!("n{n}"), "task": "t", "after": [format!("n{}", n - 1)]}),
    });
    let mut story = Story::of(nodes.collect::<Vec<_>>());
    for n in 0..1000 {
        story.at(n, &[starts(&format!("n{n}"), 1), completes(&format!("n{n}"))]);
    }
    story.at(1000, &[starts("n1000", 1)]);
    let text = story.graph().to_text();
    let shown: Vec<_> = text.lines().filter(|line| !line.starts_with('│')).collect();
    let expected = "\
w · run r · running

✓ n0       completed
✓ n1       completed
✓ n2       completed
⋮ 996 more levels: 996 completed
✓ n999     completed
▶ n1000    running
○ n1001    pending
⋮ 995 more levels: 995 pending
○ n1997    pending
○ n1998    pending
○ n1999    pending";
    assert_eq!(shown, expected.lines().collect::<Vec<_>>(), "{text}");
}

#[test]
fn ten_thousand_nodes_of_any_shape_are_drawn() {
    let shapes = [
        graph(NODES_MAX, |n| if n == 0 { vec![] } else { vec![n - 1] }),
        graph(NODES_MAX, |n| if n == 0 { vec![] } else { vec![0] }),
        graph(NODES_MAX, |n| if n == 0 { vec![] } else { vec![(n - 1) / 2] }),
        // Layers of a hundred, each node after eight of the layer before: 79,200 edges.
        graph(NODES_MAX, |n| {
            if n < 100 { vec![] } else { (0..8).map(|k| n / 100 * 100 - 100 + (n * 7 + k * 3) % 100).collect() }
        }),
        // Every edge is long.
        graph(2000, |n| if n == 0 { vec![] } else { vec![n - 1, n / 3] }),
        graph(NODES_MAX, |_| vec![]),
    ];
    for graph in shapes {
        let svg = graph.to_svg();
        assert_eq!(svg.matches("<g class=").count(), graph.nodes.len());
        assert_eq!(svg.matches("marker-end").count(), graph.edges.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let text = graph.to_text();
        assert!(text.lines().count() < 2500, "{} lines", text.lines().count());
        assert_eq!(graph.to_dot().matches(" -> ").count(), graph.edges.len());
        assert!(graph.to_mermaid().lines().count() > graph.nodes.len());
    }
}

#[test]
fn unconnected_nodes_do_not_overlap() {
    let svg = graph(50, |n| if n < 10 { vec![] } else { vec![n - 10, (n * 3) % 10] }).to_svg();
    let boxes: Vec<_> = svg
        .lines()
        .filter(|line| line.starts_with("<rect x="))
        .map(|line| {
            let value = |key: &str| {
                let rest = line.split_once(&format!(" {key}=\"")).expect("a coordinate").1;
                rest.split('"').next().and_then(|number| number.parse::<f64>().ok()).expect("a number")
            };
            (value("x"), value("y"))
        })
        .collect();
    assert_eq!(boxes.len(), 50);
    for (place, one) in boxes.iter().enumerate() {
        for other in &boxes[place + 1..] {
            assert!((one.0 - other.0).abs() >= 176.0 || (one.1 - other.1).abs() >= 44.0, "{one:?} and {other:?}");
        }
    }
}
