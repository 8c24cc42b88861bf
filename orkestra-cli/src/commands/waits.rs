//! Why a run waits, a sentence for each thing that it waits for, with what its user can do.

use orkestra_core::model::RunId;
use orkestra_core::prelude::RunView;
use orkestra_core::projection::{RunWaitsFor, WaitsFor};

/// The sentences, those of the run first, then those of its nodes in order.
pub(super) fn sentences(view: &RunView) -> Vec<String> {
    let of_run = view.waits_for.iter().filter(|wait| !matches!(wait, RunWaitsFor::Engine { .. }));
    let of_run = of_run.map(|wait| format!("the run waits for {wait}"));
    let waits = view.nodes.iter().flat_map(|node| node.waits_for.iter().map(move |wait| (&node.name, wait)));
    let of_nodes = waits.map(|(node, wait)| format!("`{node}` waits for {wait}{}", remedy(&view.id, wait)));
    of_run.chain(of_nodes).map(|sentence| sentence.chars().filter(|one| !one.is_control()).collect()).collect()
}

/// What its user can do.
fn remedy(run: &RunId, wait: &WaitsFor) -> String {
    match wait {
        WaitsFor::Signal { .. } => "; send it with `Run::signal` from a program that opens this store".to_owned(),
        WaitsFor::Question { .. } => "; answer it with `Run::answer` from a program that opens this store".to_owned(),
        WaitsFor::Child { run, .. } => format!("; `aios status {run}` says why that run waits"),
        WaitsFor::Pause { .. } => format!("; `aios resume {run}` ends it"),
        WaitsFor::Budget { .. } => format!("; raise it with `Run::set_budget`, then `aios resume {run}`"),
        WaitsFor::Decision => format!("; `Run::retry` tries the node again, `aios resume {run}` gives it up"),
        // Time, slots and other nodes: nothing but waiting helps.
        _ => String::new(),
    }
}
