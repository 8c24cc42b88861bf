//! Telemetry of the engine: spans with the ids of the journal, and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use orkestra_core::prelude::*;
use orkestra_core::telemetry::METRICS;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::world::{engine, journal};

#[test]
fn the_documentation_lists_every_metric() {
    let documented: Vec<&str> = include_str!("../../../../docs/observability.md")
        .lines()
        .filter(|line| line.starts_with("| `orkestra_"))
        .collect();
    let row = |metric: &orkestra_core::telemetry::Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, unit, meaning) = (metric.name, metric.kind, metric.unit, metric.meaning);
        format!("| `{name}` | {kind} | {unit} | {} | {meaning} |", labels.join(", "))
    };
    assert_eq!(documented, METRICS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn names_follow_one_scheme() {
    for metric in METRICS {
        let name = metric.name.strip_prefix("orkestra_").expect("the engine's own");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        let counts = metric.kind.to_string() == "counter";
        assert_eq!(name.ends_with("_total"), counts, "{name}");
        assert_eq!(name.ends_with("_seconds"), metric.unit == "seconds", "{name}");
        assert!(metric.labels.iter().all(|label| !label.contains("id")), "{name}: ids must not be labels");
    }
}

/// Fails its first attempt after a step that the second attempt remembers; the other step needs a second try.
async fn flaky(cx: Context, (): ()) -> TaskResult<u32> {
    let one = cx.step("one", || async { TaskResult::Ok(1) }).await?;
    if cx.attempt() == 1 {
        return Err(TaskError::new("the first attempt fails"));
    }
    let tries = std::sync::atomic::AtomicU32::new(0);
    let work = || async {
        tracing::info!("a line of the task's own log");
        match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Err(TaskError::new("the first try fails")),
            _ => Ok(2),
        }
    };
    let two = cx.step("two", work).retry(Retry::immediate(2)).await?;
    Ok(one + two)
}

/// Waits so long that its run is parked.
async fn patient(cx: Context, sum: u32) -> TaskResult<u32> {
    cx.sleep(secs(3600)).await?;
    Ok(sum)
}

fn workflow() -> Workflow {
    let builder = Workflow::new("watched").node("flaky", flaky).retry(Retry::immediate(3));
    let builder = builder.node("patient", patient).after("flaky").gate::<bool>("go").after("patient");
    builder.build().expect("a workflow")
}

/// A run that uses all of it, on an engine that has shut down.
async fn watched() -> Vec<Event> {
    let engine = engine(MemoryStore::new()).workflow(workflow()).start().await.expect("an engine");
    let run = engine.run("watched").id("one").start().await.expect("a run");
    let mut events = run.events(Cursor::START);
    let at_gate = |event: &Event| matches!(event, Event::AttemptStarted { node, .. } if **node == *"go");
    while !at_gate(&events.next().await.expect("readable").expect("the gate is waited for").event) {}
    run.signal("go", &true).await.expect("heard");
    assert!(run.output::<bool>().await.expect("an output"));
    engine.shutdown().await;
    journal(&run).await
}

