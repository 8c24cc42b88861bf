//! How fast the engine is beside what the disk allows: every figure stands next to a plain append and fdatasync of 300
//! bytes, measured in the same run on the same directory.
//!
//! `cargo bench --bench engine` measures; with `-- --quick` it only shows that everything works, in a few seconds.
//! A timing is never asserted: machines differ, ratios are to be read.

mod disk;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use orkestra::prelude::*;

/// Where the stores are: beside the build, on a real disk. Temporary directories may be in memory.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let scale = if quick { 1 } else { 10 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = directory()?;

    let sync = disk::append_and_sync(place.path(), 30 * scale)?;
    println!("append + fdatasync of 300 bytes, one writer: median {}", show(sync));
    let raw = disk::group_commits(place.path(), 64, 200 * scale)?;
    println!("append + fdatasync of 300 bytes, 64 writers in groups: {raw:.0} appends/s");

    for durability in [Durability::Fsync, Durability::Process] {
        let name = format!("{durability:?}");
        println!("\nsled, {name}");
        let engine = runtime.block_on(workload::start(&place.path().join(&name), durability))?;
        let per_step =
            |what: &str, took: Duration| println!("  {what}: {} a step, {:.2} syncs", show(took), ratio(took, sync));
        per_step("a run of 10 nodes in a row", runtime.block_on(workload::chain(&engine, 10 * scale))?);
        per_step("a node of 10 steps", runtime.block_on(workload::steps(&engine, 10 * scale))?);
        let wide = runtime.block_on(workload::fan_out(&engine, 3 * scale))?;
        println!("  fan-out 1 -> 200 -> 1: {}, {:.1} syncs", show(wide), ratio(wide, sync));
        let count = 200 * scale;
        let took = runtime.block_on(workload::throughput(&engine, count))?;
        let runs = f64::from(count) / took.as_secs_f64();
        let commits = 4.0 * runs;
        println!(
            "  {count} runs of 3 nodes, 64 in flight: {runs:.0} runs/s, {commits:.0} commits/s, 1/{:.1} of raw",
            raw / commits
        );
        runtime.block_on(engine.shutdown());
    }
    Ok(())
}

fn ratio(took: Duration, sync: Duration) -> f64 {
    took.as_secs_f64() / sync.as_secs_f64()
}

fn show(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}
