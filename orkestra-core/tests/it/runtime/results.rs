//! A step returns what it will later return from the journal, or it fails at once.

use std::collections::BTreeMap;
use std::time::Duration;

use orkestra_core::model::Amount;
use orkestra_core::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::world::engine;

/// What a step with the result `value` returns the first time, and from the journal, as text.
async fn twice<T>(value: fn() -> T) -> [String; 2]
where
    T: Serialize + for<'a> Deserialize<'a> + std::fmt::Debug + Send + Sync + 'static,
{
    let task = move |cx: Context, (): ()| async move {
        let result = cx.step("value", || async { TaskResult::Ok(value()) }).await;
        let said = result.map_or_else(|error| error.failure().kind.clone(), |value| format!("{value:?}"));
        cx.emit("said", &said);
        cx.sleep(secs(1)).await?;
        Ok(said)
    };
    let workflow = Workflow::new("w").node("n", task).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(Duration::from_millis(5)).workflow(workflow);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let last: String = run.output().await.expect("an output");
    let mut events = run.events(Cursor::START);
    while let Some(event) = events.next().await.expect("events") {
        if let Event::Emitted { payload, .. } = event.event {
            return [payload.to().expect("a text"), last];
        }
    }
    panic!("nothing was said");
}

fn deep() -> Value {
    (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[tokio::test(start_paused = true)]
async fn a_step_returns_the_same_the_first_time_and_from_the_journal() {
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    enum Half {
        Kept(#[serde(skip)] u8, u8),
    }
    for [first, again] in [
        twice(|| Some(())).await,
        twice(|| Some(f64::NAN)).await,
        twice(|| f64::NAN).await,
        twice(|| f64::NEG_INFINITY).await,
        twice(|| vec![1.5, f64::INFINITY]).await,
        twice(|| Some(Value::Null)).await,
        twice(deep).await,
        twice(|| Half::Kept(7, 8)).await,
        twice(|| 9_007_199_254_740_993_u64).await,
        twice(|| u128::MAX).await,
        twice(|| 0.1_f32 + 0.2_f32).await,
        twice(|| BTreeMap::from([(1, "a".to_owned())])).await,
        twice(|| serde_json::json!({"$orkestra.blob": {"run": "nobody", "key": "0", "bytes": 1}})).await,
        twice(|| "x".repeat(300_000)).await,
    ] {
        assert_eq!(first, again);
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_read_back_fails_at_once() {
    for said in [twice(|| f64::NAN).await, twice(|| f64::INFINITY).await, twice(deep).await] {
        assert_eq!(said, ["bad_output", "bad_output"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_charge_fails_the_step_for_good() {
    static DONE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    async fn charges(cx: Context, (): ()) -> TaskResult<u32> {
        let work = || async {
            DONE.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            TaskResult::Ok(7_u32)
        };
        cx.step("a", work).charge(|done| [("usd", Amount::whole(u64::from(*done)))]).await?;
        cx.step("b", work).charge(|_| [("no meter", Amount::whole(1))]).await
    }
    let workflow = Workflow::new("w").node("n", charges).retry(Retry::immediate(3)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Failed { .. }));
    assert_eq!(DONE.load(std::sync::atomic::Ordering::SeqCst), 2);
}
