//! How fast the Postgres store appends, compared with what the same server and disk can do.
//!
//! `cargo run --release -p orkestra-store --features postgres --example measure_postgres` starts a temporary server. An
//! argument sets the number of parked runs to search. The source of figures in `docs/store.md`.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{Append, DueQuery, RunQuery, Store};
use orkestra_store::{PostgresDurability, PostgresStore};
use orkestra_testkit::postgres::Server;
use orkestra_testkit::sample::{SampleRun, with_wake_at};

type Anything = Result<(), Box<dyn std::error::Error>>;

/// The length of a commit's payload.
const BYTES: usize = 200;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::main]
async fn main() -> Anything {
    let server = Server::start()?;
    if let Some(runs) = std::env::args().nth(1) {
        return parked(&server, runs.parse()?).await;
    }
    for (name, url) in [("socket", server.socket_url()), ("tcp", server.url())] {
        for durability in [PostgresDurability::Fsync, PostgresDurability::Engine] {
            for batch in [1, 64, 512] {
                let schema = format!("{name}_{durability:?}_{batch}").to_lowercase();
                let store = PostgresStore::options().with_durability(durability).with_schema(schema);
                let store = store.connect(&url).await?;
                rate(&store, &format!("{name}, {durability:?}"), batch).await?;
            }
        }
    }
    for tasks in [1, 2, 4] {
        let store =
            PostgresStore::options().with_schema(format!("whole_{tasks}")).connect(&server.socket_url()).await?;
        whole(&store, tasks).await?;
    }
    Ok(())
}

/// How long the disk takes to append 4 KiB and sync them: the minimum for a durable write.
fn physical() -> std::io::Result<Duration> {
    const TIMES: u32 = 300;
    let path = std::env::temp_dir().join("orkestra-physical");
    let mut file = File::create(&path)?;
    let begin = now();
    for _ in 0..TIMES {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
    }
    let each = begin.elapsed() / TIMES;
    std::fs::remove_file(path)?;
    Ok(each)
}

async fn write(store: &PostgresStore, batch: Vec<Append>) -> Anything {
    store.append(batch).await.into_iter().try_for_each(|answer| Ok(answer?))
}

/// Commits per second in batches of `batch`, each of another run, one batch after another.
async fn rate(store: &PostgresStore, what: &str, batch: usize) -> Anything {
    let mut runs: Vec<_> = (0..batch).map(|number| SampleRun::new(&format!("run-{number:06}"))).collect();
    write(store, runs.iter_mut().map(SampleRun::create).collect()).await?;
    let batches = (40_000 / batch).clamp(80, 2_000);
    let mut made = Vec::new();
    for _ in 0..batches {
        made.push(runs.iter_mut().map(|run| run.report(BYTES)).collect::<Vec<_>>());
    }
    let sync = physical()?;
    let begin = now();
    for batch in made {
        write(store, batch).await?;
    }
    let one = begin.elapsed() / u32::try_from(batches)?;
    println!(
        "{what}, batches of {batch:>3}: {:>7.0} commits/s, {one:>8.1?} a batch, {:.1} times append + fdatasync ({sync:.1?})",
        batch as f64 / one.as_secs_f64(),
        one.as_secs_f64() / sync.as_secs_f64()
    );
    Ok(())
}

/// Whole runs as an engine drives them: claimed, created, two commits, completed, released; 64 at a time, in `tasks`
/// tasks.
async fn whole(store: &PostgresStore, tasks: usize) -> Anything {
    const ROUNDS: usize = 60;
    let begin = now();
    let mut all = Vec::new();
    for task in 0..tasks {
        let store = store.clone();
        all.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                rounds(&store, task, round, 64 / tasks).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        }));
    }
    for task in all {
        task.await??;
    }
    let runs = (64 / tasks) * tasks * ROUNDS;
    println!("{tasks} tasks: {:.0} whole runs/s", runs as f64 / begin.elapsed().as_secs_f64());
    Ok(())
}

async fn rounds(store: &PostgresStore, task: usize, round: usize, count: usize) -> Anything {
    let worker = WorkerId::new("w")?;
    let mut runs: Vec<_> = (0..count).map(|n| SampleRun::new(&format!("run-{round:06}-{task}-{n:06}"))).collect();
    let ids: Vec<RunId> = runs.iter().map(|run| run.id().clone()).collect();
    let claimed = store.claim(&ids, &worker, Timestamp::ZERO, Timestamp::from_millis(30_000)).await?;
    let leases: Vec<_> = claimed.into_iter().flatten().map(|claimed| claimed.lease).collect();
    for (run, lease) in runs.iter_mut().zip(&leases) {
        run.set_epoch(lease.epoch);
    }
    write(store, runs.iter_mut().map(SampleRun::create).collect()).await?;
    write(store, runs.iter_mut().map(|run| run.report(BYTES)).collect()).await?;
    write(store, runs.iter_mut().map(|run| run.report(BYTES)).collect()).await?;
    write(store, runs.iter_mut().map(SampleRun::complete).collect()).await?;
    store.release(&leases).await?;
    Ok(())
}

/// The cost of looking for runs among many that wait.
async fn parked(server: &Server, count: usize) -> Anything {
    let store = PostgresStore::options().with_durability(PostgresDurability::Engine);
    let store = store.with_schema("parked").connect(&server.socket_url()).await?;
    let mut written = 0;
    while written < count {
        let one = |number: usize| {
            let run = SampleRun::new(&format!("run-{number:08}")).at(1_000 + number as u64);
            let shard = (number % 10).to_string();
            let mut run = run.with_label("shard", &shard).with_label("run", &number.to_string());
            with_wake_at(run.create(), Some(1_000_000_000_000 + number as u64))
        };
        write(&store, (written..written + 1_000).map(one).collect()).await?;
        written += 1_000;
    }
    println!("{written} parked runs; the schema is `parked` at {}", server.socket_url());
    let mut labels = RunQuery { limit: 50, ..RunQuery::default() };
    for name in ["newest", "by label"] {
        let begin = now();
        for _ in 0..100 {
            store.list(&labels).await?;
        }
        println!("a page of 50, {name}: {:.1?}", begin.elapsed() / 100);
        labels.labels.insert("shard".into(), "7".into());
    }
    for (name, until) in [("nothing is due", 0), ("all are due", u64::MAX)] {
        let query = DueQuery { until: Timestamp::from_millis(until), ..DueQuery::at(Timestamp::ZERO, 100) };
        let begin = now();
        for _ in 0..100 {
            store.due(&query).await?;
        }
        println!("due, 100 at most, {name}: {:.1?}", begin.elapsed() / 100);
    }
    println!("press return to end the server");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
