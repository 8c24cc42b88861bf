//! Keys that belong to something else, in a run of an old version: it concatenated names, so that two requests shared a key.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_core::store::Store;

use crate::sample::SampleRun;
use crate::virtual_time::VirtualClock;

#[derive(Default)]
struct Seen {
    errors: Mutex<Vec<TaskError>>,
    calls: AtomicU32,
}

/// Makes each of the errors, and one error that only reads like one.
async fn take_keys(cx: Context, seen: &Seen) -> TaskResult<()> {
    let note = |error: Option<TaskError>| seen.errors.lock().expect("no test panics here").extend(error);
    if seen.calls.fetch_add(1, Ordering::Relaxed) == 0 {
        cx.step("k", || async { TaskResult::Ok(1_u8) }).await?;
    } else {
        note(cx.step("k", || async { TaskResult::Ok(String::new()) }).await.err());
    }
    // The task is parked meanwhile, and called again.
    cx.sleep(days(1)).await?;
    // The third sleep has the key `sleep#3`.
    let soon = Duration::from_millis(10);
    let step = cx.step("sleep#3", || async { TaskResult::Ok(1_u8) });
    let (second, third, step) = tokio::join!(cx.sleep(soon), cx.sleep(soon), step);
    second.and(third)?;
    note(step.err());
    // Both children have the id `r/work/a.0`.
    let (all, one) = tokio::join!(cx.map_runs::<_, ()>("a", 1, "child", [()]), cx.child::<()>("a.0", "child", ()));
    all?;
    note(one.err());
    let refused = || async { Err::<(), _>(TaskError::permanent("key `k` is already in use for a text")) };
    note(cx.step("refused", refused).await.err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_key_that_belongs_to_something_else_is_recognised() {
    let store = MemoryStore::new();
    let mut sample = SampleRun::new("r");
    store.append(vec![sample.create()]).await.remove(0).expect("it is written");
    let seen = Arc::new(Seen::default());
    let sees = Arc::clone(&seen);
    let work = move |cx: Context, (): ()| {
        let seen = Arc::clone(&sees);
        async move { take_keys(cx, &seen).await }
    };
    async fn child(_cx: Context, (): ()) -> TaskResult<()> {
        Ok(())
    }
    let children = Workflow::new("child").node("c", child).build().expect("a workflow");
    let builder = Engine::builder().store(store).clock(VirtualClock::default());
    let engine = builder.task("work", work).workflow(children).start().await.expect("an engine");
    let run = engine.get(sample.id()).await.expect("a store").expect("the run");
    run.outcome().await.expect("an end");
    let seen = seen.errors.lock().expect("no test panics here");
    let found: Vec<_> = seen.iter().map(|error| (error.is_key_taken(), error.to_string())).collect();
    let taken: Vec<_> = found.iter().map(|(taken, _)| *taken).collect();
    assert_eq!(taken, [true, true, true, false], "{found:?}");
    let texts = ["another type", "already in use for", "another step already waits"];
    for (text, (_, error)) in texts.into_iter().zip(&found) {
        assert!(error.contains(text), "{error}");
    }
}
