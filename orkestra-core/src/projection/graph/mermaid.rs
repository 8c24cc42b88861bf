//! The graph as a Mermaid flowchart.

use std::fmt::Write;

use super::look::{LOOKS, of, remarks, status_line};
use super::{Graph, GraphKind};

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut put = |line: String| {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    };
    for (place, node) in graph.nodes.iter().enumerate() {
        let mut label = format!("<b>{}</b><br/>{}", escape(&node.name), escape(&status_line(node)));
        for remark in remarks(node) {
            let _ = write!(label, "<br/><i>{}</i>", escape(&remark));
        }
        let (open, close) = match node.kind {
            GraphKind::Task(_) => ("[", "]"),
            GraphKind::Gate(_) => ("{{", "}}"),
        };
        put(format!("n{place}{open}\"{label}\"{close}:::{}", of(node.status).word));
    }
    for edge in &graph.edges {
        let arrow = if edge.grown { "-.->" } else { "-->" };
        put(format!("n{} {arrow} n{}", edge.from, edge.to));
    }
    for look in &LOOKS {
        put(format!("classDef {} fill:{},stroke:{},color:{}", look.word, look.fill, look.stroke, look.ink));
    }
    text
}

/// Escapes text for a quoted string: characters other than letters, digits and a few harmless ones become numeric
/// entities. So no text contains quotes, HTML, Markdown, or the directives (`%%{…}%%`) that Mermaid looks for
/// everywhere.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | ':' | '-' | '/' | '_' | '…' | '←') {
            escaped.push(c);
        } else if c.is_control() {
            escaped.push(' ');
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}
