//! Random valid workflows that use every field of a node.

use orkestra_core::model::{
    Condition, Join, Name, NodeKind, NodeSpec, OnFailure, Payload, Retry, SlotBy, SlotSpec, Test, WorkflowSpec,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn names() -> impl Strategy<Value = Name> {
    proptest::string::string_regex("[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,9}").expect("a pattern").prop_map(|text| name(&text))
}

fn texts() -> impl Strategy<Value = String> {
    any::<String>()
}

fn labels() -> impl Strategy<Value = String> {
    texts().prop_filter("a label needs a name", |text| !text.is_empty())
}

fn pointers() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), texts().prop_map(|text| format!("/{}", text.replace('~', "~0")))]
}

fn payloads() -> impl Strategy<Value = Payload> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite()).prop_map(|n| format!("{n:?}")),
        texts().prop_map(|text| serde_json::to_string(&text).expect("a text")),
        vec(any::<bool>(), 0..3).prop_map(|list| format!("{{\"list\": {list:?} }}")),
    ];
    json.prop_map(|json| serde_json::from_str(&json).expect("JSON"))
}

fn tests() -> impl Strategy<Value = Test> {
    prop_oneof![
        payloads().prop_map(Test::Equals),
        payloads().prop_map(Test::NotEquals),
        (-1e9..1e9).prop_map(Test::AtLeast),
        (-1e9..1e9).prop_map(Test::AtMost),
        Just(Test::Present),
        Just(Test::Absent),
        Just(Test::Truthy),
    ]
}

/// Conditions on the run's input, or on one of these nodes.
fn conditions(before: Vec<Name>) -> impl Strategy<Value = Condition> {
    let nodes =
        if before.is_empty() { Just(None).boxed() } else { option::of(proptest::sample::select(before)).boxed() };
    let one = (nodes, pointers(), tests()).prop_map(|(node, pointer, is)| Condition::Test { node, pointer, is });
    one.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Condition::All),
            vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn retries() -> impl Strategy<Value = Retry> {
    (1..=u32::MAX, any::<u64>(), 1.0..100.0, any::<u64>(), 0.0..=1.0).prop_map(
        |(attempts_max, initial_ms, factor, delay_ms_max, jitter)| Retry {
            attempts_max,
            initial_ms,
            factor,
            delay_ms_max,
            jitter,
        },
    )
}

fn limits() -> impl Strategy<Value = Vec<SlotSpec>> {
    let by = prop_oneof![
        labels().prop_map(SlotBy::Label),
        pointers().prop_map(SlotBy::Input),
        texts().prop_map(SlotBy::Key)
    ];
    vec((names(), option::of(by)).prop_map(|(limit, by)| SlotSpec { limit, by }), 0..3)
}

/// A node named `n<place>` after some of those before it.
fn node(place: usize) -> impl Strategy<Value = NodeSpec> {
    let before: Vec<_> = (0..place).map(|place| name(&format!("n{place}"))).collect();
    proptest::sample::subsequence(before.clone(), 0..=place).prop_flat_map(move |after| {
        let joins = prop_oneof![
            Just(Join::All),
            Just(Join::Any),
            Just(Join::Settled),
            (1..=after.len().max(1)).prop_map(if after.is_empty() { |_| Join::All } else { Join::AtLeast }),
        ];
        let failures =
            proptest::sample::select(vec![OnFailure::Fail, OnFailure::Skip, OnFailure::Continue, OnFailure::Pause]);
        let kinds = prop_oneof![names().prop_map(NodeKind::Task), names().prop_map(NodeKind::Gate)];
        let time = || option::of(1..=u64::MAX);
        let texts = || option::of(texts());
        (
            (kinds, joins, option::of(conditions(after.clone())), prop_oneof![Just(Retry::none()), retries()]),
            (
                time(),
                time(),
                time(),
                failures,
                (option::of(names()), option::of(retries()), time()),
                any::<i32>(),
                limits(),
            ),
            (option::of(payloads()), texts(), texts(), texts()),
        )
            .prop_map(move |(what, how, rest)| {
                let (kind, join, when, retry) = what;
                let (timeout_ms, total_timeout_ms, heartbeat_timeout_ms, on_failure, undo, priority, limits) = how;
                let (input, version, takes, gives) = rest;
                let (compensate, compensate_retry, compensate_timeout_ms) = undo;
                let own = name(&format!("n{place}"));
                NodeSpec {
                    kind,
                    after: after.clone(),
                    join,
                    when,
                    retry,
                    timeout_ms,
                    total_timeout_ms,
                    heartbeat_timeout_ms,
                    on_failure,
                    compensate,
                    compensate_retry,
                    compensate_timeout_ms,
                    priority,
                    limits,
                    input,
                    version,
                    takes,
                    gives,
                    ..NodeSpec::task(own.clone(), own)
                }
            })
    })
}

pub(super) fn workflows() -> impl Strategy<Value = WorkflowSpec> {
    (1..6_usize)
        .prop_flat_map(|count| (names(), option::of(texts()), (0..count).map(node).collect::<Vec<_>>()))
        .prop_map(|(name, version, nodes)| WorkflowSpec { name, version, nodes })
}
