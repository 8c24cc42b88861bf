//! The engine on Postgres: one engine, several engines, and a killed process.
//!
//! The server is given by `ORKESTRA_TEST_POSTGRES`, otherwise a temporary one is started. Targets are the best results of other
//! engines on Postgres, measured on such a machine (2 cores, local Postgres 15, `fsync` on).

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use orkestra::prelude::*;
use orkestra::store::{PostgresOptions, PostgresStore};
use orkestra_testkit::postgres::Server;
use tokio::runtime::Runtime;

use super::figure::{Figure, Target, show};
use super::{BenchResult, Scale, disk, workload};

/// The first argument of a process that is one of several workers.
pub(crate) const WORKER: &str = "worker";
/// The first argument of the process that is killed, and of the one that continues its runs.
pub(crate) const VICTIM: &str = "victim";

/// The database of this benchmark.
struct Database {
    url: String,
    _server: Option<Server>,
}

impl Database {
    fn start() -> Result<Self, Box<dyn Error>> {
        if let Ok(url) = std::env::var("ORKESTRA_TEST_POSTGRES") {
            return Ok(Self { url, _server: None });
        }
        let server = Server::start()?;
        Ok(Self { url: server.socket_url(), _server: Some(server) })
    }
}

fn options(schema: &str) -> PostgresOptions {
    PostgresStore::options().with_schema(schema)
}

/// A schema name that no other round uses.
fn fresh(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("bench_{what}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Makes all measurements on Postgres.
pub(crate) fn measure(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    let database = Database::start()?;
    println!("\nPostgres, Fsync; medians of {} rounds, each with its own syncs", scale.rounds);
    one_engine(runtime, place, scale, &database)?;
    for workers in 1..=3 {
        several(scale, &database, workers)?;
    }
    killed(scale, &database)
}

fn one_engine(runtime: &Runtime, place: &Path, scale: Scale, database: &Database) -> BenchResult {
    let store = runtime.block_on(options(&fresh("one")).connect(&database.url))?;
    let engine = runtime.block_on(workload::start_on(store))?;
    let mut chain = Figure::new("a run of 10 nodes in a row, a node", Target::Seconds(0.000_27));
    let mut steps = Figure::new("a node of 10 steps, a step", Target::Seconds(0.000_27));
    let mut long = Figure::new("a node of 200 steps, a step", Target::Seconds(0.000_27));
    let mut wide = Figure::new("fan-out 1 -> 200 -> 1", Target::Seconds(0.072));
    let mut rate = Figure::new("runs/s, of 3 nodes, 64 in flight", Target::Least(3.0, "of 690 runs/s"));
    for _ in 0..3 * scale.rounds {
        let sync = disk::append_and_sync(place, scale.syncs)?;
        chain.add_time(runtime.block_on(workload::chain(&engine, scale.runs))?, sync);
        let sync = disk::append_and_sync(place, scale.syncs)?;
        steps.add_time(runtime.block_on(workload::steps(&engine, scale.runs))?, sync);
        let sync = disk::append_and_sync(place, scale.syncs)?;
        long.add_time(runtime.block_on(workload::long_steps(&engine, 1))?, sync);
        wide.add_time(runtime.block_on(workload::fan_out(&engine, scale.runs))?, sync);
    }
    for _ in 0..scale.rounds {
        let took = runtime.block_on(workload::throughput(&engine, scale.in_flight_runs))?;
        rate.add(f64::from(scale.in_flight_runs) / took.as_secs_f64(), 690.0);
    }
    runtime.block_on(engine.shutdown());
    println!("  append + fdatasync of 300 bytes: {}", chain.reference_time());
    [chain, steps, long, wide, rate].iter().for_each(|figure| println!("  {figure}"));
    Ok(())
}

/// A process of this program, controlled by its arguments and by a line on its standard input.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
    }

    /// Reads a line of its output.
    fn read_line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stdout.as_mut().ok_or("stdout is piped")?).read_line(&mut line)?;
        if line.is_empty() {
            Err("a process of the benchmark ended too early".into())
        } else {
            Ok(line.trim().to_owned())
        }
    }

    fn go(&mut self) -> BenchResult {
        Ok(self.0.stdin.as_mut().ok_or("stdin is piped")?.write_all(b"go\n")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has already ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn several(scale: Scale, database: &Database, workers: u32) -> BenchResult {
    let (schema, share) = (fresh("several"), (scale.in_flight_runs / workers).to_string());
    let mut processes = Vec::new();
    for _ in 0..workers {
        processes.push(Process::start(&[WORKER, &database.url, &schema, &share])?);
    }
    for process in &mut processes {
        process.read_line()?;
    }
    let begun = Instant::now();
    processes.iter_mut().try_for_each(Process::go)?;
    for process in &mut processes {
        process.read_line()?;
    }
    let rate = f64::from(scale.in_flight_runs / workers * workers) / begun.elapsed().as_secs_f64();
    println!("  {workers} worker processes, 64 in flight each: {rate:.0} runs/s");
    Ok(())
}

fn wait_for_go() -> BenchResult {
    let mut byte = [0];
    Ok(std::io::stdin().read_exact(&mut byte)?)
}

/// One of several workers: prints `ready`, waits for `go`, prints `done`.
pub(crate) fn worker(runtime: &Runtime, url: &str, schema: &str, runs: u32) -> BenchResult {
    runtime.block_on(async {
        let engine = workload::start_on(options(schema).connect(url).await?).await?;
        println!("ready");
        wait_for_go()?;
        workload::throughput(&engine, runs).await?;
        println!("done");
        engine.shutdown().await;
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn killed(scale: Scale, database: &Database) -> BenchResult {
    let (schema, runs) = (fresh("killed"), scale.half_done.to_string());
    let mut victim = Process::start(&[VICTIM, &database.url, &schema, &runs])?;
    victim.read_line()?;
    drop(victim);
    let begun = Instant::now();
    let mut next = Process::start(&[VICTIM, &database.url, &schema, &runs])?;
    let after = next.read_line()?;
    let whole = begun.elapsed();
    let mut figure = Figure::new("500 half-done runs, killed, have finished", Target::Seconds(1.9));
    figure.add_time(whole, Duration::from_secs(1));
    println!("  {figure}, from the start of the process; {after} from the start of its engine");
    println!("  ({} runs, a named worker: {})", scale.half_done, show(whole));
    Ok(())
}

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

/// The first process leaves `runs` runs half-done and prints a line; the second one finishes them and prints how long it took.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn victim(runtime: &Runtime, url: &str, schema: &str, runs: u32) -> BenchResult {
    runtime.block_on(async {
        let store = options(schema).connect(url).await?;
        let finish = store.get("killed").await?.is_some();
        let (half, waiting) = super::recovery::half_done(finish);
        let builder = Workflow::new("half").node("first", nothing).node("second", half).after("first");
        let workflow = builder.node("third", nothing).after("second").build()?;
        let begun = Instant::now();
        let engine = Engine::builder().store(store).worker("bench").workflow(workflow).start().await?;
        if finish {
            for number in 0..runs {
                let id = RunId::new(format!("r{number}"))?;
                engine.get(&id).await?.ok_or("a run is gone")?.outcome().await?;
            }
            println!("{}", show(begun.elapsed()));
            return Ok(());
        }
        for number in 0..runs {
            engine.run("half").id(format!("r{number}")).start().await?;
        }
        waiting.reaches(runs).await;
        engine.store().put("killed", 0, b"yes").await?;
        println!("half-done");
        std::future::pending().await
    })
}
