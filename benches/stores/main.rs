//! The speed of the stores compared to each other and to the disk, and their sizes: every time is shown with an append and
//! fdatasync of 300 bytes, measured in the same round in the same directory.
//!
//! `cargo bench --bench stores --all-features` measures; with `-- --quick` it only checks that everything works, in a few
//! seconds. A store whose feature is not built is skipped, and so is Postgres unless ORKESTRA_TEST_POSTGRES is the URL of a
//! database. A timing is never asserted: read the ratios.

#[path = "../engine/disk.rs"]
mod disk;
mod gather;
mod kind;
mod rate;
mod ratio;
mod runs;
#[cfg(feature = "postgres")]
mod server;
mod size;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use self::kind::Kind;
use self::ratio::Figure;

/// The first argument of a process that fills a store, and of one that reads it.
const FILL: &str = "fill";
const LOOK: &str = "look";

/// Any error ends the benchmark.
type BenchResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much to measure.
#[derive(Clone, Copy)]
struct Scale {
    rounds: u32,
    syncs: u32,
    /// Pairs of a number of writers and the appends of each.
    appends: [(u32, u32); 3],
    runs: u32,
    events: u32,
}

const FULL: Scale =
    Scale { rounds: 21, syncs: 50, appends: [(1, 100), (64, 50), (512, 20)], runs: 20_000, events: 100 };
const QUICK: Scale = Scale { rounds: 1, syncs: 20, appends: [(1, 20), (64, 4), (512, 2)], runs: 1_000, events: 4 };

/// The directory for the stores, inside the build directory: temporary directories may be in memory.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

fn main() -> BenchResult {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick" || argument == "--test");
    let scale = if quick { QUICK } else { FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [FILL, kind, place, _] => return size::fill(&runtime, Kind::named(kind)?, Path::new(place), scale),
        [LOOK, kind, place, _] => return size::look(&runtime, Kind::named(kind)?, Path::new(place), scale),
        _ => {}
    }
    let place = directory()?;
    for missing in kind::left_out() {
        println!("{missing}");
    }
    println!("load before: {}", load());
    rates(&runtime, place.path(), scale)?;
    sizes(place.path(), scale, if quick { "--quick" } else { "--full" })?;
    println!("load after: {}", load());
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The load of the machine, to judge the figures by.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown on this system".into());
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn rates(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    println!("Fsync; {} rounds, each beside its own syncs", scale.rounds);
    let mut over = Figure::times("overwriting 300 bytes and fdatasync", "of appending");
    for _ in 0..scale.rounds {
        let sync = disk::append_and_sync(place, scale.syncs)?;
        over.add(milliseconds(disk::overwrite_and_sync(place, scale.syncs)?), milliseconds(sync));
    }
    println!("  the disk:\n    {over}");
    for kind in kind::all() {
        let own = place.join(kind.name());
        let store = runtime.block_on(kind.open(&own))?;
        let figures = rate::measure(runtime, place, &store, scale)?;
        drop(store);
        kind.remove(&own)?;
        println!("  {}:", kind.name());
        figures.iter().for_each(|figure| println!("    {figure}"));
    }
    Ok(())
}

fn sizes(place: &Path, scale: Scale, how: &str) -> BenchResult {
    println!("{} events in {} runs, each store in processes of its own", scale.runs * scale.events, scale.runs);
    for kind in kind::all() {
        println!("  {}:", kind.name());
        for line in size::measure(place, kind, how, scale)? {
            println!("    {line}");
        }
    }
    Ok(())
}
