//! Draws the graph as an SVG picture: layers from left to right, connected by curves.

use std::fmt::Write;

use crate::projection::word::word;

use super::layers::{Layers, layers};
use super::look::{of, remarks, status_line};
use super::{Graph, GraphKind, GraphNode};

/// The size of a node's box, and the distance to the next, in pixels.
const BOX: (f64, f64) = (176.0, 44.0);
const STEP: (f64, f64) = (248.0, 60.0);
const MARGIN: f64 = 24.0;
const HEAD: f64 = 40.0;

/// How many characters fit into a box.
const NAME_CHARS_MAX: usize = 22;
const STANDING_CHARS_MAX: usize = 27;

/// A point in the picture.
#[derive(Clone, Copy, Default)]
struct Point {
    x: f64,
    y: f64,
}

pub(super) fn draw(graph: &Graph) -> String {
    let layers = layers(graph.nodes.len(), &graph.pairs());
    let (points, width, height) = points(graph.nodes.len(), &layers);
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"ui-sans-serif, system-ui, sans-serif\">"
    );
    let head = head(graph);
    let _ = writeln!(svg, "<title>{}</title>", escape(&head));
    svg.push_str(
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#64748b\"/></marker></defs>\n",
    );
    let _ = writeln!(svg, "<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>");
    let shown = cut(&head, 120);
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"26\" font-size=\"14\" font-weight=\"600\" fill=\"#1e293b\">{}</text>",
        escape(&shown)
    );
    draw_edges(graph, &layers, &points, &mut svg);
    for (node, point) in graph.nodes.iter().zip(&points) {
        draw_node(node, *point, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn head(graph: &Graph) -> String {
    let mut parts = vec![graph.workflow.to_string()];
    if let Some(run) = &graph.run {
        parts.extend([format!("run {}", run.id), word(run.status)]);
        parts.extend(run.labels.iter().cloned());
    }
    parts.join(" · ")
}

/// The centre of every item, and the size of the picture.
#[expect(clippy::cast_precision_loss, reason = "layers have far fewer than 2^52 items")]
fn points(nodes: usize, layers: &Layers) -> (Vec<Point>, f64, f64) {
    let count = layers.layers.iter().flatten().max().map_or(nodes, |last| last + 1);
    let mut points = vec![Point::default(); count];
    let highest = layers.layers.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64;
    let middle = HEAD + MARGIN + (highest - 1.0).mul_add(STEP.1, BOX.1) / 2.0;
    for (layer, items) in layers.layers.iter().enumerate() {
        let x = (layer as f64).mul_add(STEP.0, MARGIN + BOX.0 / 2.0);
        let first = middle - (items.len().saturating_sub(1)) as f64 * STEP.1 / 2.0;
        for (place, item) in items.iter().enumerate() {
            points[*item] = Point { x, y: (place as f64).mul_add(STEP.1, first) };
        }
    }
    let columns = layers.layers.len().max(1) as f64;
    let width = (columns - 1.0).mul_add(STEP.0, BOX.0 + 2.0 * MARGIN).max(480.0);
    let height = highest.mul_add(STEP.1, HEAD + 2.0 * MARGIN);
    (points, width, height)
}

fn draw_edges(graph: &Graph, layers: &Layers, points: &[Point], svg: &mut String) {
    svg.push_str("<g fill=\"none\" stroke=\"#64748b\" stroke-width=\"1.2\">\n");
    let there = |place: usize| place < graph.nodes.len();
    let edges = graph.edges.iter().filter(|edge| there(edge.from) && there(edge.to));
    for (edge, path) in edges.zip(&layers.paths) {
        let mut at = points[path[0]];
        at.x += BOX.0 / 2.0;
        let _ = write!(svg, "<path d=\"M{:.0} {:.0}", at.x, at.y);
        for (place, item) in path.iter().enumerate().skip(1) {
            let mut to = points[*item];
            let last = place + 1 == path.len();
            to.x -= if last { BOX.0 / 2.0 } else { 0.0 };
            let bend = f64::midpoint(at.x, to.x);
            let _ = write!(svg, "C{bend:.0} {:.0} {bend:.0} {:.0} {:.0} {:.0}", at.y, to.y, to.x, to.y);
            at = to;
        }
        let dashes = if edge.grown { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(svg, "\" marker-end=\"url(#tip)\"{dashes}/>");
    }
    svg.push_str("</g>\n");
}

fn draw_node(node: &GraphNode, middle: Point, svg: &mut String) {
    let look = of(node.status);
    let (x, y) = (middle.x - BOX.0 / 2.0, middle.y - BOX.1 / 2.0);
    let title: Vec<_> = [node.name.to_string(), status_line(node)].into_iter().chain(remarks(node)).collect();
    let _ = writeln!(svg, "<g class=\"{}\"><title>{}</title>", look.word, escape(&title.join("\n")));
    let round = if matches!(node.kind, GraphKind::Gate(_)) { BOX.1 / 2.0 } else { 6.0 };
    let dashes = if node.grown_by.is_some() { " stroke-dasharray=\"5 4\"" } else { "" };
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"{round}\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"1.5\"{dashes}/>",
        BOX.0, BOX.1, look.fill, look.stroke
    );
    let texts = [(cut(&node.name, NAME_CHARS_MAX), -4.0, 13, 600), (second(node), 12.0, 11, 400)];
    for (text, below, size, weight) in texts {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"{size}\" font-weight=\"{weight}\" text-anchor=\"middle\" \
             fill=\"{}\">{}</text>",
            middle.x,
            middle.y + below,
            look.ink,
            escape(&text)
        );
    }
    svg.push_str("</g>\n");
}

/// The line below the name: the node's status, and its first label.
fn second(node: &GraphNode) -> String {
    let parts: Vec<_> = std::iter::once(status_line(node)).chain(remarks(node).take(1)).collect();
    cut(&parts.join(" · "), STANDING_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Escapes text for XML 1.0. Characters that XML cannot contain are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
