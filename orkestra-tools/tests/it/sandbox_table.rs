//! The behaviour that both sandboxes guarantee, tested on each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::{Command, CommandResult, Sandbox, SandboxError, Unobserved, limits};
use tempfile::TempDir;

use crate::support::{Recorder, docker, docker_options, eventually, is_running, local, run_id};

async fn run(sandbox: &Arc<dyn Sandbox>, line: &str) -> CommandResult {
    run_for(sandbox, line, Duration::from_secs(60)).await
}

async fn run_for(sandbox: &Arc<dyn Sandbox>, line: &str, timeout: Duration) -> CommandResult {
    let command = Command::new(line).with_timeout(timeout);
    sandbox.execute(command, &Unobserved).await.unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// An argument for `sleep` that no other process uses, so that the process can be found by it.
fn unique_sleep(row: u32) -> String {
    format!("{}{:06}", 70 + row, std::process::id() % 1_000_000)
}

/// Runs every check on one sandbox.
async fn table(sandbox: Arc<dyn Sandbox>, workspace: &Path) {
    results_and_output(&sandbox).await;
    limits_of_output(&sandbox, workspace).await;
    confinement(&sandbox, workspace).await;
    no_process_survives(&sandbox, 0).await;
    two_at_once(&sandbox).await;
    copies(&sandbox, workspace).await;
    sandbox.close().await.expect("closed");
    sandbox.close().await.expect("closing twice is fine");
    sandbox.execute(Command::new("true"), &Unobserved).await.expect_err("it is closed");
}

async fn results_and_output(sandbox: &Arc<dyn Sandbox>) {
    for (line, code) in
        [("true", 0), ("exit 7", 7), ("no-such-program-here", 127), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        let result = run(sandbox, line).await;
        assert_eq!((result.exit_code, result.timed_out), (code, false), "{line}: {}", result.output);
    }
    let seen = Recorder::default();
    let line = "echo one; echo two >&2; printf 'no newline'";
    let result = sandbox.execute(Command::new(line), &seen).await.expect("run");
    let mut lines = seen.lines();
    lines.sort();
    let expected = [("no newline", false), ("one", false), ("two", true)];
    assert_eq!(lines, expected.map(|(line, stderr)| (line.to_owned(), stderr)));
    assert_eq!(result.output.len(), "one\ntwo\nno newline".len());
    assert_eq!(run(sandbox, "cat; echo done").await.output, "done\n", "there is no input to wait for");
    assert_eq!(run(sandbox, "printf '%s' \"a'b\" \"$1\"").await.output, "a'b", "quotes survive");
    for (line, cwd) in
        [("true", Some("..")), ("true", Some("/")), ("true", Some("missing")), ("  ", None), ("a\0b", None)]
    {
        let mut command = Command::new(line);
        command.cwd = cwd.map(str::to_owned);
        let refused = sandbox.execute(command, &Unobserved).await.expect_err(line);
        assert!(matches!(refused, SandboxError::InvalidCommand(_)), "{refused}");
    }
    let result = sandbox.execute(Command::new("mkdir -p a/b && cd a/b && touch here"), &Unobserved).await.expect("run");
    assert_eq!(result.exit_code, 0, "{}", result.output);
    let result = sandbox.execute(Command::new("ls").with_cwd("a/b"), &Unobserved).await.expect("run");
    assert_eq!(result.output, "here\n");
}

async fn limits_of_output(sandbox: &Arc<dyn Sandbox>, workspace: &Path) {
    let artifact = workspace.with_extension("whole.log");
    let command = Command::new("echo first; yes 0123456789 | head -n 200000; echo last").with_whole(&artifact);
    let seen = Recorder::default();
    let result = sandbox.execute(command, &seen).await.expect("run");
    assert!(result.output.starts_with("first\n") && result.output.ends_with("\nlast\n"), "head and tail");
    assert!(
        result.output.len() < limits::OUTPUT_HEAD_BYTES + limits::OUTPUT_TAIL_BYTES + 200,
        "{}",
        result.output.len()
    );
    assert!(result.output.contains("bytes of output left out here"));
    assert_eq!(std::fs::metadata(&artifact).expect("kept").len(), 6 + 200_000 * 11 + 5);
    assert_eq!(seen.lines().len() as u64, limits::STREAM_LINES_MAX + 1);
    // Endless output costs time, not memory.
    let endless = run_for(sandbox, "yes", Duration::from_secs(1)).await;
    assert!(endless.timed_out && endless.output.len() < 60_000);
}

/// The names in the environment of a command.
const KNOWN: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "TERM",
    "NO_COLOR",
    "PYTHONUNBUFFERED",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "ORKESTRA_SANDBOX",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "HOSTNAME",
    // Podman's.
    "container",
    // Of the image, and of a container without a network.
    "npm_config_update_notifier",
    "npm_config_prefix",
    "PIP_BREAK_SYSTEM_PACKAGES",
    "PIP_NO_COMPILE",
    "UV_PYTHON_DOWNLOADS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_RETRIES",
    "npm_config_fetch_retries",
    "UV_HTTP_RETRIES",
    "UV_OFFLINE",
];

