//! Commands with their input and output in the caller's hands. On both sandboxes.

use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use futures_util::future::join_all;
use orkestra_tools::{Command, PipedCommand, Sandbox, SandboxError, Secrets, limits};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{docker, docker_options, eventually, is_running, local, run_id};

fn unique(row: u32) -> String {
    format!("9{row}{:06}", std::process::id() % 1_000_000)
}

async fn open(sandbox: &Arc<dyn Sandbox>, line: &str) -> PipedCommand {
    sandbox.pipe(Command::new(line)).await.unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Everything that it prints until its output ends.
async fn rest(command: &mut PipedCommand) -> String {
    let mut bytes = Vec::new();
    command.read_to_end(&mut bytes).await.expect("read");
    String::from_utf8(bytes).expect("text")
}

async fn table(sandbox: Arc<dyn Sandbox>) {
    let row = if sandbox.kind() == "docker" { 10 } else { 20 };
    bytes_pass_as_they_are(&sandbox).await;
    its_own_end_is_seen(&sandbox).await;
    a_slow_reader_slows_it_down(&sandbox).await;
    it_has_its_directory_and_environment(&sandbox).await;
    closing_its_input_ends_it(&sandbox, row).await;
    all_of_it_ends_with_its_handle(&sandbox, row + 3).await;
    invalid_commands_are_refused(&sandbox).await;
    let left = format!("sleep {}", unique(row + 6));
    let _held = open(&sandbox, &format!("setsid {left} & exec {left}")).await;
    eventually("it runs", || is_running(&left)).await;
    sandbox.close().await.expect("closed");
    eventually("closing ends it", || !is_running(&left)).await;
    let closed = sandbox.pipe(Command::new("cat")).await.expect_err("it is closed");
    assert!(closed.to_string().contains("closed"), "{closed}");
}

async fn bytes_pass_as_they_are(sandbox: &Arc<dyn Sandbox>) {
    let mut echo = open(sandbox, "cat").await;
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut back = vec![0; all.len()];
    let (mut reader, mut writer) = tokio::io::split(&mut echo);
    let (sent, read) = tokio::join!(writer.write_all(&all), reader.read_exact(&mut back));
    sent.expect("sent");
    read.expect("read");
    assert!(back == all, "the bytes changed on their way");
    assert!(echo.is_running() && echo.exit_code().is_none());
    echo.stop().await.expect("stopped");
}

async fn its_own_end_is_seen(sandbox: &Arc<dyn Sandbox>) {
    let line = "read -r word; echo \"got $word\"; echo the-secret is why >&2; exit 7";
    let secrets = Secrets::default().with([("key", "the-secret")]).expect("valid");
    let mut ends = sandbox.pipe(Command::new(line).with_secrets(secrets)).await.expect("started");
    ends.write_all(b"hello\nmore").await.expect("sent");
    assert_eq!(rest(&mut ends).await, "got hello\n");
    eventually("its end is known", || !ends.is_running()).await;
    assert_eq!(ends.exit_code(), Some(7));
    assert!(
        ends.stderr_tail().ends_with("is why\n") && !ends.stderr_tail().contains("the-secret"),
        "{}",
        ends.stderr_tail()
    );
}

/// A flood that nobody reads fills a buffer and nothing else; it is read to its end later.
async fn a_slow_reader_slows_it_down(sandbox: &Arc<dyn Sandbox>) {
    let mut flood = open(sandbox, "head -c 20000000 /dev/zero; yes x | head -n 200000 >&2; printf end").await;
    let mut first = [0; 10];
    flood.read_exact(&mut first).await.expect("read");
    let text = rest(&mut flood).await;
    assert_eq!((text.len(), text.ends_with("\0end")), (20_000_000 - 10 + 3, true));
    assert!(flood.stderr_tail().len() <= limits::PROCESS_TAIL_BYTES);
}

async fn it_has_its_directory_and_environment(sandbox: &Arc<dyn Sandbox>) {
    sandbox.execute(Command::new("mkdir -p sub"), &orkestra_tools::Unobserved).await.expect("made");
    let command =
        Command::new("pwd; printf %s \"$API_TOKEN\"").with_cwd("sub").with_environment("API_TOKEN", "a b'$x\n");
    let text = rest(&mut sandbox.pipe(command.clone()).await.expect("started")).await;
    assert!(text.contains("/sub\na b'$x\n"), "{text}");
    let result = sandbox.execute(command, &orkestra_tools::Unobserved).await.expect("run");
    assert!(result.output.contains("/sub\na b'$x\n"), "{}", result.output);
    let text = rest(&mut open(sandbox, "printf %s \"${API_TOKEN-unset}\"").await).await;
    assert_eq!(text, "unset", "no other command has it");
}

async fn closing_its_input_ends_it(sandbox: &Arc<dyn Sandbox>, row: u32) {
    let mut polite = open(sandbox, "cat; echo bye").await;
    polite.write_all(b"a\n").await.expect("sent");
    polite.shutdown().await.expect("closed");
    assert_eq!(rest(&mut polite).await, "a\nbye\n");
    let left = format!("sleep {}", unique(row));
    let mut deaf = open(sandbox, &format!("trap '' TERM HUP INT; setsid {left} & exec 0<&-; {left}")).await;
    eventually("it runs", || is_running(&left)).await;
    deaf.shutdown().await.expect("closed");
    eventually("it was killed", || !is_running(&left)).await;
}

async fn all_of_it_ends_with_its_handle(sandbox: &Arc<dyn Sandbox>, row: u32) {
    let [child, daemon] = [0, 1].map(|number| format!("sleep {}", unique(row + number)));
    let line = format!("trap '' TERM; {child} & setsid {daemon} & while :; do sleep 600; done");
    let command = open(sandbox, &line).await;
    eventually("it runs", || is_running(&child) && is_running(&daemon)).await;
    sandbox.execute(Command::new("true"), &orkestra_tools::Unobserved).await.expect("run");
    assert!(is_running(&child) && is_running(&daemon), "another command does not take it along");
    command.stop().await.expect("stopped");
    assert!(!is_running(&child) && !is_running(&daemon), "something of it is left");
    let dropped = open(sandbox, &line).await;
    eventually("it runs", || is_running(&child) && is_running(&daemon)).await;
    drop(dropped);
    eventually("nothing of it is left", || !is_running(&child) && !is_running(&daemon)).await;
}

async fn invalid_commands_are_refused(sandbox: &Arc<dyn Sandbox>) {
    let variable = |name: &str, value: &str| Command::new("true").with_environment(name, value);
    let bad = [
        Command::new(" "),
        Command::new("cat").with_cwd(".."),
        variable("", "x"),
        variable("A=B", "x"),
        variable("1A", "x"),
        variable("A\u{1b}", "x"),
        variable("ORKESTRA_SANDBOX", "x"),
        variable("A", "x\0"),
    ];
    for command in bad {
        let error = sandbox.pipe(command.clone()).await.expect_err("it is invalid");
        assert!(matches!(error, SandboxError::InvalidCommand(_)), "{command:?}: {error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let held = join_all((0..limits::PIPES_MAX).map(|_| open(sandbox, "cat"))).await;
    let full = sandbox.pipe(Command::new("cat")).await.expect_err("one too many");
    assert!(matches!(full, SandboxError::Process(_)), "{full}");
    for stopped in join_all(held.into_iter().map(PipedCommand::stop)).await {
        stopped.expect("stopped");
    }
    open(sandbox, "cat").await.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_pipes() {
    let root = TempDir::new().expect("a temporary directory");
    table(local(&root.path().join("workspace")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pipes() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    table(docker(options, &run_id("pipes"), &root.path().join("workspace")).await).await;
}

/// The child side of the next test: has a piped command run until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_a_crash() {
    let Ok(root) = std::env::var("ORKESTRA_TEST_PIPE_VICTIM") else { return };
    let run_id = std::env::var("ORKESTRA_TEST_PIPE_VICTIM_RUN").expect("set with the other");
    let line = std::env::var("ORKESTRA_TEST_PIPE_VICTIM_LINE").expect("set with the other");
    let workspace = Path::new(&root).join("workspace");
    let sandbox = match run_id.as_str() {
        "" => local(&workspace).await,
        _ => docker(docker_options().await.expect("the parent has found it"), &run_id, &workspace).await,
    };
    let _held = open(&sandbox, &line).await;
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_process_that_is_killed_leaves_no_piped_command() {
    let root = TempDir::new().expect("a temporary directory");
    let run = run_id("pipe-crash");
    let options = docker_options().await;
    for (kind, row) in [("", 50), (run.as_str(), 60)] {
        if !kind.is_empty() && options.is_none() {
            continue;
        }
        let server = format!("sleep {}", unique(row));
        let mut host = Program::new(std::env::current_exe().expect("a path"));
        host.args(["--exact", "pipes::victim_of_a_crash"]).stdout(std::process::Stdio::null());
        host.env("ORKESTRA_TEST_PIPE_VICTIM", root.path()).env("ORKESTRA_TEST_PIPE_VICTIM_RUN", kind);
        host.env("ORKESTRA_TEST_PIPE_VICTIM_LINE", format!("trap '' HUP; exec {server}"));
        let mut host = host.spawn().expect("spawned");
        eventually("the victim's command runs", || is_running(&server)).await;
        host.kill().expect("killed");
        host.wait().expect("reaped");
        eventually("nothing of it is left", || !is_running(&server)).await;
    }
    if let Some(options) = options {
        // The idle container is removed by the next start.
        docker(options, &run, &root.path().join("workspace")).await.close().await.expect("closed");
    }
}
