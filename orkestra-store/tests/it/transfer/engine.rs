//! An engine continues runs that were moved, whatever the epochs in their journals.

use std::sync::atomic::{AtomicU32, Ordering};

use orkestra_core::Engine;
use orkestra_core::journal::encode_letter;
use orkestra_core::kernel::InputKind;
use orkestra_core::prelude::{Context, Cursor, Event, Name, Payload, TaskResult, Workflow};
use orkestra_core::store::{MemoryStore, claim_one};

use super::*;

/// How often the step of each task ran, in all processes.
#[derive(Clone, Default)]
pub(crate) struct StepCounts(Arc<[AtomicU32; 2]>);

impl StepCounts {
    fn count(&self, which: usize) -> u32 {
        self.0[which].fetch_add(1, Ordering::Relaxed) + 1
    }

    fn counts(&self) -> [u32; 2] {
        [0, 1].map(|which| self.0[which].load(Ordering::Relaxed))
    }
}

/// An engine with a workflow that runs a step, waits for a signal, and runs another step.
async fn engine(store: Arc<dyn Store>, made: &StepCounts) -> Engine {
    let (first, second) = (made.clone(), made.clone());
    let begin = move |cx: Context, (): ()| {
        let made = first.clone();
        async move { cx.step("begin", || async { TaskResult::Ok(made.count(0)) }).await }
    };
    let end = move |cx: Context, name: String| {
        let made = second.clone();
        async move { cx.step("end", || async { TaskResult::Ok(format!("{name} {}", made.count(1))) }).await }
    };
    let workflow = Workflow::new("moved")
        .node("begin", begin)
        .gate::<String>("go")
        .after("begin")
        .node("end", end)
        .after("go")
        .build()
        .expect("a workflow");
    Engine::builder().shared_store(store).workflow(workflow).start().await.expect("it starts")
}

/// Starts a run and leaves it at its gate.
async fn start_run(store: Arc<dyn Store>, made: &StepCounts, run: &str) {
    let engine = engine(store, made).await;
    let started = engine.run("moved").id(run).start().await.expect("it starts");
    let mut events = started.events(Cursor::START);
    while let Some(event) = events.next().await.expect("events") {
        if matches!(event.event, Event::NodeCompleted { .. }) {
            break;
        }
    }
    engine.shutdown().await;
}

/// Moves everything; one run gets a letter before.
pub(crate) async fn move_runs(from: &dyn Store, to: &dyn Store) {
    let letter = InputKind::Signal { signal: Name::new("go").expect("a name"), payload: payload() };
    let letter = encode_letter(letter).expect("it serialises").expect("it may be sent");
    from.send(&id("by-letter"), &letter).await.expect("it is sent");
    let options = ExportOptions::new(worker("export"));
    let (lines, _) = exported(from, &options).await.expect("it is exported");
    imported(to, &lines).await.expect("it is imported");
}

fn payload() -> Payload {
    Payload::of("you").expect("a payload")
}

pub(crate) async fn continues(store: Arc<dyn Store>, made: &StepCounts) {
    let engine = engine(store, made).await;
    let run = |run: RunId| {
        let engine = engine.clone();
        async move { engine.get(&run).await.expect("it answers").expect("it is there") }
    };
    let (by_letter, by_hand) = (run(id("by-letter")).await, run(id("by-hand")).await);
    let output: String = by_letter.output().await.expect("the letter is enough");
    assert!(output.starts_with("you "), "{output}");
    by_hand.signal("go", "me").await.expect("it is sent");
    let output: String = by_hand.output().await.expect("it ends");
    assert!(output.starts_with("me "), "{output}");
    engine.shutdown().await;
    assert_eq!(made.counts(), [2, 2], "no step ran twice");
}

pub(crate) async fn start_both(store: &Arc<dyn Store>, made: &StepCounts) {
    for run in ["by-letter", "by-hand"] {
        start_run(Arc::clone(store), made, run).await;
    }
}

#[tokio::test]
async fn an_engine_continues_runs_moved_from_memory_to_memory() {
    let (from, made): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::new()), StepCounts::default());
    for _ in 0..100 {
        let claimed = claim_one(&*from, &id("nobody"), &worker("nobody"), Timestamp::ZERO, Timestamp::ZERO).await;
        assert!(claimed.is_ok_and(|claimed| claimed.is_some()));
    }
    start_both(&from, &made).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    move_runs(&*from, &*store).await;
    assert!(claims_below_journal(&*store).await, "the epochs of the journals are higher than those of claims");
    continues(store, &made).await;
}

#[tokio::test]
async fn an_engine_continues_runs_moved_from_memory_to_disk() {
    for backend in BACKENDS {
        let (memory, made): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::new()), StepCounts::default());
        start_both(&memory, &made).await;
        let directory = tempfile::tempdir().expect("a directory");
        let store = opened(*backend, &directory).shared();
        move_runs(&*memory, &*store).await;
        continues(store, &made).await;
    }
}

#[tokio::test]
async fn an_engine_continues_runs_moved_from_disk_to_memory_with_lower_epochs() {
    for backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory");
        let made = StepCounts::default();
        let from = opened(*backend, &directory).shared();
        start_both(&from, &made).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        move_runs(&*from, &*store).await;
        assert!(claims_below_journal(&*store).await, "the epochs of the journals are higher than those of claims");
        continues(store, &made).await;
    }
}

#[tokio::test]
async fn an_engine_continues_runs_moved_from_an_old_store_to_a_new_one_with_lower_epochs() {
    for (from, to) in BACKENDS.iter().flat_map(|from| BACKENDS.iter().map(move |to| (*from, *to))) {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..3 {
            drop(opened(from, &directory));
        }
        let made = StepCounts::default();
        let from = opened(from, &directory).shared();
        start_both(&from, &made).await;
        let other = tempfile::tempdir().expect("a directory");
        let store = opened(to, &other).shared();
        move_runs(&*from, &*store).await;
        assert!(claims_below_journal(&*store).await, "the epochs of the journals are higher than those of claims");
        continues(store, &made).await;
    }
}

/// Whether a claim gets a lower epoch than the run's journal has.
pub(crate) async fn claims_below_journal(store: &dyn Store) -> bool {
    let run = id("by-hand");
    let journal = store.read(&run, Seq(1), usize::MAX).await.expect("it reads");
    let claimed = claim_one(store, &run, &worker("look"), Timestamp::ZERO, Timestamp::ZERO).await.expect("a claim");
    let lease = claimed.expect("it is free").lease;
    store.release(std::slice::from_ref(&lease)).await.expect("released");
    journal.iter().any(|commit| commit.epoch > lease.epoch)
}
