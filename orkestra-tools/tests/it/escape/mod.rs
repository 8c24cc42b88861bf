//! The escape suite: what a hostile command may try, on both sandboxes, as root and as an ordinary user. After each attempt
//! nothing may be left: no process, mount, key, shared memory, set-user-id file, file of root's, or change of the host.
//!
//! `probe.py` makes the attempts that a shell cannot. [`without_a_sandbox_the_probes_escape`] proves that they would work.

mod attempts;
mod disk;
mod host;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::{Command, DockerOptions, LocalOptions, LocalSandbox, Sandbox, SandboxError, Unobserved};
use tempfile::TempDir;

use self::attempts::{ATTEMPTS, Action, Attempt, On};
use crate::support::{command_lines, docker, docker_options, eventually, run_id};

const PROBE: &str = include_str!("probe.py");
/// An account that every Linux has and that owns nothing.
const ORDINARY: u32 = 65534;
const PROCESSES_MAX: u32 = 200;

/// What the attempts are made against.
struct Scene {
    root: TempDir,
    sandbox: Arc<dyn Sandbox>,
    /// Services of the host that no command may reach; kept open.
    _listeners: (UnixListener, UnixDatagram, std::net::TcpListener),
}

impl Scene {
    /// Prepares the host's side; `owner` gets the workspace.
    fn directory(owner: Option<u32>) -> TempDir {
        let root = TempDir::new().expect("a temporary directory");
        let (workspace, outside) = (root.path().join("workspace"), root.path().join("outside"));
        for directory in [&workspace, &outside] {
            std::fs::create_dir(directory).expect("created");
        }
        std::fs::write(outside.join("secret"), "secret-of-the-host\n").expect("written");
        std::fs::write(workspace.join("probe.py"), PROBE).expect("written");
        if let Some(owner) = owner {
            std::os::unix::fs::chown(&workspace, Some(owner), Some(owner)).expect("root can");
            std::os::unix::fs::chown(workspace.join("probe.py"), Some(owner), Some(owner)).expect("root can");
        }
        root
    }

    fn new(root: TempDir, sandbox: Arc<dyn Sandbox>) -> Self {
        let outside = root.path().join("outside");
        let stream = UnixListener::bind(outside.join("socket")).expect("bound");
        let datagram = UnixDatagram::bind(outside.join("datagram")).expect("bound");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = tcp.local_addr().expect("bound").port();
        std::fs::write(root.path().join("workspace/port"), port.to_string()).expect("written");
        Self { root, sandbox, _listeners: (stream, datagram, tcp) }
    }

    fn workspace(&self) -> PathBuf {
        self.root.path().join("workspace")
    }

    fn outside(&self) -> PathBuf {
        self.root.path().join("outside")
    }

    async fn run_all(&self) {
        let on = if self.sandbox.kind() == "docker" { On::Docker } else { On::Local };
        let here = ATTEMPTS.iter().enumerate().filter(|(_, attempt)| [On::Both, on].contains(&attempt.on));
        let mut failures = Vec::new();
        let mut made = 0;
        for (index, attempt) in here {
            made += 1;
            failures.extend(self.run(index, attempt).await.map(|failure| format!("{}: {failure}", attempt.name)));
        }
        println!("{made} attempts on {} as user {}", self.sandbox.kind(), rustix::process::geteuid().as_raw());
        assert!(failures.is_empty(), "{}\n{:#?}", failures.join("\n"), self.sandbox.confinement());
        assert!(made >= 70, "only {made} attempts");
    }

