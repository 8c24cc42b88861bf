//! The OpenTelemetry spans of a run: run, node, attempt and step, each with the ids of the journal.
//!
//! `cargo run --example telemetry`. Replace `Printer` by an exporter for your collector; `docs/observability.md` lists the spans
//! and the metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opentelemetry::SpanId;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use orkestra::prelude::*;
use tracing_subscriber::prelude::*;

async fn fetch(cx: Context, url: String) -> TaskResult<String> {
    let page = cx.step("download", || async { TaskResult::Ok(format!("the page at {url}")) }).await?;
    // In the second attempt the result of the step comes from the journal, so it has no span.
    if cx.attempt() == 1 {
        return Err(TaskError::new("the page was incomplete"));
    }
    cx.step("check", || async {
        tracing::info!("this line belongs to the step");
        TaskResult::Ok(page.clone())
    })
    .await
}

async fn summarise(_cx: Context, page: String) -> TaskResult<usize> {
    Ok(page.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let printer = Printer::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(printer.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("orkestra"));
    tracing_subscriber::registry().with(layer).init();

    let builder = Workflow::new("digest").node("fetch", fetch).retry(Retry::immediate(2));
    let workflow = builder.node("summarise", summarise).after("fetch").build()?;
    let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await?;
    let run = engine.run("digest").id("monday").input("https://example.org")?.start().await?;
    run.output::<usize>().await?;
    engine.shutdown().await;
    provider.shutdown()?;

    let lines = printer.tree();
    println!("{}", lines.join("\n"));
    // CI runs this example: a missing span, or one with another parent, is an error.
    let shape: Vec<_> = lines.iter().filter_map(|line| line.split(" [").next()).collect();
    if shape == EXPECTED { Ok(()) } else { Err(format!("unexpected spans; expected {EXPECTED:#?}").into()) }
}

const EXPECTED: [&str; 8] = [
    "run",
    "  node fetch",
    "    attempt fetch",
    "      step download",
    "    attempt fetch",
    "      step check",
    "  node summarise",
    "    attempt summarise",
];

/// An exporter that collects ended spans, to print them as a tree.
#[derive(Clone, Debug, Default)]
struct Printer(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Printer {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("no panic while locked").extend(batch);
        Ok(())
    }
}

impl Printer {
    fn tree(&self) -> Vec<String> {
        let mut spans = std::mem::take(&mut *self.0.lock().expect("no panic while locked"));
        spans.sort_by_key(|span| span.start_time);
        let mut children: HashMap<SpanId, Vec<&SpanData>> = HashMap::new();
        for span in &spans {
            children.entry(span.parent_span_id).or_default().push(span);
        }
        let mut lines = Vec::new();
        below(&children, SpanId::INVALID, 0, &mut lines);
        lines
    }
}

fn below(children: &HashMap<SpanId, Vec<&SpanData>>, parent: SpanId, depth: usize, lines: &mut Vec<String>) {
    for span in children.get(&parent).into_iter().flatten() {
        let ids = ["run_id", "attempt", "seq", "epoch", "error.type"];
        let of = |id: &&str| span.attributes.iter().find(|found| found.key.as_str() == *id);
        let ids: Vec<_> = ids.iter().filter_map(of).map(|found| format!("{}={}", found.key, found.value)).collect();
        lines.push(format!("{}{} [{}]", "  ".repeat(depth), span.name, ids.join(" ")));
        below(children, span.span_context.span_id(), depth + 1, lines);
    }
}
