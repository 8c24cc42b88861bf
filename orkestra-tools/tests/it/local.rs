//! What only the local sandbox guarantees, and that it reports what it does not.

use std::time::Duration;

use orkestra_tools::{Command, LocalOptions, LocalSandbox, ProcessStart, Sandbox as _, Unobserved};
use tempfile::TempDir;

use crate::support::{command_lines, eventually, is_running};

async fn start(options: LocalOptions) -> (TempDir, LocalSandbox) {
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = LocalSandbox::start(options, &root.path().join("workspace")).await.expect("started");
    (root, sandbox)
}

async fn output(sandbox: &LocalSandbox, line: &str) -> String {
    let command = Command::new(line).with_timeout(Duration::from_secs(120));
    sandbox.execute(command, &Unobserved).await.expect("run").output
}

fn has_landlock(sandbox: &LocalSandbox) -> bool {
    let found = sandbox.confinement().enforced.iter().any(|line| line.starts_with("Landlock"));
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "CI needs a kernel with Landlock");
    if !found {
        eprintln!("\n==== SKIPPED, this kernel has no Landlock: {:?} ====\n", sandbox.confinement().gaps);
    }
    found
}

#[tokio::test]
async fn the_report_says_what_is_open() {
    let (_root, sandbox) = start(LocalOptions::default()).await;
    let report = sandbox.confinement();
    assert!(report.gaps.iter().any(|gap| gap.contains("network is open")), "{report:?}");
    assert!(report.enforced.iter().any(|line| line.contains("no new privileges")), "{report:?}");
    println!("{report:#?}");
}

#[tokio::test]
async fn landlock_is_inherited_and_does_not_touch_the_host_process() {
    let (root, sandbox) = start(LocalOptions::default()).await;
    if !has_landlock(&sandbox) {
        return;
    }
    let secret = root.path().join("secret");
    std::fs::write(&secret, "of the host").expect("written");
    for line in [
        format!("cat {}", secret.display()),
        format!("sh -c \"sh -c 'cat {}'\"", secret.display()),
        "cat /etc/shadow".to_owned(),
        format!("cat /proc/{}/environ", std::process::id()),
        format!("kill -CONT {}", std::process::id()),
        format!("ls {}", root.path().display()),
    ] {
        let command = Command::new(&line);
        let result = sandbox.execute(command, &Unobserved).await.expect("run");
        assert_ne!(result.exit_code, 0, "{line}: {}", result.output);
        assert!(
            result.output.contains("denied") || result.output.contains("not permitted"),
            "{line}: {}",
            result.output
        );
    }
    assert_eq!(std::fs::read_to_string(&secret).expect("this process may still read it"), "of the host");
}

#[tokio::test]
async fn what_landlock_leaves_open_is_in_the_report() {
    let (root, sandbox) = start(LocalOptions::default()).await;
    if !has_landlock(&sandbox) {
        return;
    }
    let file = root.path().join("of-the-host");
    std::fs::write(&file, "x").expect("written");
    let changed = output(&sandbox, &format!("chmod 600 '{0}' && echo changed", file.display())).await;
    let is_reported = sandbox.confinement().gaps.iter().any(|gap| gap.contains("does not restrict metadata"));
    assert_eq!(changed == "changed\n", is_reported, "the report and the kernel disagree: {changed}");
}

#[tokio::test]
async fn memory_of_a_process_is_limited() {
    let mut options = LocalOptions::default();
    options.memory_bytes = 64 * 1024 * 1024;
    let (_root, sandbox) = start(options).await;
    let said = output(&sandbox, "head -c 200000000 /dev/zero | tail -c 150000000 | wc -c").await;
    assert_ne!(said.lines().last(), Some("150000000"), "{said}");
}

#[tokio::test]
async fn two_sandboxes_do_not_share_scratch_space() {
    let (_one_root, one) = start(LocalOptions::default()).await;
    let (_two_root, two) = start(LocalOptions::default()).await;
    output(&one, "echo mine > \"$HOME/file\"").await;
    let home = output(&one, "printf '%s' \"$HOME\"").await;
    assert_eq!(output(&two, "ls \"$HOME\"").await, "");
    if has_landlock(&two) {
        assert!(output(&two, &format!("cat {home}/file")).await.contains("denied"));
    }
}

#[tokio::test]
async fn common_development_tools_work_in_the_sandbox() {
    let (_root, sandbox) = start(LocalOptions::default()).await;
    let serve = "python3 -c 'import http.server as h, threading as t, urllib.request as u; \
        s = h.HTTPServer((\"127.0.0.1\", 0), h.SimpleHTTPRequestHandler); \
        t.Thread(target=s.serve_forever, daemon=True).start(); \
        print(u.urlopen(f\"http://127.0.0.1:{s.server_port}/\").status)'";
    let table = [
        ("git", "git init -q . && git status --short && echo works"),
        ("node", "node -e 'console.log(\"works\")'"),
        ("python3", "python3 -m unittest -q 2>&1 | grep -q 'Ran 0 tests' && echo works"),
        ("python3", serve),
        ("python3", "python3 -m venv venv && venv/bin/python -c 'print(\"works\")'"),
    ];
    for (program, line) in table {
        let installed = std::process::Command::new(program).arg("--version").output();
        if !installed.is_ok_and(|output| output.status.success()) {
            eprintln!("\n==== SKIPPED, {program} is not installed: {line} ====\n");
            continue;
        }
        let said = output(&sandbox, line).await;
        assert!(said.ends_with("works\n") || said.starts_with("200\n") || said.ends_with("200\n"), "{line}: {said}");
    }
}

