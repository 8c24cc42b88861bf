//! Measures the size of a store with many events, and how fast it opens. Each store is measured in its own processes, because
//! memory that was used before would distort the measurement.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orkestra::model::{RunId, Seq};
use orkestra::store::{RunQuery, Store};
use tokio::runtime::Runtime;

use crate::gather::Into;
use crate::kind::Kind;
use crate::runs::Run;
use crate::{BenchResult, FILL, LOOK, Scale, disk, milliseconds};

/// Concurrent runs while a store is filled: this many commits share a sync.
const AT_ONCE: u32 = 500;
/// How many journals are read.
const READ: u32 = 1_000;

/// The measurements of the store `kind`, as lines.
pub(crate) fn measure(place: &Path, kind: Kind, how: &str, scale: Scale) -> BenchResult<Vec<String>> {
    let store = place.join(format!("large-{}", kind.name()));
    let sync = disk::append_and_sync(place, scale.syncs)?;
    let mut lines = process(FILL, kind, &store, how)?;
    if let Some(bytes) = kind.on_disk(&store)? {
        let each = bytes as f64 / f64::from(scale.runs * scale.events);
        let times = each / disk::RECORD.len() as f64;
        lines.push(format!("on disk: {each:.0} bytes an event, {times:.2} times what the event has"));
        lines.extend(process(LOOK, kind, &store, how)?);
    }
    kind.remove(&store)?;
    lines.push(format!("a sync beside it: {}", show(sync)));
    Ok(lines)
}

fn process(part: &str, kind: Kind, store: &Path, how: &str) -> BenchResult<Vec<String>> {
    let output = Command::new(std::env::current_exe()?).args([part, &kind.name()]).arg(store).arg(how).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cannot measure {} ({part}): {errors}", kind.name()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect())
}

/// Fills a store and prints how long that took. A store in memory is also read here.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn fill(runtime: &Runtime, kind: Kind, place: &Path, scale: Scale) -> BenchResult {
    let before = resident();
    runtime.block_on(async {
        let store = kind.open(place).await?;
        let (into, begun) = (Into::Store(Arc::clone(&store)), Instant::now());
        let mut first = 0;
        while first < scale.runs {
            let until = scale.runs.min(first + AT_ONCE);
            let mut runs = (first..until).map(named).collect::<BenchResult<Vec<_>>>()?;
            for _ in 1..scale.events {
                into.write(runs.iter_mut().map(Run::commit).collect()).await?;
            }
            into.write(runs.iter_mut().map(Run::complete).collect()).await?;
            first = until;
        }
        let rate = f64::from(scale.runs * scale.events) / begun.elapsed().as_secs_f64();
        println!("filled: {rate:.0} events/s, {AT_ONCE} a sync; {} more in memory then", more(before));
        if kind == Kind::Memory {
            read_some(&*store, before, scale).await?;
        }
        Ok(())
    })
}

fn named(number: u32) -> BenchResult<Run> {
    Run::new(&format!("run-{number:05}"), u64::from(number))
}

/// Opens a filled store and prints how long that took.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn look(runtime: &Runtime, kind: Kind, place: &Path, scale: Scale) -> BenchResult {
    let before = resident();
    runtime.block_on(async {
        let begun = Instant::now();
        let store = kind.open(place).await?;
        println!("opens in {}; {} more in memory then", show(begun.elapsed()), more(before));
        read_some(&*store, before, scale).await
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
async fn read_some(store: &dyn Store, before: Option<u64>, scale: Scale) -> BenchResult {
    let begun = Instant::now();
    let page = store.list(&RunQuery::default()).await?;
    println!("the newest {} runs in {}", page.items.len(), show(begun.elapsed()));
    let (begun, step) = (Instant::now(), (scale.runs / READ).max(1));
    let mut events = 0;
    for number in (0..scale.runs).step_by(usize::try_from(step)?) {
        let run: RunId = named(number)?.id().clone();
        events += store.read(&run, Seq(1), usize::MAX).await?.len();
    }
    let took = begun.elapsed();
    println!("{READ} journals, {events} events, in {}; {} more in memory then", show(took), more(before));
    Ok(())
}

/// Resident memory of this process in KiB, where it is known.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// The growth of resident memory since `before`.
fn more(before: Option<u64>) -> String {
    let told = before.zip(resident()).map(|(before, now)| format!("{} MiB", now.saturating_sub(before) / 1024));
    told.unwrap_or_else(|| "an unknown amount".into())
}

fn show(duration: Duration) -> String {
    format!("{:.2} ms", milliseconds(duration))
}