/// Every recorded value, by metric and labels.
fn figures(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let shown = |key: &metrics::Key| {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        format!("{} {}", key.name(), labels.join(" ")).trim_end().to_owned()
    };
    snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| (shown(key.key()), value)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let recording = metrics::set_default_local_recorder(&recorder);
    watched().await;
    drop(recording);

    let figures = figures(&snapshotter);
    let names: std::collections::BTreeSet<_> =
        figures.keys().filter_map(|key| key.split(' ').next()).map(str::to_owned).collect();
    let documented: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(names, documented, "every metric is made, and only those");

    let counters = figures.iter().filter(|(key, _)| !key.contains("=other"));
    let counted = counters.filter_map(|(key, value)| match value {
        DebugValue::Counter(count) if *count > 0 => Some((key.as_str(), *count)),
        _ => None,
    });
    let expected = [
        ("orkestra_attempts_ended_total workflow=watched outcome=completed", 3),
        ("orkestra_attempts_ended_total workflow=watched outcome=failed", 1),
        ("orkestra_attempts_started_total workflow=watched", 4),
        ("orkestra_nodes_ended_total workflow=watched status=completed", 3),
        ("orkestra_retries_total workflow=watched", 1),
        ("orkestra_runs_ended_total workflow=watched status=completed", 1),
        ("orkestra_runs_parked_total workflow=watched", 1),
        ("orkestra_runs_started_total workflow=watched", 1),
        ("orkestra_signals_received_total workflow=watched", 1),
        ("orkestra_step_retries_total workflow=watched", 1),
        ("orkestra_steps_remembered_total workflow=watched", 1),
        ("orkestra_tasks_parked_total workflow=watched", 1),
    ];
    assert_eq!(counted.collect::<Vec<_>>(), expected);

    let recorded = |key: &str| match &figures[key] {
        DebugValue::Histogram(values) => values.iter().map(|value| value.into_inner()).collect::<Vec<_>>(),
        other => panic!("{key} is not a histogram: {other:?}"),
    };
    assert_eq!(recorded("orkestra_step_seconds workflow=watched outcome=completed").len(), 2);
    assert_eq!(recorded("orkestra_call_seconds workflow=watched outcome=failed").len(), 1);
    let took = recorded("orkestra_run_seconds workflow=watched status=completed");
    assert!(took.len() == 1 && took[0] >= 3600.0, "{took:?}");
    let (batches, commits) = (recorded("orkestra_commit_batch_commits"), recorded("orkestra_commit_seconds"));
    assert_eq!(batches.iter().sum::<f64>(), commits.len() as f64, "every commit was in one batch");
    assert!(matches!(&figures["orkestra_runs_live"], DebugValue::Gauge(live) if live.into_inner() == 0.0));
}

/// A recorded span: its name, its place in the tree, its fields.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    closed: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Records all spans of the engine, and the span of every line of the task's own log.
#[derive(Clone, Default)]
struct Capture {
    spans: Arc<Mutex<BTreeMap<u64, Seen>>>,
    order: Arc<Mutex<Vec<u64>>>,
    lines: Arc<Mutex<Vec<u64>>>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        if attributes.metadata().target() != "orkestra" {
            return;
        }
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.id().into_u64());
        let mut seen = Seen { name: attributes.metadata().name(), parent, ..Seen::default() };
        attributes.record(&mut seen);
        self.spans.lock().expect("no panic").insert(id.into_u64(), seen);
        self.order.lock().expect("no panic").push(id.into_u64());
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _context: LayerContext<'_, S>) {
        if let Some(seen) = self.spans.lock().expect("no panic").get_mut(&id.into_u64()) {
            values.record(seen);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: LayerContext<'_, S>) {
        if event.metadata().target().starts_with("it::") {
            self.lines.lock().expect("no panic").extend(context.lookup_current().map(|span| span.id().into_u64()));
        }
    }

    fn on_close(&self, id: Id, _context: LayerContext<'_, S>) {
        if let Some(seen) = self.spans.lock().expect("no panic").get_mut(&id.into_u64()) {
            seen.closed = true;
        }
    }
}

impl Capture {
    /// The spans as a tree, in order of their start: each with what distinguishes it from its siblings.
    fn tree(&self) -> Vec<String> {
        let spans = self.spans.lock().expect("no panic");
        let depth = |span: &Seen| std::iter::successors(span.parent, |parent| spans[parent].parent).count();
        let shown = |span: &Seen| {
            let own = ["workflow", "node", "attempt", "step"].map(|field| span.fields.get(field).cloned());
            let own = own.into_iter().flatten().collect::<Vec<_>>().join("/");
            format!("{}{} {own}", "  ".repeat(depth(span)), span.name)
        };
        self.began().iter().map(|id| shown(&spans[id])).collect()
    }

    fn began(&self) -> Vec<u64> {
        self.order.lock().expect("no panic").clone()
    }

    fn find(&self, name: &str, node: &str, attempt: &str, nth: usize) -> Seen {
        let spans = self.spans.lock().expect("no panic");
        let is =
            |seen: &&Seen, field, value: &str| value.is_empty() || seen.fields.get(field).is_some_and(|v| v == value);
        let found = self.began().into_iter().map(|id| &spans[&id]).filter(|seen| seen.name == name).map(Clone::clone);
        let mut found = found.filter(|seen| is(&seen, "node", node) && is(&seen, "attempt", attempt));
        found.nth(nth).unwrap_or_else(|| panic!("no span {name} {node} {attempt}"))
    }
}

