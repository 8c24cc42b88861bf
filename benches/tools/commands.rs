//! Commands in Docker's sandbox beside the `docker` program doing the same in the same container, one after the other. Without a
//! daemon or the image it says so.
//!
//! Figures on 2 idle cores, Docker 20.10, medians of 45 rounds; "before" is with a second exec after each command, in one debug build:
//!
//! | what | median | `docker` | median ratio | before | target |
//! |---|---|---|---|---|---|
//! | exec in a warm container | 42 ms | 60 ms | 0.74 | 1.08 to 1.10 | 1.2 |
//! | exec while a process runs | 45 ms | 62 ms | 0.74 | 1.23 | |
//! | start of a sandbox, checked | 143 ms | 200 ms | 0.71 | | |
//! | 200 MB of output | 0.76 s (260 MB/s) | 0.61 s | 1.13 | | |

use std::path::Path;
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use orkestra_tools::{Command, DockerOptions, DockerSandbox, ProcessStart, Sandbox as _, Unobserved};
use tokio::runtime::Runtime;

use crate::figure::Figure;
use crate::{BenchResult, Scale};

/// Bytes that a command prints, in lines.
const OUTPUT_BYTES: u64 = 200_000_000;
const LINE: &str = "a line of output as compilers print it, 64 characters long, or so";

pub(crate) fn measure(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    let options = DockerOptions::default();
    if let Err(error) = runtime.block_on(DockerSandbox::available_with(&options)) {
        println!("SKIPPED: no Docker sandbox: {error}");
        return Ok(());
    }
    if Program::new("docker").arg("version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: the program `docker` is not installed; nothing to compare with");
        return Ok(());
    }
    let bench = Bench { runtime, scale, run: format!("bench-{}", std::process::id()) };
    let workspace = place.join("commands");
    let sandbox = runtime.block_on(DockerSandbox::start(options.clone(), &bench.run, &workspace))?;
    let container = bench.container()?;
    println!("Docker; medians of {} rounds", scale.rounds * 3);
    let done = bench.all(&sandbox, &container);
    runtime.block_on(sandbox.close())?;
    done?;
    bench.start(&options, &place.join("started"))
}

struct Bench<'a> {
    runtime: &'a Runtime,
    scale: Scale,
    run: String,
}

impl Bench<'_> {
    fn container(&self) -> BenchResult<String> {
        let filter = format!("label=orkestra.run={}", self.run);
        let listed = Program::new("docker").args(["ps", "--quiet", "--filter", &filter]).output()?;
        Ok(String::from_utf8(listed.stdout)?.trim().to_owned())
    }

    fn all(&self, sandbox: &DockerSandbox, container: &str) -> BenchResult {
        self.latency("exec in a warm container", sandbox, container, Some(1.2))?;
        let server = ProcessStart::new("bench", "sleep 600").with_name("server");
        self.runtime.block_on(sandbox.start_process(server))?;
        self.latency("exec while a process runs", sandbox, container, None)?;
        self.runtime.block_on(sandbox.stop_process("bench", "server"))?;
        self.output(sandbox, container)
    }

    fn latency(&self, what: &str, sandbox: &DockerSandbox, container: &str, most: Option<f64>) -> BenchResult {
        let mut figure = Figure::new(what, "docker exec", most);
        let ours = || self.ours(sandbox, "true");
        let theirs = || docker(&["exec", container, "sh", "-c", "true"]);
        ours()?;
        theirs()?;
        for round in 0..self.scale.rounds * 3 {
            // Neither is always the one that finds the other's work still being cleared away.
            let (took, reference) = if round % 2 == 0 {
                let took = ours()?;
                (took, theirs()?)
            } else {
                let reference = theirs()?;
                (ours()?, reference)
            };
            figure.add(took, reference);
        }
        println!("  {figure}");
        Ok(())
    }

    fn output(&self, sandbox: &DockerSandbox, container: &str) -> BenchResult {
        let bytes = if self.scale.rounds == 1 { OUTPUT_BYTES / 100 } else { OUTPUT_BYTES };
        let line = format!("yes '{LINE}' | head -c {bytes}");
        let mut figure = Figure::new(format!("{} MB of output", bytes / 1_000_000), "docker exec >/dev/null", None);
        for _ in 0..self.scale.rounds.div_ceil(3) {
            let took = self.ours(sandbox, &line)?;
            figure.add(took, docker(&["exec", container, "sh", "-c", &line])?);
        }
        println!("  {figure}");
        Ok(())
    }

    fn start(&self, options: &DockerOptions, workspace: &Path) -> BenchResult {
        let mut figure = Figure::new("start of a sandbox, checked", "docker run --detach", None);
        std::fs::create_dir_all(workspace)?;
        let name = format!("{}-reference", self.run);
        let mount = format!("{}:/workspace", workspace.display());
        let run =
            ["run", "--detach", "--init", "--network", "none", "--name", &name, "--volume", &mount, &options.image];
        for _ in 0..self.scale.rounds {
            let started = now();
            let sandbox = DockerSandbox::start(options.clone(), &self.run, workspace);
            let sandbox = self.runtime.block_on(sandbox)?;
            let took = started.elapsed();
            self.runtime.block_on(sandbox.close())?;
            let reference = docker(&run);
            docker(&["rm", "--force", &name])?;
            figure.add(took, reference?);
        }
        println!("  {figure}");
        Ok(())
    }

    fn ours(&self, sandbox: &DockerSandbox, line: &str) -> BenchResult<Duration> {
        let started = now();
        let result = self.runtime.block_on(sandbox.execute(Command::new(line), &Unobserved))?;
        let took = started.elapsed();
        if result.exit_code != 0 {
            return Err(format!("`{line}` ended with {}: {}", result.exit_code, result.output).into());
        }
        Ok(took)
    }
}

fn docker(arguments: &[&str]) -> BenchResult<Duration> {
    let mut program = Program::new("docker");
    let started = now();
    let status = program.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = started.elapsed();
    if status.success() { Ok(took) } else { Err(format!("docker {arguments:?}: {status}").into()) }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
