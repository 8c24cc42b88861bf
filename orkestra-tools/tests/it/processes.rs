//! Processes that keep running: a dev server that the next command reaches, and that nothing is left of. On both sandboxes.

use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::{Command, ProcessStart, Sandbox, SandboxError, ToolScope, ToolSet, Unobserved, Workspace, limits};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{command_lines, docker, docker_options, eventually, is_running, local, run_id};

async fn run(sandbox: &Arc<dyn Sandbox>, line: &str) -> String {
    let command = Command::new(line).with_timeout(Duration::from_secs(30));
    sandbox.execute(command, &Unobserved).await.expect(line).output
}

/// A number that no other process has in its command line.
fn unique(row: u32) -> String {
    format!("8{row}{:06}", std::process::id() % 1_000_000)
}

async fn table(sandbox: Arc<dyn Sandbox>, workspace: &Path) {
    a_web_server_is_reached_by_the_next_command(&sandbox, workspace).await;
    an_early_end_and_later_output_are_read(&sandbox, workspace).await;
    all_of_a_process_ends_when_it_is_stopped(&sandbox).await;
    names_and_limits(&sandbox).await;
    let row = if sandbox.kind() == "docker" { 10 } else { 20 };
    let left = format!("sleep {}", unique(row));
    let start = ProcessStart::new("closing", format!("setsid {left} & exec {left}"));
    assert!(sandbox.start_process(start).await.expect("started").running);
    assert!(is_running(&left));
    sandbox.close().await.expect("closed");
    eventually("closing ends all processes", || !is_running(&left)).await;
    let closed = sandbox.start_process(ProcessStart::new("closing", "true")).await.expect_err("it is closed");
    assert!(closed.to_string().contains("closed"), "{closed}");
}

/// As a model does it: through the tools.
async fn a_web_server_is_reached_by_the_next_command(sandbox: &Arc<dyn Sandbox>, workspace: &Path) {
    let artifacts = workspace.with_extension("artifacts");
    let files = Workspace::open(workspace).expect("opened");
    let scope = ToolScope::new(files, Arc::clone(sandbox), artifacts, Arc::new(Unobserved));
    let tools = ToolSet::builtin();
    let call = |name: &'static str, arguments| {
        let (tools, scope) = (&tools, &scope);
        async move { tools.call(scope, name, arguments).await.unwrap_or_else(|error| panic!("{name}: {error}")).text }
    };
    call("write_file", json!({"path": "site/index.html", "content": "hello from the server"})).await;
    // Other tests have such servers too.
    let mark = format!("server-{}-{}", sandbox.kind(), std::process::id());
    let server =
        "python3 -c 'import http.server as h; s = h.HTTPServer((\"127.0.0.1\", 0), h.SimpleHTTPRequestHandler); \
        open(\"../port\", \"w\").write(str(s.server_port)); print(\"serving\", flush=True); s.serve_forever() # MARK'"
            .replace("MARK", &mark);
    let started = call("start_process", json!({"command": server, "cwd": "site", "name": "server"})).await;
    assert!(started.contains("[server] $ ") && started.contains("running for"), "{started}");
    let ask = "while [ ! -s port ]; do :; done; python3 -c 'import urllib.request as u; \
        print(u.urlopen(\"http://127.0.0.1:\" + open(\"port\").read(), timeout=5).read().decode())'";
    assert_eq!(run(sandbox, ask).await, "hello from the server\n");
    let read = call("read_process", json!({"id": "server"})).await;
    assert!(read.contains("serving") && read.contains("GET / HTTP/1.1"), "{read}");
    let stopped = call("stop_process", json!({"id": "server"})).await;
    assert!(stopped.contains("stopped after") && stopped.contains("GET / HTTP/1.1"), "{stopped}");
    assert!(!command_lines().iter().any(|line| line.contains(&mark)), "the server runs on");
    let refused = run(sandbox, &format!("{ask} || echo nobody-answers")).await;
    assert!(refused.contains("nobody-answers"), "{refused}");
    let again = call("stop_process", json!({"id": "server"})).await;
    assert!(again.contains("stopped after"), "stopping twice is allowed: {again}");
}

async fn an_early_end_and_later_output_are_read(sandbox: &Arc<dyn Sandbox>, workspace: &Path) {
    let failed = sandbox.start_process(ProcessStart::new("a", "echo port in use >&2; exit 98")).await.expect("started");
    assert_eq!((failed.running, failed.exit_code, failed.output.as_str()), (false, Some(98), "port in use\n"));
    let whole = workspace.with_extension("process.log");
    let chatty = ProcessStart::new("a", "yes 0123456789 | head -n 100000; touch said-all; exec sleep 600")
        .with_name("chatty")
        .with_whole(&whole);
    sandbox.start_process(chatty).await.expect("started");
    eventually("it has said all", || workspace.join("said-all").exists()).await;
    let mut state = sandbox.read_process("a", "chatty").await.expect("there");
    while state.left_out + (state.output.len() as u64) < 1_100_000 {
        tokio::task::yield_now().await;
        state = sandbox.read_process("a", "chatty").await.expect("there");
    }
    assert!(state.running && state.output.len() <= limits::PROCESS_TAIL_BYTES && state.output.ends_with("6789\n"));
    let stopped = sandbox.stop_process("a", "chatty").await.expect("stopped");
    assert_eq!((stopped.running, stopped.exit_code), (false, Some(137)));
    assert_eq!(std::fs::metadata(&whole).expect("kept").len(), 1_100_000);
}