/// The child side of the next test: runs a command in the given workspace until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_a_crash() {
    let Ok(workspace) = std::env::var("ORKESTRA_TEST_VICTIM") else { return };
    let seconds = std::env::var("ORKESTRA_TEST_VICTIM_SECONDS").expect("set with the other");
    let sandbox = LocalSandbox::start(LocalOptions::default(), workspace.as_ref()).await.expect("started");
    let line = format!("setsid sleep 1{seconds} & sleep 2{seconds}");
    let _ = sandbox.execute(Command::new(line), &Unobserved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_crashed_process_runs_beside_the_next_one() {
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    let seconds = format!("{:06}", std::process::id() % 1_000_000);
    let (daemon, command) = (format!("sleep 1{seconds}"), format!("sleep 2{seconds}"));
    let mut host = std::process::Command::new(std::env::current_exe().expect("a path"));
    host.args(["--exact", "local::victim_of_a_crash"]).stdout(std::process::Stdio::null());
    host.env("ORKESTRA_TEST_VICTIM", &workspace).env("ORKESTRA_TEST_VICTIM_SECONDS", &seconds);
    let scratch = root.path().join("scratch");
    std::fs::create_dir(&scratch).expect("created");
    host.env("TMPDIR", &scratch);
    let mut host = host.spawn().expect("spawned");
    eventually("the victim runs its command", || is_running(&daemon) && is_running(&command)).await;
    // Its guardian ends all of it; a second sandbox does not kill the processes of a live one.
    let beside = LocalSandbox::start(LocalOptions::default(), &workspace).await.expect("started");
    assert!(is_running(&daemon) && is_running(&command));
    host.kill().expect("killed");
    host.wait().expect("reaped");
    eventually("the guardian kills what a dead process started", || !is_running(&command) && !is_running(&daemon))
        .await;
    drop(beside);
    // It has the directory in its command line.
    let place = scratch.to_string_lossy().into_owned();
    eventually("no guardian is left", || !command_lines().iter().any(|line| line.contains(&place))).await;
    let left: Vec<_> = std::fs::read_dir(&scratch).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn tcp_ports_can_be_restricted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let mut options = LocalOptions::default();
    options.connect_ports = Some(vec![port]);
    options.listen_ports = Some(Vec::new());
    let (_root, sandbox) = start(options).await;
    let has_ports = sandbox.confinement().enforced.iter().any(|line| line.contains("connections to no ports but"));
    let told = sandbox.confinement().gaps.iter().any(|line| line.contains("cannot restrict connections to TCP ports"));
    assert!(has_ports != told, "{:?}", sandbox.confinement());
    if !has_ports {
        eprintln!("\n==== SKIPPED, this kernel's Landlock has no ports ====\n");
        return;
    }
    let connect = |port: u16| {
        format!(
            "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5); print(\"connected\")'"
        )
    };
    assert_eq!(output(&sandbox, &connect(port)).await, "connected\n");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let refused = output(&sandbox, &connect(other.local_addr().expect("bound").port())).await;
    assert!(refused.contains("Permission denied"), "{refused}");
    let listen = "python3 -c 'import socket; socket.create_server((\"127.0.0.1\", 18080))'";
    assert!(output(&sandbox, listen).await.contains("Permission denied"));
}

#[tokio::test]
async fn unix_sockets_are_for_those_who_ask() {
    let bind =
        "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"s\"); print(\"bound\")'; rm -f s";
    let pair = "python3 -c 'import socket; socket.socketpair(); print(\"paired\")'";
    for (unix_sockets, expected) in [(false, "Operation not permitted"), (true, "bound")] {
        let mut options = LocalOptions::default();
        options.unix_sockets = unix_sockets;
        let (_root, sandbox) = start(options).await;
        assert!(output(&sandbox, bind).await.contains(expected), "{unix_sockets}");
        assert_eq!(output(&sandbox, pair).await, "paired\n");
        let Report { enforced, gaps } = report(&sandbox);
        assert_eq!(enforced.contains("no unix sockets"), !unix_sockets);
        assert!(!unix_sockets || gaps.contains("unix sockets with a path are reachable") || enforced.contains("ABI 9"));
    }
}

struct Report {
    enforced: String,
    gaps: String,
}

fn report(sandbox: &LocalSandbox) -> Report {
    let report = sandbox.confinement();
    Report { enforced: report.enforced.join("\n"), gaps: report.gaps.join("\n") }
}

#[tokio::test]
async fn a_private_network_has_loopback_alone_or_is_refused() {
    let root = TempDir::new().expect("a temporary directory");
    let mut options = LocalOptions::default();
    options.private_network = true;
    let sandbox = match LocalSandbox::start(options, &root.path().join("workspace")).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            assert!(!rustix::process::geteuid().is_root(), "root may make one: {error}");
            assert!(error.to_string().contains("use the Docker sandbox instead"), "{error}");
            return;
        }
    };
    assert!(report(&sandbox).enforced.contains("a network of its own"));
    assert!(!report(&sandbox).gaps.contains("network is open"));
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = host.local_addr().expect("bound").port();
    let connect = format!(
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5); print(\"connected\")'"
    );
    assert!(output(&sandbox, &connect).await.contains("Connection refused"), "the host's services are not reachable");
    let outside = "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 5)'";
    assert!(output(&sandbox, outside).await.contains("Network is unreachable"));
    // The same number: this is another network, in which the port is free.
    let serve = format!("exec python3 -m http.server --bind 127.0.0.1 {port}");
    let server = sandbox.start_process(ProcessStart::new("a", serve)).await.expect("started");
    let answers = format!("until {connect}; do sleep 0.1; done 2>/dev/null");
    assert!(output(&sandbox, &answers).await.contains("connected"), "{server:?}");
    sandbox.close().await.expect("closed");
}