#[tokio::test(start_paused = true)]
async fn spans_form_a_tree_with_the_ids_of_the_journal() {
    let capture = Capture::default();
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(capture.clone()));
    let journal = watched().await;
    // Dropped tasks are gone after everything else had its turn.
    tokio::time::sleep(secs(1)).await;
    drop(listening);

    let expected = [
        "run watched",
        "  node watched/flaky",
        "    attempt watched/flaky/1",
        "      step flaky/1/one",
        "    attempt watched/flaky/2",
        "      step flaky/2/two",
        "  node watched/patient",
        "    attempt watched/patient/1",
        "run watched",
        "  node watched/patient",
        "    attempt watched/patient/1",
        "  node watched/go",
    ];
    assert_eq!(capture.tree(), expected);
    let spans = capture.spans.lock().expect("no panic").clone();
    assert!(
        spans.values().all(|span| span.closed && span.fields["run_id"] == "one" && span.fields.contains_key("epoch"))
    );

    let seq = |is: &dyn Fn(&Event) -> bool| (journal.iter().position(is).expect("an event") + 1).to_string();
    let began = |wanted: &'static str, number: u32| {
        seq(
            &move |event| matches!(event, Event::AttemptStarted { node, attempt, .. } if **node == *wanted && *attempt == number),
        )
    };
    let done = |key: &'static str| seq(&move |event| matches!(event, Event::StepCompleted { step, .. } if step == key));
    for attempt in [1, 2] {
        assert_eq!(capture.find("attempt", "flaky", &attempt.to_string(), 0).fields["seq"], began("flaky", attempt));
    }
    assert_eq!(capture.find("step", "flaky", "1", 0).fields["seq"], done("one"));
    assert_eq!(capture.find("step", "flaky", "2", 0).fields["seq"], done("two"));
    assert_eq!(capture.find("node", "patient", "", 0).fields["seq"], began("patient", 1));
    let epochs = [0, 1].map(|nth| capture.find("run", "", "", nth).fields["epoch"].clone());
    assert_ne!(epochs[0], epochs[1], "each stay in memory has its own lease");

    let run = capture.find("run", "", "", 1);
    assert_eq!(run.fields["status"], "completed");
    let failed = capture.find("attempt", "flaky", "1", 0).fields;
    assert_eq!(
        ["otel.name", "otel.status_code", "otel.status_description", "error.type"].map(|field| failed[field].as_str()),
        ["attempt flaky", "ERROR", "the first attempt fails", "error"]
    );
    assert!(!capture.find("attempt", "flaky", "2", 0).fields.contains_key("otel.status_code"));
    assert!(!capture.find("step", "flaky", "2", 0).fields.contains_key("otel.status_code"), "a later try went well");
    let lines = capture.lines.lock().expect("no panic").clone();
    assert_eq!(lines.iter().map(|id| spans[id].fields["step"].as_str()).collect::<Vec<_>>(), ["two", "two"]);
}

/// Is slow when a span closes, like an exporter on a busy machine.
#[derive(Clone, Default)]
struct SlowClosing(Arc<Mutex<Vec<&'static str>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SlowClosing {
    fn on_close(&self, id: Id, context: LayerContext<'_, S>) {
        let name = context.span(&id).map(|span| span.metadata().name());
        if name == Some("run") {
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        self.0.lock().expect("no panic").extend(name);
    }
}

#[test]
fn spans_are_closed_when_the_engine_has_shut_down() {
    let closed = SlowClosing::default();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(closed.clone()));
    // The guard of a worker thread lives as long as the thread.
    let listen = move || std::mem::forget(tracing::dispatcher::set_default(&dispatch));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().on_thread_start(listen).build();
    let test = async move {
        let workflow = Workflow::new("short").node("flaky", flaky).retry(Retry::immediate(3)).build();
        let engine = Engine::builder().workflow(workflow.expect("a workflow")).start().await.expect("an engine");
        let run = engine.run("short").id("one").start().await.expect("a run");
        run.output::<u32>().await.expect("an output");
        engine.shutdown().await;
        let closed = closed.0.lock().expect("no panic").clone();
        assert_eq!(closed.last(), Some(&"run"), "what is outermost closes last: {closed:?}");
    };
    let runtime = runtime.expect("a runtime");
    runtime.block_on(runtime.spawn(test)).expect("the assertion holds");
}
