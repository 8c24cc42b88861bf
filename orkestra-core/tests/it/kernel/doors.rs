//! Everything accepted can be read back: workflows and growth made in Rust, with any values that Rust allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use orkestra_core::journal::{Commit, check_written, encode};
use orkestra_core::kernel::{Event, Input, InputKind, TaskRequest, decide};
use orkestra_core::model::limits::{
    CONDITION_DEPTH_MAX, CONDITION_VALUE_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX,
};
use orkestra_core::model::{
    Condition, Epoch, Growth, NodeSpec, Payload, Plan, PlanError, Retry, RunId, SlotBy, SlotSpec, Test, Timestamp,
    WorkflowSpec,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::scene::{Scene, asks, create, grow, json, name, task};

fn nested(depth: usize) -> Payload {
    serde_json::from_str(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).expect("the text is kept unchanged")
}

fn long(bytes: usize) -> Payload {
    serde_json::from_str(&format!("\"{}\"", "x".repeat(bytes - 2))).expect("a text")
}

fn deep(levels: usize) -> Condition {
    let innermost = Condition::input("", Test::Present);
    (1..levels).fold(innermost, |inside, _| Condition::Not(Box::new(inside)))
}

fn when(condition: Condition) -> NodeSpec {
    task("n").with_condition(condition)
}

fn compares(is: Test) -> NodeSpec {
    when(Condition::input("/a", is))
}

fn under(by: SlotBy) -> NodeSpec {
    task("n").with_limit(SlotSpec { limit: name("l"), by: Some(by) })
}

fn retry(change: impl FnOnce(&mut Retry)) -> NodeSpec {
    let mut retry = Retry::exponential(2);
    change(&mut retry);
    task("n").with_retry(retry)
}

/// Refused nodes, and the words of the refusal.
fn refused() -> Vec<(NodeSpec, &'static str)> {
    let infinite = "cannot be written as JSON: use a finite number";
    vec![
        (when(Condition::input("risk", Test::Present)), "`when`: invalid JSON pointer `risk`: it must be empty"),
        (when(Condition::input("/a~2", Test::Present)), "`when`: invalid JSON pointer `/a~2`: write `~` as `~0`"),
        (when(deep(CONDITION_DEPTH_MAX + 1)), "`when`: the condition nests deeper than 16 levels"),
        (when(deep(200)), "`when`: the condition nests deeper than 16 levels"),
        (compares(Test::AtMost(f64::INFINITY)), infinite),
        (compares(Test::AtLeast(f64::NEG_INFINITY)), infinite),
        (compares(Test::AtLeast(f64::NAN)), infinite),
        (when(Condition::All(vec![Condition::input("/a", Test::AtMost(f64::NAN))])), infinite),
        (when(Condition::Not(Box::new(Condition::input("a", Test::Absent)))), "invalid JSON pointer"),
        (compares(Test::Equals(nested(PAYLOAD_DEPTH_MAX + 1))), "`when`: the payload nests 121 levels deep"),
        (compares(Test::NotEquals(long(CONDITION_VALUE_BYTES_MAX + 1))), "`when`: the payload has 65537 bytes"),
        (retry(|retry| retry.jitter = f64::NAN), "`retry.jitter`: it must be from 0 to 1"),
        (retry(|retry| retry.jitter = 1.5), "`retry.jitter`: it must be from 0 to 1"),
        (retry(|retry| retry.factor = f64::INFINITY), "`retry.factor`: it must be at least 1"),
        (retry(|retry| retry.factor = f64::NAN), "`retry.factor`: it must be at least 1"),
        (retry(|retry| retry.factor = 0.5), "`retry.factor`: it must be at least 1"),
        (retry(|retry| retry.attempts_max = 0), "`retry.attempts_max`: it must be at least 1"),
        (under(SlotBy::Input("tenant".into())), "`limits`: invalid JSON pointer `tenant`"),
        (under(SlotBy::Label(String::new())), "`limits`: the name of a label must not be empty"),
        (task("n").with_input(nested(PAYLOAD_DEPTH_MAX + 1)), "`input`: the payload nests 121 levels deep"),
        (task("n").with_input(long(PAYLOAD_BYTES_MAX + 1)), "`input`: the payload has 2097153 bytes"),
    ]
}

fn workflow(nodes: Vec<NodeSpec>) -> WorkflowSpec {
    WorkflowSpec { name: name("w"), version: None, nodes }
}

#[test]
fn a_plan_that_could_not_be_read_back_is_refused() {
    for (node, words) in refused() {
        let error = Plan::new(&workflow(vec![node])).expect_err(words);
        assert!(matches!(error, PlanError::Field { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.starts_with("node `n`, `") && said.contains(words), "{said}");
    }
}

#[test]
fn growth_that_could_not_be_read_back_is_refused_and_the_run_continues() {
    for (node, words) in refused() {
        let mut scene = Scene::of([task("a")]);
        let request = TaskRequest::Grow { step: "k".into(), growth: Growth::new().with_node(node) };
        let kind = InputKind::Task { node: name("a"), attempt: 1, request };
        let error = scene.feed(kind).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        scene.then(asks("a#1", grow("k", Growth::new().with_node(task("b")))), ["a/k grew [b] []", "b#1 started"]);
    }
}

#[test]
fn a_plan_at_every_limit_is_accepted_and_reads_back() {
    for node in [
        when(deep(CONDITION_DEPTH_MAX)),
        when(Condition::input("/~0~1", Test::AtMost(f64::MAX))),
        compares(Test::AtLeast(-f64::MIN_POSITIVE)),
        compares(Test::Equals(nested(PAYLOAD_DEPTH_MAX))),
        compares(Test::Equals(long(CONDITION_VALUE_BYTES_MAX))),
        compares(Test::Equals(json("null"))),
        retry(|retry| (retry.factor, retry.jitter) = (f64::MAX, 1.0)),
        under(SlotBy::Input(String::new())),
        task("n").with_input(nested(PAYLOAD_DEPTH_MAX)),
        task("n").with_input(json("null")),
    ] {
        let plan = Plan::new(&workflow(vec![node])).expect("it is allowed");
        reads_back(created(plan)).expect("it reads back");
    }
}

/// What an older version accepted and could read stays readable.
#[test]
fn an_old_plan_is_read_although_it_would_be_refused_now() {
    for node in [
        r#"{"name":"n","task":"t","retry":{"attempts_max":0,"factor":0.5,"jitter":7.0}}"#,
        r#"{"name":"n","task":"t","limits":[{"limit":"l","by":{"input":"tenant"}},{"limit":"l","by":{"label":""}}]}"#,
        r#"{"name":"n","task":"t","when":{"pointer":"/a~2","is":{"at_least":9007199254740992.0}}}"#,
    ] {
        let text = format!(r#"{{"name":"w","nodes":[{node}]}}"#);
        let plan: Plan = serde_json::from_str(&text).expect("it was accepted once");
        reads_back(created(plan.clone())).expect("it is written again, by a fork");
        Plan::new(&plan.spec()).expect_err("it is not accepted any more");
    }
    let mut scene = Scene::of([task("a")]);
    let node = retry(|retry| retry.jitter = 7.0);
    let grown = Event::Grown { node: name("a"), step: "k".into(), growth: Growth::new().with_node(node) };
    orkestra_core::kernel::apply(&scene.run, &mut scene.state, Timestamp::ZERO, &grown).expect("it was accepted once");
}

fn created(plan: Plan) -> Event {
    Event::RunCreated { plan: Arc::new(plan), input: Payload::null(), labels: BTreeMap::new(), options: Box::default() }
}

fn reads_back(event: Event) -> Result<(), String> {
    let run = RunId::new("r").expect("an id");
    let (first, epoch, at) = (orkestra_core::model::Seq(1), Epoch(1), Timestamp::ZERO);
    let commit = Commit { run, first, epoch, at, events: vec![event] };
    let written = encode(&commit).map_err(|error| error.to_string())?;
    check_written(&commit, &written).map_err(|error| error.to_string())
}

#[test]
fn a_commit_that_reads_back_differently_is_refused() {
    let mut plan = workflow(vec![task("n")]);
    // A number that JSON does not have, past the checks: as if a check had been forgotten.
    plan.nodes[0].retry.jitter = f64::NAN;
    let growth = Growth { nodes: plan.nodes, edges: Vec::new() };
    let why = reads_back(Event::Grown { node: name("n"), step: "k".into(), growth }).expect_err("it cannot be read");
    assert!(why.starts_with("the commit is damaged: "), "{why}");
}

fn floats() -> impl Strategy<Value = f64> {
    let odd = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0, 5e-324, 1e23, 0.1];
    prop_oneof![any::<f64>(), proptest::sample::select(odd), 0.0..2.0]
}

fn payloads() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (1..PAYLOAD_DEPTH_MAX + 20).prop_map(nested),
        proptest::sample::select(vec![
            "null",
            "1e999",
            "-0.0",
            "18446744073709551617",
            r#""\ud800""#,
            r#"{"a":1,"a":2}"#
        ])
        .prop_map(|text| serde_json::from_str(text).expect("the text is kept")),
        any::<String>().prop_map(|text| Payload::of(&text).expect("a text")),
        any::<f64>()
            .prop_filter("no JSON", |number| number.is_finite())
            .prop_map(|n| Payload::of(&n).expect("a number")),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    let tests = prop_oneof![
        payloads().prop_map(Test::Equals),
        payloads().prop_map(Test::NotEquals),
        floats().prop_map(Test::AtLeast),
        floats().prop_map(Test::AtMost),
        Just(Test::Truthy),
    ];
    let one = (texts(), tests).prop_map(|(pointer, is)| Condition::Test { node: None, pointer, is });
    one.prop_recursive(4, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Condition::All),
            vec(inner.clone(), 0..3).prop_map(Condition::Any),
            (inner, 0..20_usize)
                .prop_map(|(inner, times)| { (0..times).fold(inner, |inside, _| Condition::Not(Box::new(inside))) }),
        ]
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), any::<String>().prop_map(|text| format!("/{text}")), Just(String::new())]
}