    /// Makes one attempt; returns what went wrong.
    async fn run(&self, index: usize, attempt: &Attempt) -> Option<String> {
        // They count as processes until the machine's init has reaped them, which may do so once in a while.
        eventually("what earlier attempts left is reaped", || zombies() < 20).await;
        let digits = format!("{:03}{index:03}", std::process::id() % 1000);
        let token = format!("orkestra-escape-{digits}");
        let abstract_name = SocketAddr::from_abstract_name(token.as_bytes()).expect("short");
        let _abstract_socket = UnixListener::bind_addr(&abstract_name).expect("bound");
        let outside = self.outside().display().to_string();
        let host = std::process::id().to_string();
        let line = match attempt.action {
            Action::Probe(name) => format!("python3 probe.py {name} {token} {host} '{outside}'"),
            Action::Shell(line) => line
                .replace("{out}", &outside)
                .replace("{host}", &host)
                .replace("{digits}", &digits)
                .replace("{token}", &token),
        };
        let command = Command::new(line).with_timeout(Duration::from_secs(15));
        let begun = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        let said = self.sandbox.execute(command, &Unobserved).await;
        let took = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").saturating_sub(begun);
        if took > Duration::from_secs(1) {
            println!("{}: {} ms", attempt.name, took.as_millis());
        }
        let output = match said {
            Ok(result) => result.output,
            // A container in which everything was killed.
            Err(SandboxError::Lost(_)) => "held".to_owned(),
            Err(error) => return Some(error.to_string()),
        };
        let escaped = output.contains("ESCAPED") || output.contains("all-started");
        let is_told =
            attempt.gap().is_some_and(|words| self.sandbox.confinement().gaps.iter().any(|gap| gap.contains(words)));
        if escaped && !is_told {
            return Some(output);
        }
        let must_say = matches!(attempt.action, Action::Probe(_))
            || matches!(attempt.action, Action::Shell(line) if line.contains("echo held"));
        if must_say && !escaped && !output.contains("held") {
            return Some(format!("the attempt itself failed: {output}"));
        }
        let left = self.left(&token, &digits, is_told).await;
        left.or_else(|| self.changed())
    }

