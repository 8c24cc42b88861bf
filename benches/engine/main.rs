//! The speed of the engine compared to the disk: every figure is shown with a plain append and fdatasync of 300 bytes, measured in
//! the same round in the same directory, and with its target.
//!
//! `cargo bench --bench engine` measures; with `-- --quick` it only checks that everything works, in a few seconds.
//! A timing is never asserted: machines differ, so read the ratios.

mod disk;
mod figure;
mod group;
mod long;
mod parked;
#[cfg(feature = "postgres")]
mod postgres;
mod recovery;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;

use orkestra::prelude::*;
use tokio::runtime::Runtime;

use self::figure::{Figure, Target, show};

/// The first argument of a process that parks runs and prints what they cost.
const PARK: &str = "park";

type BenchResult = Result<(), Box<dyn std::error::Error>>;

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    rounds: u32,
    syncs: u32,
    runs: u32,
    in_flight_runs: u32,
    half_done: u32,
    parked: u32,
    events: u32,
}

const FULL: Scale =
    Scale { rounds: 7, syncs: 30, runs: 8, in_flight_runs: 2_000, half_done: 500, parked: 100_000, events: 10_000 };
const QUICK: Scale =
    Scale { rounds: 1, syncs: 30, runs: 5, in_flight_runs: 200, half_done: 50, parked: 300, events: 300 };

/// The directory for the stores, inside the build directory: temporary directories may be in memory.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

fn main() -> BenchResult {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick" || argument == "--test");
    let place = directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let scale = if quick { QUICK } else { FULL };
    if let [PARK, waiting, cache_mib, _] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        println!("{}", parked::park(&runtime, place.path(), scale.parked, waiting, cache_mib.parse()?)?);
        return Ok(());
    }
    #[cfg(feature = "postgres")]
    if let [role @ (postgres::WORKER | postgres::VICTIM), url, schema, runs] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        let act = if role == postgres::WORKER { postgres::worker } else { postgres::victim };
        return act(&runtime, url, schema, runs.parse()?);
    }
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let sections: &[(&str, Section)] = &[
        ("steps", steps),
        ("process", process),
        ("recovery", recovered),
        ("parked", parked),
        ("long", long),
        #[cfg(feature = "postgres")]
        ("postgres", postgres::measure),
    ];
    if let Some(unknown) = only.filter(|only| sections.iter().all(|(name, _)| name != only)) {
        let names: Vec<_> = sections.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown section `{unknown}`; use one of: {}", names.join(", ")).into());
    }
    for (name, section) in sections {
        if only.is_none_or(|only| only == *name) {
            section(&runtime, place.path(), scale)?;
        }
    }
    Ok(())
}

type Section = fn(&Runtime, &Path, Scale) -> BenchResult;

fn steps(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    println!("sled, Fsync; medians of {} rounds, each with its own syncs", scale.rounds);
    measure(runtime, place, scale, Durability::Fsync)
}

fn process(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    println!("\nsled, Process; the same, which promises less");
    measure(runtime, place, scale, Durability::Process)
}

fn measure(runtime: &Runtime, place: &Path, scale: Scale, durability: Durability) -> BenchResult {
    let engine = runtime.block_on(workload::start(&place.join(format!("{durability:?}")), durability))?;
    let mut chain = Figure::new("(a) a run of 10 nodes in a row, a node", Target::Most(2.0, "syncs"));
    let mut steps = Figure::new("(a) a node of 10 steps, a step", Target::Most(2.0, "syncs"));
    let mut wide = Figure::new("(c) fan-out 1 -> 200 -> 1", Target::Most(60.0, "syncs"));
    let mut rate = Figure::new("(b) commits/s, runs of 3 nodes, 64 in flight", Target::Least(1.0 / 6.0, "of raw"));
    let mut over = Figure::new("overwriting 300 bytes + fdatasync", Target::None("syncs"));
    for _ in 0..3 * scale.rounds {
        // Measure each right after its reference, because other load on the machine changes over time.
        let sync = disk::append_and_sync(place, scale.syncs)?;
        chain.add_time(runtime.block_on(workload::chain(&engine, scale.runs))?, sync);
        over.add_time(disk::overwrite_and_sync(place, scale.syncs)?, sync);
        let sync = disk::append_and_sync(place, scale.syncs)?;
        steps.add_time(runtime.block_on(workload::steps(&engine, scale.runs))?, sync);
        let sync = disk::append_and_sync(place, scale.syncs)?;
        wide.add_time(runtime.block_on(workload::fan_out(&engine, scale.runs))?, sync);
    }
    for _ in 0..scale.rounds {
        let raw = group::group_commits(place, 64, scale.in_flight_runs / 4)?;
        let took = runtime.block_on(workload::throughput(&engine, scale.in_flight_runs))?;
        rate.add(workload::COMMITS * f64::from(scale.in_flight_runs) / took.as_secs_f64(), raw);
    }
    runtime.block_on(engine.shutdown());
    println!(
        "  append + fdatasync of 300 bytes: {}; 64 writers in groups: {:.0}/s",
        chain.reference_time(),
        rate.reference()
    );
    [over, chain, steps, rate, wide].iter().for_each(|figure| println!("  {figure}"));
    Ok(())
}

fn recovered(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    println!("\n(d) {} half-done runs after a restart", scale.half_done);
    let sync = disk::append_and_sync(place, scale.syncs)?;
    let took = recovery::restart(runtime, &place.join("recovery"), scale.half_done)?;
    println!("  the store opens in {}", show(took.opened));
    let mut live = Figure::new("all of them called again, from start()", Target::Seconds(0.3));
    live.add_time(took.live, sync);
    println!("  {live}");
    Ok(())
}

fn parked(_: &Runtime, _: &Path, scale: Scale) -> BenchResult {
    println!("\n(e) {} parked runs", scale.parked);
    let quick = if scale.parked == QUICK.parked { "--quick" } else { "--full" };
    // Each in its own process: memory that was used before would distort the measurement.
    for (waiting, cache_mib) in [("gate", "16"), ("gate", "4"), ("gate", "64"), ("sleep", "16")] {
        let output = Command::new(std::env::current_exe()?).args([PARK, waiting, cache_mib, quick]).output()?;
        let cost = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("cannot measure runs that wait in a {waiting}: {errors}").into());
        }
        println!("  in a {waiting}, sled's cache {cache_mib} MiB: {}", cost.trim());
    }
    Ok(())
}

fn long(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    println!("\n(f) a step late in a long run, beside one of a fresh run in the same moment");
    let sync = disk::append_and_sync(place, scale.syncs)?;
    let times = long::compare(runtime, &place.join("long"), scale.events)?;
    println!("  at event 10: {}, {:.2} syncs", show(times.early), times.early.as_secs_f64() / sync.as_secs_f64());
    let what = format!("at event {}", scale.events);
    let mut late = Figure::new(&what, Target::Most(1.1, "of that at event 10"));
    late.add_time(times.late, times.early);
    println!("  {late}");
    Ok(())
}