fn nodes() -> impl Strategy<Value = NodeSpec> {
    let retries = (any::<u32>(), any::<u64>(), floats(), any::<u64>(), floats()).prop_map(
        |(attempts_max, initial_ms, factor, delay_ms_max, jitter)| Retry {
            attempts_max,
            initial_ms,
            factor,
            delay_ms_max,
            jitter,
        },
    );
    let by =
        prop_oneof![texts().prop_map(SlotBy::Label), texts().prop_map(SlotBy::Input), texts().prop_map(SlotBy::Key)];
    let time = || option::of(any::<u64>());
    let parts = (option::weighted(0.3, conditions()), prop_oneof![3 => Just(Retry::none()), 1 => retries]);
    (parts, option::weighted(0.2, by), option::weighted(0.3, payloads()), (time(), option::of(any::<String>())))
        .prop_map(|((when, retry), by, input, (timeout_ms, version))| {
            let limits = by.map(|by| SlotSpec { limit: name("l"), by: Some(by) }).into_iter().collect();
            NodeSpec { when, retry, limits, input, timeout_ms, version, ..task("n") }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accepted_nodes_read_back_unchanged(node in nodes(), labels in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3)) {
        if let Ok(plan) = Plan::new(&workflow(vec![node.clone()])) {
            let (plan, input) = (Arc::new(plan), json("1"));
            let kind = InputKind::Create { plan, input, labels, options: Box::default() };
            let run = RunId::new("r").expect("an id");
            for event in decide(&run, &mut None, Input { at: Timestamp::ZERO, chance: 0.0, kind }).expect("it begins") {
                prop_assert_eq!(reads_back(event), Ok(()));
            }
        }
        let mut scene = Scene::nothing();
        scene.feed(create([task("a")])).expect("it begins");
        let request = TaskRequest::Grow { step: "k".into(), growth: Growth::new().with_node(node) };
        let kind = InputKind::Task { node: name("a"), attempt: 1, request };
        for event in scene.feed(kind).unwrap_or_default() {
            prop_assert_eq!(reads_back(event), Ok(()));
        }
    }
}
