//! The graph in the DOT language of Graphviz.

use std::fmt::Write;

use super::look::{of, remarks, status_line};
use super::{Graph, GraphKind};

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = format!("digraph \"{}\" {{\n", escape(&graph.workflow));
    text.push_str("  rankdir=LR;\n");
    text.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];\n");
    text.push_str("  edge [color=\"#64748b\"];\n");
    let mut put = |line: String| {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    };
    for (place, node) in graph.nodes.iter().enumerate() {
        let look = of(node.status);
        let mut label = format!("{}\\n{}", escape(&node.name), escape(&status_line(node)));
        for remark in remarks(node) {
            let _ = write!(label, "\\n{}", escape(&remark));
        }
        let shape = if matches!(node.kind, GraphKind::Gate(_)) { ", shape=hexagon" } else { "" };
        let colours = format!("fillcolor=\"{}\", color=\"{}\", fontcolor=\"{}\"", look.fill, look.stroke, look.ink);
        put(format!("n{place} [label=\"{label}\", class=\"{}\", {colours}{shape}];", look.word));
    }
    for edge in &graph.edges {
        let style = if edge.grown { " [style=dashed]" } else { "" };
        put(format!("n{} -> n{}{style};", edge.from, edge.to));
    }
    text.push_str("}\n");
    text
}

/// Escapes text for a quoted string. Graphviz interprets escapes after `\` and HTML entities after `&`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
