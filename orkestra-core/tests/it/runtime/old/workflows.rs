//! The workflows of the runs in `under-way.jsonl`. They were compiled against the version that wrote the file, and must
//! compile unchanged: an application from then must still work.

use std::time::Duration;

use orkestra_core::EngineBuilder;
use orkestra_core::prelude::*;

use crate::runtime::world::Effects;

/// The length of large payloads: more than fits into a journal.
pub(super) const LARGE: usize = 300_000;

/// Does a step that is counted under its run, node and key.
async fn step(cx: &Context, effects: &Effects, key: &str) -> TaskResult<String> {
    let (counted, result) = (format!("{}/{}/{key}", cx.run_id(), cx.node()), key.to_owned());
    let work = async || {
        effects.did(&counted);
        TaskResult::Ok(result.clone())
    };
    cx.step(key, work).await
}

async fn leaf(cx: Context, effects: Effects, number: u64) -> TaskResult<u64> {
    step(&cx, &effects, "before").await?;
    if !cx.signal::<bool>("go").await? {
        return Err(TaskError::permanent("somebody said no"));
    }
    step(&cx, &effects, "after").await?;
    Ok(10 * number)
}

async fn parent(cx: Context, effects: Effects, number: u64) -> TaskResult<u64> {
    step(&cx, &effects, "before").await?;
    cx.child("one", "leaf", number).await
}

async fn wide(cx: Context, _effects: Effects, (): ()) -> TaskResult<Vec<u64>> {
    cx.map_runs("items", 2, "leaf", [1_u64, 2, 3]).await
}

/// Keys that an older version distinguished, and some whose child ids are similar.
async fn keys(cx: Context, effects: Effects, (): ()) -> TaskResult<(Vec<String>, u64, u64)> {
    let mut steps = Vec::new();
    for key in ["a", "a", "b", "x/y"] {
        steps.push(step(&cx, &effects, key).await?);
    }
    let first = cx.child("k", "leaf", 1_u64);
    let second = cx.child("k", "leaf", 2_u64);
    let (first, second) = tokio::join!(first, second);
    steps.push(step(&cx, &effects, "a").await?);
    Ok((steps, first?, second?))
}

async fn waits(cx: Context, effects: Effects, (): ()) -> TaskResult<String> {
    step(&cx, &effects, "before").await?;
    match cx.node() {
        "answer" => cx.ask("which one?").await,
        "timer" => {
            cx.sleep(Duration::from_secs(7200)).await?;
            Ok("slept".to_owned())
        }
        _ => cx.signal("go").await,
    }
}

async fn once(cx: Context, effects: Effects, (): ()) -> TaskResult<String> {
    let work = async || {
        effects.did(&format!("{}/{}/pay", cx.run_id(), cx.node()));
        TaskResult::Ok("paid".to_owned())
    };
    let paid: String = cx.step("pay", work).at_most_once().await?;
    cx.signal::<bool>("go").await?;
    Ok(paid)
}

async fn large(cx: Context, effects: Effects, (): ()) -> TaskResult<String> {
    let counted = format!("{}/{}/large", cx.run_id(), cx.node());
    let work = async || {
        effects.did(&counted);
        TaskResult::Ok(cx.node().repeat(LARGE))
    };
    let text: String = cx.step("large", work).await?;
    if cx.node() == "c" {
        cx.signal::<bool>("go").await?;
    }
    Ok(text)
}

async fn refund(cx: Context, effects: Effects, paid: String) -> TaskResult<()> {
    step(&cx, &effects, &format!("refund {paid}")).await?;
    cx.signal("refunded").await
}

async fn no_stock(_cx: Context, _effects: Effects, _paid: String) -> TaskResult<()> {
    Err(TaskError::permanent("no stock"))
}

async fn pay(cx: Context, effects: Effects, (): ()) -> TaskResult<String> {
    step(&cx, &effects, "payment").await
}

async fn follows(cx: Context, effects: Effects, paid: String) -> TaskResult<String> {
    step(&cx, &effects, "ship").await?;
    cx.signal::<bool>("go").await?;
    Ok(format!("shipped for {paid}"))
}

async fn grows(cx: Context, effects: Effects, (): ()) -> TaskResult<u64> {
    step(&cx, &effects, "plan").await?;
    let part = |name: &str| Ok::<_, TaskError>(NodeSpec::task(Name::new(name)?, Name::new("part")?));
    let growth = Growth::new().with_node(part("p1")?.with_after(Name::new("grows")?));
    cx.grow("parts", growth).await?;
    cx.child("one", "leaf", 7_u64).await
}

/// All of them, registered with an engine.
pub(super) fn on(engine: EngineBuilder, effects: &Effects) -> EngineBuilder {
    macro_rules! counted {
        ($task:ident) => {{
            let effects = effects.clone();
            move |cx: Context, input| $task(cx, effects.clone(), input)
        }};
    }
    let again = Workflow::new("again").node("n", counted!(parent)).build();
    let sinks = Workflow::new("sinks").node("a", counted!(large)).node("b", counted!(large)).node("c", counted!(large));
    let waiting = Workflow::new("waits").node("signal", counted!(waits)).node("timer", counted!(waits));
    let order = Workflow::new("order").node("pay", counted!(pay)).node("ship", counted!(follows)).after("pay");
    let undone = Workflow::new("undone").node("pay", counted!(pay)).compensate(counted!(refund));
    let all = [
        Workflow::new("leaf").node("leaf", counted!(leaf)).build(),
        Workflow::new("parent").node("p", counted!(parent)).build(),
        again,
        Workflow::new("wide").node("w", counted!(wide)).build(),
        Workflow::new("keys").node("k", counted!(keys)).build(),
        waiting.node("answer", counted!(waits)).gate::<String>("gate").build(),
        Workflow::new("once").node("o", counted!(once)).build(),
        sinks.build(),
        order.build(),
        undone.node("ship", counted!(no_stock)).after("pay").build(),
        Workflow::new("grown").node("grows", counted!(grows)).build(),
    ];
    let engine = all.into_iter().fold(engine, |engine, workflow| engine.workflow(workflow.expect("a workflow")));
    engine.task("part", counted!(part))
}

async fn part(cx: Context, effects: Effects, number: u64) -> TaskResult<u64> {
    step(&cx, &effects, "part").await?;
    Ok(number + 1)
}
