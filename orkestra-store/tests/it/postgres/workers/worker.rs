//! The part of worker processes, and the workflows that all processes register.
//!
//! Effects of tasks are written to a file, which a worker can also reach while it is disconnected from the database.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use orkestra_core::EngineBuilder;
use orkestra_core::prelude::*;
use orkestra_store::PostgresStore;

use crate::support::child::report_line;

pub(crate) const LEASE: Duration = secs(4);
/// The most runs a worker may drive: more than are ever in progress, because in the end one worker has them all.
const RUNS_MAX: usize = 400;

/// The file for this process's effects, and its name.
static WORLD: OnceLock<(File, String)> = OnceLock::new();

/// Microseconds by the clock that all processes on this machine share, including the server.
#[expect(clippy::disallowed_methods, reason = "the shared clock orders what several processes did")]
pub(crate) fn micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(now.as_micros()).expect("it is earlier than the year 292,000")
}

/// Records an effect of a task: `what` is `effect`, once per execution of a step, or `tick`, a sign of activity.
fn act(what: &str, cx: &Context, step: &str) {
    let (file, worker) = WORLD.get().expect("only workers call tasks");
    let line = format!("{what} {} {} {step} {} {worker} {}\n", cx.run_id(), cx.node(), cx.attempt(), micros());
    // A single write is complete whatever happens to the process.
    (&*file).write_all(line.as_bytes()).expect("the file takes it");
}

async fn step(cx: &Context, key: &'static str, result: u64) -> TaskResult<u64> {
    cx.step(key, || async move {
        act("effect", cx, key);
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok::<_, TaskError>(result)
    })
    .await
}

async fn gather(cx: Context, number: u64) -> TaskResult<u64> {
    Ok(number + step(&cx, "one", 1).await? + step(&cx, "two", 2).await?)
}

async fn wait(cx: Context, sum: u64) -> TaskResult<u64> {
    let number: u64 = cx.run_input()?;
    cx.sleep(Duration::from_millis(50 + number % 7 * 50)).await?;
    let told = if is_told(number) { cx.signal::<u64>("go").await? } else { 0 };
    Ok(sum + told)
}

async fn long(cx: Context, sum: u64) -> TaskResult<u64> {
    let number: u64 = cx.run_input()?;
    let ticks = if number.is_multiple_of(5) { 20 + number % 4 * 8 } else { 0 };
    let (cx, counted) = (&cx, ticks);
    cx.step("long", || async move {
        act("effect", cx, "long");
        for _ in 0..counted {
            tokio::time::sleep(Duration::from_millis(100)).await;
            act("tick", cx, "long");
        }
        Ok::<_, TaskError>(())
    })
    .await?;
    Ok(sum)
}

async fn divide(cx: Context, sum: u64) -> TaskResult<u64> {
    let number: u64 = cx.run_input()?;
    let more = if has_child(number) { cx.child::<u64>("piece", "piece", number).await? } else { 0 };
    Ok(sum + more)
}

async fn finish(cx: Context, sum: u64) -> TaskResult<u64> {
    Ok(sum + step(&cx, "last", 100).await?)
}

async fn piece(cx: Context, number: u64) -> TaskResult<u64> {
    Ok(10 * number + step(&cx, "piece", 5).await?)
}

/// Whether the run with this number waits for a signal. Its payload is 7.
pub(crate) const fn is_told(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// Whether it has a child run.
pub(crate) const fn has_child(number: u64) -> bool {
    number % 4 == 1
}

/// The output of the run with this number.
pub(crate) const fn output(number: u64) -> u64 {
    let told = if is_told(number) { 7 } else { 0 };
    let child = if has_child(number) { 10 * number + 5 } else { 0 };
    number + 103 + told + child
}

/// The engine builder that all processes use.
pub(crate) fn builder(store: PostgresStore, name: &str) -> EngineBuilder {
    let order = Workflow::new("order").node("gather", gather).node("wait", wait).after("gather");
    let order = order.node("long", long).after("wait").node("divide", divide).after("long");
    let order = order.node("finish", finish).after("divide").build().expect("a workflow");
    let piece = Workflow::new("piece").node("piece", piece).build().expect("a workflow");
    let builder = Engine::builder().store(store).worker(name).lease(LEASE).park_after(Duration::from_millis(200));
    builder.workflow(order).workflow(piece)
}

/// `worker <url> <schema> <name> <file>`: drives runs until it is told to shut down or its input ends.
pub(crate) async fn work(words: &[&str]) {
    let [url, schema, name, file] = words else { panic!("a worker needs four arguments: {words:?}") };
    let recorder = DebuggingRecorder::new();
    let counted = recorder.snapshotter();
    recorder.install().expect("the first recorder of this process");
    let file = OpenOptions::new().append(true).create(true).open(file).expect("the file opens");
    WORLD.set((file, (*name).to_owned())).expect("a process is one worker");
    // The options of an ordinary application.
    let store = PostgresStore::options().with_schema(*schema).connect(url).await.expect("the store opens");
    let engine = builder(store, name).runs_max(RUNS_MAX).start().await.expect("an engine");
    report_line("ready");
    let (sender, mut said) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines();
        lines.map_while(Result::ok).take_while(|line| sender.blocking_send(line.clone()).is_ok()).for_each(drop);
    });
    while let Some(line) = said.recv().await {
        match &*line {
            "report" => report(&engine, &counted).await,
            "shut down" => {
                engine.shutdown().await;
                report_line("shut down");
                return;
            }
            other => panic!("unknown command `{other}`"),
        }
    }
}

async fn report(engine: &Engine, counted: &Snapshotter) {
    let health = engine.health().await;
    let blocked: Vec<_> = engine.blocked().iter().map(|(run, error)| format!("{run}: {error}")).collect();
    let (mut fenced, mut unknown, mut lost) = (0, 0, 0);
    for (key, _, _, value) in counted.snapshot().into_vec() {
        let DebugValue::Counter(count) = value else { continue };
        let reason = key.key().labels().next().map(|label| label.value().to_owned()).unwrap_or_default();
        match (key.key().name(), &*reason) {
            ("orkestra_commits_refused_total", "fenced") => fenced += count,
            ("orkestra_commits_refused_total", _) => unknown += count,
            ("orkestra_leases_lost_total", _) => lost += count,
            _ => {}
        }
    }
    report_line(format!("{} {fenced} {unknown} {lost} {}", health.live, blocked.join("; ")));
}