async fn confinement(sandbox: &Arc<dyn Sandbox>, workspace: &Path) {
    let outside = workspace.with_extension("outside");
    std::fs::create_dir_all(&outside).expect("created");
    std::fs::write(outside.join("secret"), "secret-of-the-host").expect("written");
    // IMPORTANT: only use paths that this test created. If the confinement fails, these commands really run.
    for line in [
        "cat '{}/secret'",
        "echo x > '{}/planted'",
        "echo x >> '{}/secret'",
        "mkdir '{}/planted'",
        "rm '{}/secret'",
        "mv '{}/secret' taken",
        "ln '{}/secret' hard && cat hard",
        "ln -s '{}' out; cat out/secret",
        "ln -sfn '{}' out; echo x > out/planted",
    ] {
        let line = line.replace("{}", &outside.display().to_string());
        let result = run(sandbox, &line).await;
        assert_ne!(result.exit_code, 0, "{line}: {}", result.output);
        assert!(!result.output.contains("secret-of-the-host"), "{line}: {}", result.output);
    }
    assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("untouched"), "secret-of-the-host");
    assert_eq!(std::fs::read_dir(&outside).expect("listed").count(), 1);
    let result = run(sandbox, "echo x > file && echo y > \"$HOME/file\" && echo z > \"$TMPDIR/file\"").await;
    assert_eq!(result.exit_code, 0, "{}", result.output);
    let owner_of = |path: &Path| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).expect("there"));
    let owner = owner_of(workspace);
    assert_eq!(owner_of(&workspace.join("file")), owner, "files belong to the workspace's owner");

    let environment = run(sandbox, "env").await.output;
    for entry in environment.lines() {
        let name = entry.split('=').next().unwrap_or_default();
        assert!(KNOWN.contains(&name), "unexpected in the environment: {entry}");
    }
    let dump = run(sandbox, "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").await.output;
    assert!(!dump.contains("CARGO_MANIFEST_DIR"), "the environment of the host process is readable");
    let status = run(sandbox, "cat /proc/self/status").await.output;
    for line in
        ["NoNewPrivs:\t1", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"]
    {
        let is_root_only = line.starts_with("CapBnd") && sandbox.kind() == "local" && owner != 0;
        // gVisor sets it and does not show it.
        let is_hidden = line.starts_with("NoNewPrivs") && !status.contains("NoNewPrivs");
        assert!(status.contains(line) || is_root_only || is_hidden, "{line} is missing in:\n{status}");
    }
    let limit = run(sandbox, "ulimit -c; ulimit -n").await.output;
    assert_eq!(limit, format!("0\n{}\n", limits::SANDBOX_OPEN_FILES_MAX.min(soft_limit_of_files())));
}

