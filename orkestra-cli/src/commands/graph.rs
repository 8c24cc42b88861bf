//! `aios graph`: the nodes of a run with their status, indented by their depth in the graph.

use std::collections::HashMap;
use std::fmt::Write;

use orkestra_core::prelude::{NodeStatus, NodeView};

use super::{place_of, print};
use crate::args::GraphArguments;
use crate::exit::{Exit, Failure};
use crate::reader::Reader;
use crate::summary::seconds;

pub(super) async fn perform(arguments: &GraphArguments) -> Result<Exit, Failure> {
    let place = place_of(&arguments.run).await?;
    let reader = Reader::start(&place).await?;
    let view = reader.find(&arguments.run).await?.view().await?;
    reader.engine.shutdown().await;
    print(&draw(&view.nodes))
}

fn draw(nodes: &[NodeView]) -> String {
    let mut depths: HashMap<&str, usize> = HashMap::new();
    let mut text = String::new();
    for node in nodes {
        let before = node.after.iter().filter_map(|before| depths.get(before.as_str()));
        let depth = before.max().map_or(0, |depth| depth + 1);
        depths.insert(&node.name, depth);
        let after = node.after.iter().map(orkestra_core::model::Name::as_str).collect::<Vec<_>>().join(", ");
        let after = if after.is_empty() { String::new() } else { format!("  <- {after}") };
        let took = match (node.started_at, node.ended_at) {
            (Some(since), Some(until)) => format!(", {}", seconds(until.since(since))),
            _ => String::new(),
        };
        let (mark, status) = label(node.status);
        let name = format!("{}{}", "  ".repeat(depth), node.name);
        let attempt = if node.attempt > 0 { format!(", attempt {}", node.attempt) } else { String::new() };
        let _ = writeln!(text, "{mark} {name:<16} {status}{attempt}{took}{after}");
    }
    text
}

const fn label(status: NodeStatus) -> (char, &'static str) {
    match status {
        NodeStatus::Pending => ('·', "waiting"),
        NodeStatus::Queued => ('·', "waiting for slots"),
        NodeStatus::Running => ('>', "running"),
        NodeStatus::Backoff => ('>', "retrying"),
        NodeStatus::Completed => ('✔', status.name()),
        NodeStatus::Failed | NodeStatus::Cancelled => ('✘', status.name()),
        NodeStatus::Skipped => ('–', status.name()),
        _ => ('?', status.name()),
    }
}
