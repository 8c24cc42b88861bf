//! The keys of a task's steps and waits: all are distinct, and ambiguous ones are refused.

use std::time::Duration;

use orkestra_core::prelude::*;

use super::world::{engine, journal};

/// The output of a run of one task that is parked as soon as it only waits.
async fn output<T, F, Fut>(task: F) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    F: Fn(Context, ()) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = TaskResult<T>> + Send + 'static,
{
    let workflow = Workflow::new("w").node("n", task).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(Duration::from_millis(5)).workflow(workflow);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    let output = run.output().await.expect("an output");
    let parked = journal(&run).await.iter().filter(|event| matches!(event, Event::TaskParked { .. })).count();
    assert!(parked > 0, "it was parked on the way");
    output
}

#[tokio::test(start_paused = true)]
async fn similar_keys_are_different_steps() {
    let keys = ["a", "a", "a#2", "a[0]", "sleep", "sleep#2", "charge", "child:a", "signal:go", "step:a", "a\\", ""];
    let read = output(move |cx: Context, (): ()| async move {
        let mut all = Vec::new();
        for (number, key) in keys.into_iter().enumerate() {
            all.push(cx.step(key, || async move { TaskResult::Ok(number) }).await?);
        }
        all.extend(cx.map("a", 2, [100_usize, 101], |n| async move { TaskResult::Ok(n) }).await?);
        cx.sleep(secs(1)).await?;
        cx.sleep(secs(1)).await?;
        Ok(all)
    })
    .await;
    assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 100, 101]);
}

#[tokio::test(start_paused = true)]
async fn scopes_have_their_own_keys() {
    let read = output(|cx: Context, (): ()| async move {
        let (left, right, again) = (cx.scope("side")?, cx.scope("right")?, cx.scope("side")?);
        let mut all = Vec::new();
        for (number, hands) in [&cx, &left, &right, &again, &left.scope("side")?].into_iter().enumerate() {
            all.push(hands.step("a", || async move { TaskResult::Ok(number) }).await?);
            hands.sleep(Duration::from_millis(100)).await?;
        }
        Ok(all)
    })
    .await;
    assert_eq!(read, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn one_key_in_two_tokio_tasks_is_refused() {
    async fn twice(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let use_it = |cx: Context| async move { cx.step("a", || async { TaskResult::Ok(1) }).await };
        let spawned = [tokio::spawn(use_it(cx.clone())), tokio::spawn(use_it(cx.clone()))];
        let mut all = Vec::new();
        for one in spawned {
            all.push(match one.await? {
                Ok(_) => "done".to_owned(),
                Err(error) => error.failure().kind.clone(),
            });
        }
        let sides = ["x", "y"].map(|key| cx.scope(key)).into_iter().collect::<TaskResult<Vec<_>>>()?;
        let spawned: Vec<_> = sides.into_iter().map(|side| tokio::spawn(use_it(side))).collect();
        for one in spawned {
            all.push(one.await??.to_string());
        }
        Ok(all)
    }
    let workflow = Workflow::new("w").node("n", twice).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let mut said: Vec<String> = engine.run("w").start().await.expect("a run").output().await.expect("an output");
    said.sort_unstable();
    assert_eq!(said, ["1", "1", "concurrent_key", "done"]);
}

#[tokio::test(start_paused = true)]
async fn a_nested_step_is_refused_and_shifts_no_keys() {
    let read = output(|cx: Context, (): ()| async move {
        let hands = cx.clone();
        let within = cx.step("outer", || async {
            let step = hands.step("log", || async { TaskResult::Ok(1) }).await.expect_err("a step in a step");
            let wait = hands.sleep(secs(1)).await.expect_err("a wait in a step");
            let map = hands.map("m", 1, [1], |n| async move { TaskResult::Ok(n) }).await.expect_err("a map in a step");
            TaskResult::Ok([step, wait, map].map(|error| error.failure().kind.clone()))
        });
        let within = within.await?;
        let after = cx.step("log", || async { TaskResult::Ok("after it".to_owned()) }).await?;
        cx.sleep(secs(1)).await?;
        Ok((within, after))
    })
    .await;
    assert_eq!(read, (["nested", "nested", "nested"].map(str::to_owned), "after it".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn idempotency_keys_are_unique_to_one_step_of_one_run() {
    async fn keys(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        Ok(["x/y", "y", "x"].map(|step| cx.idempotency_key(step)).into())
    }
    let workflow = Workflow::new("w").node("eu", keys).node("eu/x", keys).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let mut all = Vec::new();
    for _ in 0..2 {
        let run = engine.run("w").id("r").start().await.expect("a run");
        let output: std::collections::BTreeMap<String, Vec<String>> = run.output().await.expect("an output");
        all.extend(output.into_values().flatten());
        run.delete().await.expect("it has ended");
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (12, 12), "a run started again is a new one");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_is_refused_before_the_work_is_done() {
    static DONE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    async fn long(cx: Context, (): ()) -> TaskResult<String> {
        let work = || async {
            DONE.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            TaskResult::Ok(())
        };
        Ok(cx.step("x".repeat(600), work).await.expect_err("a key of 600 bytes").to_string())
    }
    let workflow = Workflow::new("w").node("n", long).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let said: String = engine.run("w").start().await.expect("a run").output().await.expect("an output");
    assert!(said.contains("at most 512 bytes"), "{said}");
    assert_eq!(DONE.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn each_use_of_a_key_has_its_own_idempotency_key() {
    async fn keys(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let hands = &cx;
        let pay = |step: &'static str| async move { TaskResult::Ok(hands.idempotency_key(step)) };
        let mut all = vec![cx.step("pay#2", || pay("pay#2")).await?];
        for _ in 0..3 {
            all.push(cx.step("pay", || pay("pay")).await?);
            all.extend(cx.map("m", 2, ["m[0]", "m[1]"], pay).await?);
        }
        assert_eq!(all[1], cx.idempotency_key("pay"), "the first use is what the key says");
        Ok(all)
    }
    let workflow = Workflow::new("w").node("n", keys).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let mut all: Vec<String> = engine.run("w").start().await.expect("a run").output().await.expect("an output");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 10);
}
