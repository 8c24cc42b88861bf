//! Measures the memory and disk space of a run that only waits.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use orkestra::model::{RunId, Timestamp, WorkerId};
use orkestra::prelude::*;
use orkestra::store::{Store, claim_one};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::workload::IN_FLIGHT;

/// The cost of `runs` parked runs.
pub(crate) struct Cost {
    runs: u32,
    before: Usage,
    half: Usage,
    all: Usage,
}

#[derive(Clone, Copy)]
struct Usage {
    /// Resident memory of this process, bytes, where it is known.
    memory: Option<u64>,
    disk: u64,
}

/// With fewer runs than this, fixed costs outweigh the cost of each run.
const RUNS_MIN: u32 = 10_000;

const MEMORY_MAX: f64 = 1024.0;
const DISK_MAX: f64 = 2048.0;

/// Starts `runs` runs that wait at a gate, or in a task that sleeps, and waits until they are parked.
pub(crate) fn park(
    runtime: &Runtime,
    place: &Path,
    runs: u32,
    waiting: &str,
    cache_mib: u64,
) -> Result<Cost, Box<dyn Error>> {
    let open = || SledStore::options().with_cache_bytes(cache_mib * 1024 * 1024).open(place);
    let workflow = || match waiting {
        "gate" => Workflow::new("waiting").gate::<u32>("approve").build(),
        _ => Workflow::new("waiting").node("asleep", asleep).build(),
    };
    let start = async |store: SledStore| {
        let engine = Engine::builder().store(store).park_after(Duration::from_millis(5)).workflow(workflow()?);
        Ok::<_, Box<dyn Error>>(engine.start().await?)
    };
    runtime.block_on(async {
        let engine = start(open()?).await?;
        // The first runs cause the fixed costs.
        start_many(&engine, runs / 100 + 1).await?;
        let before = measure_usage(place)?;
        start_many(&engine, runs / 2).await?;
        let half = measure_usage(place)?;
        start_many(&engine, runs - runs / 2).await?;
        let all = measure_usage(place)?;
        engine.shutdown().await;
        Ok::<_, Box<dyn Error>>(Cost { runs, before, half, all })
    })
}

/// Starts runs and waits until the last ones are parked.
async fn start_many(engine: &Engine, runs: u32) -> Result<(), Box<dyn Error>> {
    let mut in_flight: JoinSet<Result<RunId, orkestra::Error>> = JoinSet::new();
    let mut last = Vec::new();
    for _ in 0..runs {
        if in_flight.len() >= IN_FLIGHT
            && let Some(started) = in_flight.join_next().await
        {
            last.truncate(IN_FLIGHT);
            last.insert(0, started??);
        }
        let engine = engine.clone();
        in_flight.spawn(async move { Ok(engine.run("waiting").start().await?.id().clone()) });
    }
    while let Some(started) = in_flight.join_next().await {
        last.push(started??);
    }
    let (store, worker) = (engine.store(), WorkerId::new("bench")?);
    for run in last {
        parked(&*store, &run, &worker).await?;
    }
    Ok(())
}

async fn asleep(cx: Context, (): ()) -> TaskResult<()> {
    cx.sleep(Duration::from_secs(3 * 24 * 3600)).await
}

/// Returns when no driver has the run, so that it can be claimed.
async fn parked(store: &dyn Store, run: &RunId, worker: &WorkerId) -> Result<(), Box<dyn Error>> {
    loop {
        if let Some(claimed) = claim_one(store, run, worker, Timestamp::ZERO, Timestamp::ZERO).await? {
            return Ok(store.release(&[claimed.lease]).await?);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn measure_usage(place: &Path) -> std::io::Result<Usage> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    let mut disk = 0;
    for entry in std::fs::read_dir(place)? {
        let entry = entry?.metadata()?;
        disk += if entry.is_file() { entry.len() } else { 0 };
    }
    Ok(Usage { memory: resident.map(|kib: u64| kib * 1024), disk })
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |more: u64, runs: u32| more as f64 / f64::from(runs);
        let Self { runs, before, half, all } = self;
        let verdict = |value: f64, most: f64| match value <= most {
            _ if *runs < RUNS_MIN => "too few to tell, ",
            true => "meets",
            false => "MISSES",
        };
        match (before.memory, half.memory, all.memory) {
            (Some(before), Some(half), Some(all)) => {
                let whole = each(all.saturating_sub(before), *runs);
                let late = each(all.saturating_sub(half), runs - runs / 2);
                write!(f, "{whole:.0} bytes of memory each: {} at most {MEMORY_MAX}", verdict(whole, MEMORY_MAX))?;
                write!(f, " ({late:.0} each for the second half), ")?;
            }
            _ => write!(f, "memory is unknown on this system, ")?,
        }
        let disk = each(all.disk.saturating_sub(before.disk), *runs);
        let late = each(all.disk.saturating_sub(half.disk), runs - runs / 2);
        write!(f, "{disk:.0} bytes of disk each: {} at most {DISK_MAX} ({late:.0})", verdict(disk, DISK_MAX))
    }
}