/// The local sandbox never raises a limit.
fn soft_limit_of_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// After exit, timeout and cancellation nothing runs: no children, no background processes, nothing that left the session.
async fn no_process_survives(sandbox: &Arc<dyn Sandbox>, row: u32) {
    let row = row + if sandbox.kind() == "docker" { 10 } else { 0 };
    let [waits, child, grandchild, daemon, unmarked] = [0, 1, 2, 3, 4].map(|number| unique_sleep(row + number));
    let started = format!(
        "sleep {child} & sh -c 'sleep {grandchild} & wait' & setsid sleep {daemon} & env -i sleep {unmarked} & echo started;"
    );
    let is_gone = || ![&waits, &child, &grandchild, &daemon, &unmarked].into_iter().any(|seconds| is_running(seconds));

    let result = run(sandbox, &format!("{started} exit 4")).await;
    assert_eq!((result.exit_code, result.output.as_str()), (4, "started\n"));
    eventually("a command that ends takes its background along", is_gone).await;

    // A process that left the session keeps the output open, silent or not: it does not count as the command.
    for daemon in ["setsid yes", "setsid sleep 600"] {
        let result = run(sandbox, &format!("{daemon} & exit 5")).await;
        assert_eq!((result.exit_code, result.timed_out), (5, false), "{daemon}");
    }

    let timed_out = run_for(sandbox, &format!("{started} sleep {waits}"), Duration::from_secs(1)).await;
    assert_eq!((timed_out.exit_code, timed_out.timed_out, timed_out.output.as_str()), (124, true, "started\n"));
    eventually("a time-out kills everything", is_gone).await;

    let stubborn = format!("trap '' TERM INT HUP; {started} while :; do sleep {waits}; done");
    assert!(
        run_for(sandbox, &stubborn, Duration::from_secs(1)).await.timed_out,
        "signals that can be ignored are not used"
    );
    eventually("a stubborn command is killed", is_gone).await;

    let cancelled = sandbox.execute(Command::new(format!("{started} sleep {waits}")), &Unobserved);
    tokio::select! {
        result = cancelled => panic!("it ended by itself: {result:?}"),
        () = eventually("the command to cancel runs", || is_running(&waits) && is_running(&daemon)) => {}
    }
    eventually("dropping the future kills everything", is_gone).await;
    assert_eq!(run(sandbox, "echo alive").await.output, "alive\n");
}

async fn two_at_once(sandbox: &Arc<dyn Sandbox>) {
    let (writer, reader) = tokio::join!(
        run(sandbox, "rm -f pipe; mkfifo pipe; echo through > pipe"),
        run(sandbox, "while [ ! -p pipe ]; do :; done; cat pipe"),
    );
    assert_eq!((writer.exit_code, reader.output.as_str()), (0, "through\n"), "commands run at the same time");
}

async fn copies(sandbox: &Arc<dyn Sandbox>, workspace: &Path) {
    let host = workspace.with_extension("copy");
    std::fs::write(&host, "from the host").expect("written");
    assert_eq!(sandbox.copy_in(&host, "in/file").await.expect("copied"), 13);
    assert_eq!(run(sandbox, "cat in/file; echo back > out.txt").await.output, "from the host");
    assert_eq!(sandbox.copy_out("out.txt", &host).await.expect("copied"), 5);
    assert_eq!(std::fs::read_to_string(&host).expect("read"), "back\n");
    run(sandbox, "ln -sf /etc/passwd link").await;
    sandbox.copy_out("link", &host).await.expect_err("a symlink that leads out");
    sandbox.copy_in(&host, "../x").await.expect_err("a path that leads out");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_sandbox() {
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    table(local(&workspace).await, &workspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_sandbox() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    table(docker(options, &run_id("table"), &workspace).await, &workspace).await;
}
