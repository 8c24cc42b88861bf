//! How fast the sled store writes and opens, and how much memory it uses, compared with the disk.
//!
//! `cargo run --release -p orkestra-store --example measure` measures speed; with a number of commits as an argument,
//! memory and size. The source of figures in `docs/store.md`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use orkestra_core::model::Seq;
use orkestra_core::store::{Append, RunQuery, Store};
use orkestra_store::{Durability, SledStore};
use orkestra_testkit::sample::SampleRun;

type Anything = Result<(), Box<dyn std::error::Error>>;

/// The length of a commit's payload.
const BYTES: usize = 200;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::main]
async fn main() -> Anything {
    let directory = tempfile::tempdir_in(".")?;
    if let Some(commits) = std::env::args().nth(1) {
        return memory(&directory.path().join("memory"), commits.parse()?).await;
    }
    for durability in [Durability::Fsync, Durability::Process] {
        for batch in [1, 10, 100, 1_000] {
            let path = directory.path().join(format!("{durability:?}-{batch}"));
            // Measured again each time: the load of the machine changes it more than anything else.
            let sync = physical(directory.path())?;
            rate(&path, durability, batch, sync).await?;
        }
    }
    Ok(())
}

/// How long the disk takes to append 4 KiB and sync them: the minimum for a durable write.
fn physical(directory: &Path) -> std::io::Result<Duration> {
    const TIMES: u32 = 300;
    let mut file = File::create(directory.join("physical"))?;
    let begin = now();
    for _ in 0..TIMES {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
    }
    Ok(begin.elapsed() / TIMES)
}

async fn write(store: &SledStore, batch: Vec<Append>) -> Anything {
    store.append(batch).await.into_iter().try_for_each(|answer| Ok(answer?))
}

/// Commits per second in batches of `batch`, each of another run.
async fn rate(path: &Path, durability: Durability, batch: usize, sync: Duration) -> Anything {
    let store = SledStore::options().with_durability(durability).open(path)?;
    let mut runs: Vec<_> = (0..batch).map(|number| SampleRun::new(&format!("run-{number}"))).collect();
    write(&store, runs.iter_mut().map(SampleRun::create).collect()).await?;
    let batches = (20_000 / batch).clamp(50, 2_000);
    let mut made = Vec::new();
    for _ in 0..batches {
        made.push(runs.iter_mut().map(|run| run.report(BYTES)).collect::<Vec<_>>());
    }
    let begin = now();
    for batch in made {
        write(&store, batch).await?;
    }
    let one = begin.elapsed() / u32::try_from(batches)?;
    let rate = batch as f64 / one.as_secs_f64();
    let ratio = one.as_secs_f64() / sync.as_secs_f64();
    println!(
        "{durability:?}, batches of {batch:>4}: {rate:>7.0} commits/s, {one:>8.1?} a batch, \
         {ratio:.1} times append + fdatasync ({sync:.1?})"
    );
    Ok(())
}

/// Memory, disk and opening with many commits in many runs.
async fn memory(path: &Path, commits: usize) -> Anything {
    const COMMITS_PER_RUN: usize = 20;
    let store = SledStore::options().with_durability(Durability::Process).open(path)?;
    println!("empty: {} MiB resident", resident()?);
    let mut written = 0;
    while written < commits {
        let mut batch = Vec::new();
        for _ in 0..50 {
            let mut run = SampleRun::new(&format!("run-{written:08}-{}", batch.len())).at(1_000 + written as u64);
            batch.push(run.create());
            batch.extend((2..COMMITS_PER_RUN).map(|_| run.report(BYTES)));
            batch.push(run.complete());
        }
        written += batch.len();
        write(&store, batch).await?;
        if written % (commits / 4).max(1) < 1_000 {
            println!("{written} commits: {} MiB resident, {} MiB on disk", resident()?, on_disk(path)?);
        }
    }
    drop(store);
    let begin = now();
    let store = SledStore::open(path)?;
    println!("opened again in {:?}: {} MiB resident", begin.elapsed(), resident()?);
    let begin = now();
    let page = store.list(&RunQuery::default()).await?;
    println!("the newest {} runs in {:?}", page.items.len(), begin.elapsed());
    let begin = now();
    for record in &page.items {
        store.read(&record.id, Seq(1), usize::MAX).await?;
    }
    println!("their journals in {:?}", begin.elapsed());
    let begin = now();
    let report = store.check().await?;
    println!("{report:?} in {:?}: {} MiB resident", begin.elapsed(), resident()?);
    drop(store);
    for snapshot in std::fs::read_dir(path)? {
        let snapshot = snapshot?.path();
        if snapshot.to_string_lossy().contains("snap.") {
            File::options().write(true).open(snapshot)?.set_len(100)?;
        }
    }
    let begin = now();
    let store = SledStore::open(path)?;
    println!("repaired in {:?}: {:?}", begin.elapsed(), store.report().runs_checked);
    Ok(())
}

fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

fn on_disk(path: &Path) -> std::io::Result<u64> {
    Ok(std::fs::metadata(path.join("db"))?.len() / 1024 / 1024)
}