    /// What is left of an attempt.
    async fn left(&self, token: &str, digits: &str, is_told: bool) -> Option<String> {
        let sleeper = format!("600.{digits}");
        let running =
            || command_lines_of_threads().into_iter().find(|line| line.contains(token) || line.contains(&sleeper));
        if let Some(line) = running() {
            return Some(format!("a process is left: {line}"));
        }
        let key = 0x4F00_0000 + digits.parse::<u64>().expect("digits");
        for table in ["shm", "sem", "msg"] {
            let listed = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
            if listed.lines().any(|line| line.split_whitespace().next() == Some(&key.to_string())) {
                return Some(format!("System V {table} is left"));
            }
        }
        if Path::new("/dev/shm").join(token).exists() {
            return Some("POSIX shared memory is left".to_owned());
        }
        if std::fs::read_to_string("/proc/keys").unwrap_or_default().contains(token) {
            return Some("a key is left".to_owned());
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
        if mounts.contains(&self.workspace().display().to_string()) {
            return Some("a mount is left".to_owned());
        }
        let owner = std::fs::metadata(self.workspace()).expect("there").uid();
        let mut set_uid = None;
        for entry in std::fs::read_dir(self.workspace()).expect("listed").flatten() {
            let metadata = std::fs::symlink_metadata(entry.path()).expect("there");
            let is_set_uid = metadata.is_file() && metadata.permissions().mode() & 0o6000 != 0;
            if is_set_uid {
                std::fs::remove_file(entry.path()).expect("removed");
                let mode = metadata.permissions().mode();
                set_uid = Some(format!("{} is left with mode {mode:o}", entry.path().display()));
            }
            if metadata.uid() != owner && entry.file_name() != "port" {
                return Some(format!("{} belongs to {}", entry.path().display(), metadata.uid()));
            }
        }
        set_uid.filter(|_| !is_told)
    }

    /// What was changed outside.
    fn changed(&self) -> Option<String> {
        let secret = std::fs::read_to_string(self.outside().join("secret")).unwrap_or_default();
        let names = std::fs::read_dir(self.outside()).expect("listed").count();
        (secret != "secret-of-the-host\n" || names != 3)
            .then(|| format!("the host was changed: {names} files, {secret}"))
    }
}

async fn local_scene(mut options: LocalOptions) -> Scene {
    let root = Scene::directory(None);
    options.memory_bytes = 256 * 1024 * 1024;
    options.processes_max = PROCESSES_MAX;
    let sandbox = LocalSandbox::start(options, &root.path().join("workspace")).await.expect("started");
    Scene::new(root, Arc::new(sandbox))
}

async fn docker_scene(run: &str, owner: Option<u32>, mut options: DockerOptions) -> Scene {
    options.memory_bytes = 256 * 1024 * 1024;
    options.processes_max = PROCESSES_MAX;
    let root = Scene::directory(owner);
    let sandbox = docker(options, &run_id(run), &root.path().join("workspace")).await;
    Scene::new(root, sandbox)
}

/// The command lines of all threads: that of a process is empty when its first thread has ended.
fn command_lines_of_threads() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let threads =
        processes.filter_map(|process| std::fs::read_dir(process.path().join("task")).ok()).flatten().flatten();
    let lines = threads.filter_map(|thread| std::fs::read(thread.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// The number of processes that have ended and were not waited for.
fn zombies() -> usize {
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(')').next().is_some_and(|fields| fields.starts_with(" Z"))).count()
}

/// Whether this test binary can become another user.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_escapes_from_the_local_sandbox() {
    let scene = local_scene(LocalOptions::default()).await;
    scene.run_all().await;
    host::attempts(&scene).await;
    scene.sandbox.close().await.expect("closed");
}

/// The same as an ordinary user, in a process of its own, when the tests run as root.
#[test]
fn nothing_escapes_from_the_local_sandbox_of_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let place = TempDir::new().expect("a temporary directory");
    let binary = place.path().join("it-of-an-ordinary-user");
    std::fs::copy(std::env::current_exe().expect("a path"), &binary).expect("copied");
    for (path, mode) in [(place.path(), 0o755), (&binary, 0o755)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }
    let temporary = place.path().join("tmp");
    std::fs::create_dir(&temporary).expect("created");
    std::os::unix::fs::chown(&temporary, Some(ORDINARY), Some(ORDINARY)).expect("root can");
    let user = ORDINARY.to_string();
    let mut suite = Program::new("setpriv");
    suite.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(&binary);
    suite.args(["--exact", "--nocapture", "--test-threads=1", "escape::nothing_escapes_from_the_local_sandbox"]);
    suite.arg("escape::disk::the_disk_is_not_filled_through_the_local_sandbox");
    suite.env("TMPDIR", &temporary).env("HOME", &temporary).current_dir(&temporary);
    let done = suite.output().expect("setpriv of util-linux");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("as user 65534"), "{said}");
    println!("{said}");
    let foreign = std::fs::read_dir("/proc").expect("listed").flatten().any(|entry| {
        let metadata = entry.metadata();
        let is_process = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        is_process
            && metadata.is_ok_and(|metadata| metadata.uid() == ORDINARY)
            && std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(place.path()))
    });
    assert!(!foreign, "a process of the suite is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_escapes_from_docker() {
    // As root in the container, without capabilities, when the tests run as root.
    let Some(options) = docker_options().await else { return };
    let scene = docker_scene("escape", None, options).await;
    scene.run_all().await;
    host::attempts(&scene).await;
    scene.sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_escapes_from_docker_of_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let Some(options) = docker_options().await else { return };
    let scene = docker_scene("escape-ordinary", Some(ORDINARY), options).await;
    scene.run_all().await;
    scene.sandbox.close().await.expect("closed");
}

/// A probe that cannot escape from anything proves nothing.
#[tokio::test]
async fn without_a_sandbox_the_probes_escape() {
    let root = Scene::directory(None);
    let mut names = vec![
        "prlimit_of_host",
        "affinity_of_host",
        "scheduler_of_host",
        "priority_of_host",
        "priority_of_user",
        "io_priority_of_host",
        "signal_to_host",
        "oom_score_of_host",
        "set_uid_modes",
        "mode_outside",
        "attributes",
        "personality",
    ];
    if is_root() {
        names.extend(["other_namespaces", "mounting", "raw_socket", "change_root", "owner_of_files", "clock"]);
    }
    for name in names {
        let mut probe = Program::new("python3");
        probe.args(["probe.py", name, "orkestra-escape-000000", &std::process::id().to_string()]);
        probe.arg(root.path().join("outside")).current_dir(root.path().join("workspace"));
        // In a mount namespace of its own, should it have one to spare: what it mounts is gone with it.
        let said = probe.output().expect("python3 is installed");
        let _ = Program::new("umount").arg(root.path().join("workspace/mountpoint")).output();
        let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.starts_with("ESCAPED"), "{name}: {said}");
    }
    eventually("nothing of the probes runs", || {
        !command_lines().iter().any(|line| line.contains("orkestra-escape-000000"))
    })
    .await;
}