async fn all_of_a_process_ends_when_it_is_stopped(sandbox: &Arc<dyn Sandbox>) {
    let row = if sandbox.kind() == "docker" { 30 } else { 40 };
    let [child, daemon, unmarked] = [0, 1, 2].map(|number| format!("sleep {}", unique(row + number)));
    let line = format!("trap '' TERM INT; {child} & setsid {daemon} & env -i {unmarked} & while :; do sleep 600; done");
    let state = sandbox.start_process(ProcessStart::new("a", line)).await.expect("started");
    assert!(state.running && is_running(&child) && is_running(&daemon) && is_running(&unmarked));
    // A command that ends does not take it along.
    run(sandbox, "true").await;
    assert!(is_running(&child) && is_running(&daemon) && is_running(&unmarked));
    sandbox.stop_process("a", &state.id).await.expect("stopped");
    assert!(!is_running(&child) && !is_running(&daemon) && !is_running(&unmarked), "something of it is left");
}

async fn names_and_limits(sandbox: &Arc<dyn Sandbox>) {
    let start = |owner: &str, name: &str| ProcessStart::new(owner, "exec sleep 600").with_name(name);
    let refusal = |error: SandboxError| {
        assert!(matches!(error, SandboxError::Process(_)), "{error}");
        error.to_string()
    };
    for number in 0..limits::PROCESSES_MAX {
        sandbox.start_process(start("b", &format!("p{number}"))).await.expect("started");
    }
    let taken = refusal(sandbox.start_process(start("b", "p1")).await.expect_err("one too many"));
    assert!(taken.contains("are running already (p0, p1"), "{taken}");
    sandbox.stop_process("b", "p0").await.expect("stopped");
    let taken = refusal(sandbox.start_process(start("b", "p1")).await.expect_err("the name is in use"));
    assert!(taken.contains("`p1` is running already"), "{taken}");
    for bad in ["", "a b", "../x", "a\0", "a\u{1b}[2J", &"x".repeat(100)] {
        refusal(sandbox.start_process(start("b", bad)).await.expect_err(bad));
    }
    // An agent sees its own alone.
    let unknown = refusal(sandbox.read_process("c", "p1").await.expect_err("another's"));
    assert!(unknown.contains("you have started none"), "{unknown}");
    let unknown = refusal(sandbox.stop_process("b", "p99\u{1b}[2J").await.expect_err("there is none"));
    assert!(unknown.contains("yours are: p0, p1") && !unknown.contains('\u{1b}'), "{unknown}");
    for (line, cwd) in [("  ", "."), ("true", ".."), ("true", "missing")] {
        let error = sandbox.start_process(ProcessStart::new("b", line).with_cwd(cwd)).await.expect_err(line);
        assert!(matches!(error, SandboxError::InvalidCommand(_)), "{error}");
    }
    for number in 0..limits::PROCESSES_MAX {
        sandbox.stop_process("b", &format!("p{number}")).await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn local_processes() {
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    table(local(&workspace).await, &workspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_processes() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    table(docker(options, &run_id("processes"), &workspace).await, &workspace).await;
}

/// The child side of the next two tests: has a process run until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_a_crash() {
    let Ok(root) = std::env::var("ORKESTRA_TEST_PROCESS_VICTIM") else { return };
    let run_id = std::env::var("ORKESTRA_TEST_PROCESS_VICTIM_RUN").expect("set with the other");
    let line = std::env::var("ORKESTRA_TEST_PROCESS_VICTIM_LINE").expect("set with the other");
    let workspace = Path::new(&root).join("workspace");
    let sandbox = match run_id.as_str() {
        "" => local(&workspace).await,
        _ => docker(docker_options().await.expect("the parent has found it"), &run_id, &workspace).await,
    };
    sandbox.start_process(ProcessStart::new("a", line)).await.expect("started");
    std::future::pending::<()>().await;
}

/// Kills a host process that has a server running, and waits until the server is gone.
async fn crash(root: &Path, run_id: &str, row: u32, escape: &str) {
    let (server, daemon) = (format!("sleep {}", unique(row)), format!("sleep {}", unique(row + 1)));
    let mut host = Program::new(std::env::current_exe().expect("a path"));
    host.args(["--exact", "processes::victim_of_a_crash"]).stdout(std::process::Stdio::null());
    host.env("ORKESTRA_TEST_PROCESS_VICTIM", root).env("ORKESTRA_TEST_PROCESS_VICTIM_RUN", run_id);
    host.env("ORKESTRA_TEST_PROCESS_VICTIM_LINE", format!("{escape} {daemon} & exec {server}"));
    let mut host = host.spawn().expect("spawned");
    eventually("the victim's processes run", || is_running(&server) && is_running(&daemon)).await;
    host.kill().expect("killed");
    host.wait().expect("reaped");
    eventually("nothing of them is left", || !is_running(&server) && !is_running(&daemon)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_host_process_that_is_killed_leaves_no_process() {
    let root = TempDir::new().expect("a temporary directory");
    crash(root.path(), "", 50, "setsid env -i").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_host_process_that_is_killed_leaves_no_process() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run = run_id("process-crash");
    crash(root.path(), &run, 60, "").await;
    // The idle container is removed by the next start.
    docker(options, &run, &root.path().join("workspace")).await.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_dropped_leaves_no_process() {
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = local(&root.path().join("workspace")).await;
    let server = format!("sleep {}", unique(70));
    sandbox.start_process(ProcessStart::new("a", format!("setsid {server} & exec {server}"))).await.expect("started");
    assert!(is_running(&server));
    drop(sandbox);
    eventually("nothing of it is left", || !is_running(&server)).await;
}
