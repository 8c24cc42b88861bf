//! A plan made from bytes, with every setting that a node can have.

use std::sync::Arc;

use orkestra_core::model::{
    Amount, Condition, Join, Name, NodeSpec, OnFailure, Parent, Payload, Plan, Retry, RunId, RunOptions, SlotBy,
    SlotSpec, Test, Timestamp, WorkflowSpec,
};

use super::bytes::{Bytes, name};

/// More nodes make runs longer without making them more varied.
const NODES_MAX: usize = 8;

pub(super) const METERS: [&str; 2] = ["usd", "tokens"];

/// A plan; `None` if the spec made from the bytes is invalid.
pub(super) fn plan(bytes: &mut Bytes<'_>) -> Option<Arc<Plan>> {
    let count = 1 + bytes.below(NODES_MAX);
    let nodes = (0..count).map(|place| node(bytes, &format!("n{place}"), place)).collect();
    let spec = WorkflowSpec { name: name("w"), version: None, nodes };
    Plan::new(&spec).ok().map(Arc::new)
}

/// A node that depends on some of the first `place` nodes.
pub(super) fn node(bytes: &mut Bytes<'_>, own: &str, place: usize) -> NodeSpec {
    let mut node = match bytes.below(5) {
        4 => NodeSpec::gate(name(own), signal(bytes)),
        _ => NodeSpec::task(name(own), name("work")),
    };
    let mask = bytes.byte();
    node.after = (0..place.min(8)).filter(|before| mask >> before & 1 == 1).map(|p| name(&format!("n{p}"))).collect();
    node.join = match bytes.below(8) {
        5 => Join::Any,
        6 => Join::Settled,
        7 if !node.after.is_empty() => Join::AtLeast(1 + bytes.below(node.after.len())),
        _ => Join::All,
    };
    node.when = bytes.maybe(5, |bytes| condition(bytes, &node.after, 2));
    node.retry = match bytes.below(4) {
        1 => Retry::immediate(3),
        2 => Retry { initial_ms: 40, factor: 2.0, ..Retry::immediate(3) },
        3 => Retry { jitter: 0.3, ..Retry::exponential(2) },
        _ => Retry::none(),
    };
    node.timeout_ms = bytes.maybe(4, |bytes| 1 + u64::from(bytes.byte()));
    node.total_timeout_ms = bytes.maybe(6, |bytes| 1 + u64::from(bytes.byte()) * 4);
    node.heartbeat_timeout_ms = bytes.maybe(8, |bytes| 1 + u64::from(bytes.byte()));
    node.on_failure = match bytes.below(8) {
        5 => OnFailure::Skip,
        6 => OnFailure::Continue,
        7 => OnFailure::Pause,
        _ => OnFailure::Fail,
    };
    node.compensate = bytes.maybe(3, |_| name("undo"));
    node.priority = i32::from(bytes.byte()) - 128;
    if bytes.one_in(4) {
        let by = bytes.maybe(2, |bytes| match bytes.below(3) {
            0 => SlotBy::Label("tenant".into()),
            1 => SlotBy::Input("/a".into()),
            _ => SlotBy::Key("eu".into()),
        });
        node.limits.push(SlotSpec { limit: name("limit"), by });
    }
    node.input = bytes.maybe(6, payload);
    node
}

pub(super) fn signal(bytes: &mut Bytes<'_>) -> Name {
    name(&format!("s{}", bytes.below(3)))
}

pub(super) fn payload(bytes: &mut Bytes<'_>) -> Payload {
    let json = ["null", "1", "\"text\"", "{\"a\": [1, {\"b\": null}]}", "[]", "false", "1e99", "{\"a\":\"eu\"}"];
    let json = bytes.pick(&json).copied().unwrap_or("null");
    serde_json::from_str(json).expect("these are JSON")
}

fn condition(bytes: &mut Bytes<'_>, before: &[Name], depth: usize) -> Condition {
    match bytes.below(if depth == 0 { 1 } else { 6 }) {
        3 => Condition::All(vec![condition(bytes, before, depth - 1), condition(bytes, before, depth - 1)]),
        4 => Condition::Any(vec![condition(bytes, before, depth - 1)]),
        5 => Condition::Not(Box::new(condition(bytes, before, depth - 1))),
        _ => {
            let node = if bytes.one_in(2) { bytes.pick(before).cloned() } else { None };
            let pointer = ["", "/a", "/a/1/b"][bytes.below(3)].to_owned();
            let is = match bytes.below(6) {
                1 => Test::Equals(payload(bytes)),
                2 => Test::NotEquals(payload(bytes)),
                3 => Test::AtLeast(1.0),
                4 => Test::Absent,
                5 => Test::Truthy,
                _ => Test::Present,
            };
            Condition::Test { node, pointer, is }
        }
    }
}

pub(super) fn options(bytes: &mut Bytes<'_>) -> Box<RunOptions> {
    let mut options = RunOptions { priority: i32::from(bytes.byte()), ..RunOptions::default() };
    options.deadline = bytes.maybe(4, |bytes| Timestamp::from_millis(u64::from(bytes.byte()) * 20));
    for meter in METERS {
        if bytes.one_in(3) {
            options.budget.insert(name(meter), Amount::micros(u64::from(bytes.byte())));
        }
    }
    options.parent = bytes.maybe(4, |_| Parent::new(RunId::new("parent").expect("an id"), name("n")));
    Box::new(options)
}
