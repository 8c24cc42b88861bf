//! Runs that do nothing, so that only the engine is measured.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use orkestra::prelude::*;
use tokio::task::JoinSet;

type Measured = Result<Duration, Box<dyn Error>>;

/// Steps of one node, and nodes of one chain.
const LENGTH: u32 = 10;
/// Parallel nodes.
const WIDTH: u32 = 200;
/// Concurrent runs.
pub(crate) const IN_FLIGHT: usize = 64;
/// Commits of a run of three nodes: its creation, and the end of each node.
pub(crate) const COMMITS: f64 = 4.0;

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

async fn many_steps(cx: Context, count: u32) -> TaskResult<()> {
    for _ in 0..count {
        cx.step("step", || async { TaskResult::Ok(()) }).await?;
    }
    Ok(())
}

/// An engine on sled.
pub(crate) async fn start(place: &Path, durability: Durability) -> Result<Engine, Box<dyn Error>> {
    start_on(SledStore::options().with_durability(durability).open(place)?).await
}

/// An engine with all measured workflows.
pub(crate) async fn start_on(store: impl Store) -> Result<Engine, Box<dyn Error>> {
    let names: Vec<_> = (0..WIDTH).map(|index| format!("n{index}")).collect();
    let row = |name: &str, length: usize| {
        let first = Workflow::new(name).node(&names[0], nothing);
        names[..length].windows(2).fold(first, |row, pair| row.node(&pair[1], nothing).after(&pair[0])).build()
    };
    let wide = names
        .iter()
        .fold(Workflow::new("wide").node("first", nothing), |wide, name| wide.node(name, nothing).after("first"));
    let wide = wide.node("last", nothing).after_all(names.iter().map(String::as_str)).build()?;
    let steps = Workflow::new("steps").node("many", many_steps).build()?;
    let engine = Engine::builder().store(store).workflow(row("chain", 10)?).workflow(row("three", 3)?);
    Ok(engine.workflow(wide).workflow(steps).start().await?)
}

/// The median over `count` runs of `workflow`, one after the other, divided by `parts`.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn median(engine: &Engine, workflow: &str, input: &impl serde::Serialize, count: u32, parts: u32) -> Measured {
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        engine.run(workflow).input(input)?.start().await?.outcome().await?;
        times.push(begun.elapsed() / parts);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// The time per node in a chain of ten.
pub(crate) async fn chain(engine: &Engine, count: u32) -> Measured {
    median(engine, "chain", &(), count, LENGTH).await
}

/// The time per step in a node with ten steps.
pub(crate) async fn steps(engine: &Engine, count: u32) -> Measured {
    median(engine, "steps", &LENGTH, count, LENGTH).await
}

/// The time per step in a node with two hundred steps, where starting and ending the run hardly count.
pub(crate) async fn long_steps(engine: &Engine, count: u32) -> Measured {
    median(engine, "steps", &WIDTH, count, WIDTH).await
}

/// The time of a run with one node, two hundred parallel nodes after it, and one after them.
pub(crate) async fn fan_out(engine: &Engine, count: u32) -> Measured {
    median(engine, "wide", &(), count, 1).await
}

/// The time that `count` runs of three nodes take, sixty-four of them at a time.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) async fn throughput(engine: &Engine, count: u32) -> Measured {
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for _ in 0..count {
        if under_way.len() >= IN_FLIGHT
            && let Some(ended) = under_way.join_next().await
        {
            ended??;
        }
        let engine = engine.clone();
        under_way.spawn(async move { engine.run("three").start().await?.outcome().await });
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}
