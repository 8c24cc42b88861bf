//! Live runs left by an older version: parked, running, paused, compensating, cut between two commits of a family. They
//! continue from their journals, find their children, and repeat no step.
//!
//! IMPORTANT: `under-way.jsonl` must never be changed: it is what format 2 wrote, run by run, without the large
//! payloads, which are made here. The runs `told`, `cancelled` and `unborn` and their children were cut as by a crash.

mod workflows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orkestra_core::journal::decode;
use orkestra_core::prelude::*;
use orkestra_core::store::{Append, RunRecord};
use serde::Deserialize;
use serde_json::value::{RawValue, Value};
use sha2::{Digest, Sha256};

use super::world::{Effects, TokioClock};
use crate::stored::Stored;

const UNDER_WAY: &str = include_str!("under-way.jsonl");

/// A day after it was written: all sleeps have ended.
const NOW: Timestamp = Timestamp::from_millis(1_790_086_400_000);

/// A run as a store held it.
#[derive(Deserialize)]
struct Kept {
    record: RunRecord,
    /// The keys of its large payloads.
    blobs: Vec<String>,
    letters: Vec<Box<RawValue>>,
    commits: Vec<Stored>,
}

/// Puts a run into the store and returns its completed steps.
async fn put(store: &MemoryStore, kept: Kept) -> Vec<String> {
    let Kept { record, blobs, letters, commits } = kept;
    let run = record.id.clone();
    for text in ["a", "b", "c"].map(|name| format!("\"{}\"", name.repeat(workflows::LARGE))) {
        let key: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        if blobs.contains(&key) {
            store.put_blob(&run, &key, text.as_bytes()).await.expect("a store");
        }
    }
    assert_eq!(store.blob_keys(&run).await.expect("a store"), blobs, "the large payloads of `{run}`");
    let mut done = Vec::new();
    for stored in commits {
        let commit = stored.written(&run);
        for event in decode(&run, commit.first, commit.last, &commit.body).expect("an old journal is readable").events {
            if let Event::StepCompleted { node, step, .. } = event {
                done.push(format!("{run}/{node}/{step}"));
            }
        }
        let append = Append { commit, record: Some(record.clone()), taken: Vec::new() };
        store.append(vec![append]).await.remove(0).expect("it is written");
    }
    for letter in letters {
        store.send(&run, letter.get().as_bytes()).await.expect("it is sent");
    }
    done
}

/// Sends every run what it waits for, when it waits for it.
async fn serve(engine: &Engine) {
    let get = async |name: &str| {
        let id = RunId::new(name).expect("an id");
        engine.get(&id).await.expect("a store").expect("the run is there")
    };
    for name in ["once", "sinks", "order", "forked"] {
        get(name).await.signal("go", &true).await.expect("it is delivered");
    }
    get("undone").await.signal("refunded", &()).await.expect("it is delivered");
    get("paused").await.resume().await.expect("it continues");
    let waits = get("waits").await;
    waits.signal("go", "hello").await.expect("it is delivered");
    let question = waits.view().await.expect("a view").questions[0].id;
    waits.answer(question, "that one").await.expect("it is answered");
    let mut told = BTreeSet::new();
    for _ in 0..50 {
        let workflow = Some(Name::new("leaf").expect("a name"));
        let leaves = engine.list(&RunQuery { workflow, ..RunQuery::default() }).await.expect("a store");
        for leaf in leaves.items {
            let waits = leaf.status == RunStatus::Running && leaf.parent.as_deref() != Some("cancelled");
            if waits && told.insert(leaf.id.clone()) {
                get(&leaf.id).await.signal("go", &true).await.expect("it is delivered");
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn expected() -> BTreeMap<&'static str, Value> {
    let steps = ["a", "a", "b", "x/y", "a"];
    BTreeMap::from([
        ("parked", 40.into()),
        ("live", 40.into()),
        ("paused", 40.into()),
        ("told", 40.into()),
        ("unborn", 40.into()),
        ("again", 40.into()),
        ("wide", serde_json::json!([10, 20, 30])),
        ("keys", serde_json::json!([steps, 10, 20])),
        ("once", "paid".into()),
        ("order", "shipped for payment".into()),
        ("forked", "shipped for payment".into()),
        ("grown", 71.into()),
    ])
}

#[tokio::test(start_paused = true)]
async fn runs_of_the_previous_format_continue_and_finish() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let (mut done, mut runs) = (Vec::new(), BTreeSet::new());
    for line in UNDER_WAY.lines() {
        let kept: Kept = serde_json::from_str(line).expect("a run");
        runs.insert(kept.record.id.clone());
        done.append(&mut put(&store, kept).await);
    }
    let builder = Engine::builder().store(store.clone()).clock(TokioClock::at(NOW));
    let engine = workflows::on(builder, &effects).start().await.expect("an engine");
    serve(&engine).await;

    for (name, output) in expected() {
        let run = engine.get(&RunId::new(name).expect("an id")).await.expect("a store").expect("the run");
        assert_eq!(run.output::<Value>().await.expect("an output"), output, "{name}");
    }
    runs.insert(RunId::new("unborn/p/one").expect("an id"));
    let all = engine.list(&RunQuery { limit: 1000, ..RunQuery::default() }).await.expect("a store").items;
    assert_eq!(all.iter().map(|record| record.id.clone()).collect::<BTreeSet<_>>(), runs, "no child was started twice");
    for record in &all {
        assert!(record.status.is_final(), "{} is {:?}", record.id, record.status);
        assert_eq!(record.wake_at, None, "{} owes nothing", record.id);
    }
    for step in done {
        // The third use of that key is new.
        let new_uses = usize::from(step == "keys/k/a");
        assert_eq!(effects.count(&step), new_uses, "{step} was done before");
    }
    let ended = |name: &str| all.iter().find(|record| *record.id == *name).expect("the run").status;
    assert_eq!(ended("sinks"), RunStatus::Completed);
    assert_eq!(ended("waits"), RunStatus::Completed);
    assert_eq!(ended("undone"), RunStatus::Failed);
    assert_eq!(ended("cancelled/p/one"), RunStatus::Cancelled);
}
