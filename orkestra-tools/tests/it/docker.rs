//! What only the Docker sandbox guarantees. The tests check the container from inside and with the `docker` program, not with
//! our own code.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use orkestra_tools::{
    Command, CommandResult, DockerOptions, DockerSandbox, Network, Sandbox as _, SandboxError, Unobserved, limits,
};
use tempfile::TempDir;

use crate::support::{docker_options, eventually, is_running, run_id};

async fn run(sandbox: &DockerSandbox, line: &str, seconds: u64) -> CommandResult {
    let command = Command::new(line).with_timeout(Duration::from_secs(seconds));
    sandbox.execute(command, &Unobserved).await.unwrap_or_else(|error| panic!("{line}: {error}"))
}

async fn start(options: &DockerOptions, run_id: &str, root: &Path) -> DockerSandbox {
    DockerSandbox::start(options.clone(), run_id, &root.join("workspace")).await.expect("started")
}

/// The ids of the run's containers, running or not.
fn containers(run_id: &str) -> Vec<String> {
    let filter = format!("label=orkestra.run={run_id}");
    let listed = Program::new("docker").args(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).output();
    let listed = listed.expect("the docker program runs");
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

fn inspect(container: &str, format: &str) -> String {
    let said = Program::new("docker").args(["inspect", "--format", format, container]).output().expect("docker runs");
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_is_locked_down() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("locked");
    let sandbox = start(&options, &run_id, root.path()).await;
    let [container] = containers(&run_id).try_into().expect("one container");
    for (format, expected) in [
        ("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}} {{.HostConfig.NetworkMode}}", "true false none"),
        ("{{.HostConfig.CapAdd}}", "[]"),
        ("{{len .HostConfig.SecurityOpt}} {{index .HostConfig.SecurityOpt 0}}", "2 no-new-privileges:true"),
        ("{{len .Mounts}} {{(index .Mounts 0).Destination}}", "1 /workspace"),
        ("{{.HostConfig.Init}} {{.HostConfig.PidMode}}{{.HostConfig.UTSMode}}{{len .HostConfig.Devices}}", "true 0"),
    ] {
        assert_eq!(inspect(&container, format), expected, "{format}");
    }
    // Podman lists them one by one.
    let dropped = inspect(&container, "{{.HostConfig.CapDrop}}");
    assert!(dropped == "[ALL]" || dropped.contains("SETUID SYS_CHROOT]"), "{dropped}");
    let profile = inspect(&container, "{{index .HostConfig.SecurityOpt 1}}");
    assert!(profile.starts_with("seccomp={") && profile.contains("SCMP_ACT_ERRNO"), "{profile}");
    let status = run(&sandbox, "grep Seccomp: /proc/self/status; touch f; chmod u+s f; ls -l f", 20).await.output;
    let is_filtered = status.contains("Seccomp:\t2") && status.contains("-rw-r");
    let is_told = sandbox.confinement().gaps.iter().any(|gap| gap.contains("system calls are not filtered"));
    assert!(is_filtered != is_told, "{status}");
    let network = run(&sandbox, "ls /sys/class/net; cat /proc/net/route", 20).await.output;
    assert!(!network.contains("eth"), "{network}");
    let missing = run(&sandbox, "ls /var/run/docker.sock /run/docker.sock", 20).await;
    assert_ne!(missing.exit_code, 0, "{}", missing.output);
    let mounts = run(&sandbox, "touch /x /etc/x /bin/x; mount", 20).await.output;
    // gVisor looks at permissions first.
    let refused = ["Read-only file system", "Permission denied"].map(|text| mounts.matches(text).count());
    assert!(refused[0] + refused[1] >= 3, "{mounts}");
    println!("{:#?}", sandbox.confinement());
    sandbox.close().await.expect("closed");
    assert_eq!(containers(&run_id), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_as_the_owner_of_the_workspace() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    std::fs::create_dir(&workspace).expect("created");
    // Only root can change the owner; for other users the directory keeps its owner, which tests the same.
    let _ = std::os::unix::fs::chown(&workspace, Some(4321), Some(4322));
    let metadata = std::fs::metadata(&workspace).expect("there");
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let sandbox = start(&options, &run_id("owner"), root.path()).await;
    let said =
        run(&sandbox, "id -u; id -g; echo x > made && echo y > $HOME/made && echo z > /tmp/made && echo ok", 20).await;
    // Root in the container of a rootless daemon is the user that runs it.
    let is_rootless = DockerSandbox::available_with(&options).await.expect("a daemon").rootless;
    let (inside, group) = if is_rootless { (0, 0) } else { (uid, gid) };
    assert_eq!(said.output, format!("{inside}\n{group}\nok\n"));
    let made = std::fs::metadata(workspace.join("made")).expect("made");
    assert_eq!((made.uid(), made.gid()), (uid, gid));
    let says_root = sandbox.confinement().gaps.iter().any(|gap| gap.contains("run as root in the container"));
    assert_eq!(says_root, inside == 0);
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workspace_of_root_is_given_to_an_ordinary_user() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let workspace = root.path().join("workspace");
    std::fs::create_dir_all(workspace.join("old")).expect("made");
    std::fs::write(workspace.join("old/file"), "x").expect("written");
    if std::fs::metadata(&workspace).expect("there").uid() != 0 {
        eprintln!("\n==== SKIPPED, only root has a workspace of root's ====\n");
        return;
    }
    let sandbox = start(&options, &run_id("root"), root.path()).await;
    let user = limits::SANDBOX_USER;
    let said = run(&sandbox, "id -u; id -g; echo y > old/file && echo z > old/new && echo ok", 20).await;
    assert_eq!(said.output, format!("{user}\n{user}\nok\n"));
    // What this process writes later is the user's too, new directories included.
    sandbox.workspace().write("src/deep/made.txt", b"1").expect("written");
    let said = run(&sandbox, "echo 2 > src/deep/made.txt && mkdir src/deep/x && rm -r src && echo ok", 20).await;
    assert_eq!(said.output, "ok\n");
    let root_owned = Program::new("find").arg(&workspace).args(["-uid", "0"]).output().expect("find runs");
    assert_eq!(String::from_utf8_lossy(&root_owned.stdout), "");
    assert!(sandbox.confinement().enforced.iter().any(|text| text.contains("seccomp")));
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_processes_are_bounded_and_the_sandbox_survives() {
    let Some(mut options) = docker_options().await else { return };
    let unsupported = DockerSandbox::available_with(&options).await.expect("a daemon").unsupported;
    println!("the daemon cannot limit: {unsupported:?}");
    options.processes_max = 64;
    options.memory_bytes = 96 * 1024 * 1024;
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("bounded");
    let sandbox = start(&options, &run_id, root.path()).await;
    if !unsupported.contains(&"processes".to_owned()) {
        for bomb in ["f() { f | f & }; f; sleep 600", "while :; do setsid sleep 600 & done"] {
            run(&sandbox, bomb, 4).await;
            let [container] = containers(&run_id).try_into().expect("one container");
            let top = Program::new("docker").args(["top", &container]).output().expect("docker runs");
            let processes = String::from_utf8_lossy(&top.stdout).lines().count().saturating_sub(1);
            assert!(processes <= 8, "{processes} processes are left after {bomb}");
            assert_eq!(run(&sandbox, "echo alive", 20).await.output, "alive\n", "{bomb}");
        }
    }
    if !unsupported.contains(&"processes".to_owned()) {
        // Count processes: that a fork bomb was killed says nothing about how large it grew.
        let many = "n=0; while [ $n -lt 200 ]; do sleep 600 & n=$((n + 1)); done; echo all";
        let said = run(&sandbox, many, 20).await;
        assert!(!said.output.contains("all"), "200 processes fit under a limit of 64: {}", said.output);
    }
    if !unsupported.contains(&"memory".to_owned()) {
        let eaten = run(&sandbox, "head -c 400000000 /dev/zero | tail -c 300000000 | wc -c", 60).await;
        assert_ne!(eaten.output.trim(), "300000000", "the memory limit does not hold");
        assert_eq!(run(&sandbox, "echo alive", 20).await.output, "alive\n");
    }
    sandbox.close().await.expect("closed");
}

/// Seconds of processor time in a line of the shell's `times`, such as `0m1.02s 0m0.01s`.
fn processor_seconds(line: &str) -> f64 {
    let seconds = |time: &str| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').expect("minutes and seconds");
        minutes.parse::<f64>().expect("a number") * 60.0 + seconds.parse::<f64>().expect("a number")
    };
    line.split_whitespace().map(seconds).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_bounded_or_told_as_a_gap() {
    let Some(mut options) = docker_options().await else { return };
    options.cpu_millis = 250;
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = start(&options, &run_id("processor"), root.path()).await;
    let has_limit = sandbox.confinement().enforced.iter().any(|text| text.starts_with("CPU 250"));
    let line = "cut -d ' ' -f 1 /proc/uptime; for n in 1 2 3 4; do (while :; do :; done) & all=\"$all $!\"; done; sleep 3; kill $all; \
                wait; cut -d ' ' -f 1 /proc/uptime; times";
    let said = run(&sandbox, line, 60).await;
    // `times` tells of the shell and then of its children; in a pipe it would tell of the pipe's.
    let [from, to, _, times] = said.output.lines().collect::<Vec<_>>().try_into().expect("four lines");
    let wall = to.parse::<f64>().expect("a number") - from.parse::<f64>().expect("a number");
    let ratio = processor_seconds(times) / wall;
    println!("4 busy loops used {ratio:.2} of a processor, of at most 0.25");
    assert!(ratio > 0.0, "{}", said.output);
    if has_limit {
        // Above any error of measurement, and below what one loop would take.
        assert!(ratio < 0.5, "{}", said.output);
    } else {
        assert!(sandbox.confinement().gaps.iter().any(|gap| gap.contains("cannot limit cpu")));
    }
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn scratch_space_is_bounded() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = start(&options, &run_id("scratch"), root.path()).await;
    let most = limits::SANDBOX_SCRATCH_BYTES / 1024 / 1024;
    for place in ["/tmp", "$HOME", "/dev/shm"] {
        let line = format!(
            "dd if=/dev/zero of={place}/fill bs=1M count={}; stat -c %s {place}/fill; rm -f {place}/fill",
            most + 50
        );
        let said = run(&sandbox, &line, 60).await.output;
        let size: u64 = said.lines().last().and_then(|line| line.parse().ok()).expect("a size");
        assert!(size <= limits::SANDBOX_SCRATCH_BYTES && said.contains("No space left"), "{place}: {said}");
    }
    let most = limits::SANDBOX_SCRATCH_FILES_MAX;
    let files = format!(
        "cd /tmp; n=0; while [ $n -lt {} ]; do true >$n || break; n=$((n + 1)); done; ls -1 | wc -l",
        most + 1000
    );
    let said = run(&sandbox, &files, 120).await.output;
    let made: u64 = said.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number");
    let is_told = sandbox.confinement().gaps.iter().any(|gap| gap.contains("number of files in scratch space"));
    assert!((1000..=most).contains(&made) || is_told, "{said}");
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_kills_all_it_can_does_not_end_the_sandbox() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("killer");
    let sandbox = start(&options, &run_id, root.path()).await;
    let killer = sandbox.execute(Command::new("kill -KILL -1"), &Unobserved).await;
    match killer {
        Ok(result) => assert_ne!(result.exit_code, 0),
        Err(error) => assert!(matches!(error, SandboxError::Lost(_)), "{error}"),
    }
    assert_eq!(run(&sandbox, "echo alive", 20).await.output, "alive\n");
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_timeout_does_not_restart_the_container() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("restart");
    let sandbox = start(&options, &run_id, root.path()).await;
    let [container] = containers(&run_id).try_into().expect("one container");
    let started = inspect(&container, "{{.State.StartedAt}}");
    for line in ["yes", "sleep 600", "setsid yes & yes"] {
        let result = run(&sandbox, line, 1).await;
        assert_eq!((result.exit_code, result.timed_out), (124, true), "{line}");
        assert_eq!(inspect(&container, "{{.State.StartedAt}}"), started, "{line}");
    }
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_replaces_the_container_and_what_ran_in_it() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("again");
    let first = start(&options, &run_id, root.path()).await;
    let [before] = containers(&run_id).try_into().expect("one container");
    // As after a crash: the first sandbox is not closed, and a process is left in its container.
    let left = Program::new("docker").args(["exec", "--detach", &before, "sleep", "600"]).status();
    assert!(left.expect("docker runs").success());
    std::mem::forget(first);
    let second = start(&options, &run_id, root.path()).await;
    let [after] = containers(&run_id).try_into().expect("one container");
    assert_ne!(before, after);
    assert_eq!(run(&second, "echo fresh", 20).await.output, "fresh\n");
    // The same run id with another workspace is another run in another store.
    let elsewhere = TempDir::new().expect("a temporary directory");
    let other = start(&options, &run_id, elsewhere.path()).await;
    assert_eq!(containers(&run_id).len(), 2);
    other.close().await.expect("closed");
    second.close().await.expect("closed");
}

/// The child side of the next test: runs a command in a container until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_a_crash() {
    let Ok(root) = std::env::var("ORKESTRA_TEST_DOCKER_VICTIM") else { return };
    let run_id = std::env::var("ORKESTRA_TEST_DOCKER_VICTIM_RUN").expect("set with the other");
    let seconds = std::env::var("ORKESTRA_TEST_DOCKER_VICTIM_SECONDS").expect("set with the other");
    let options = docker_options().await.expect("the parent has found it");
    let sandbox = start(&options, &run_id, root.as_ref()).await;
    let _ = sandbox.execute(Command::new(format!("sleep 3{seconds} & sleep 4{seconds}")), &Unobserved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_this_process_ends_the_command_and_the_next_start_replaces_the_container() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("crash");
    let seconds = format!("{:06}", std::process::id() % 1_000_000);
    let (background, command) = (format!("sleep 3{seconds}"), format!("sleep 4{seconds}"));
    let mut host = Program::new(std::env::current_exe().expect("a path"));
    host.args(["--exact", "docker::victim_of_a_crash"]).stdout(std::process::Stdio::null());
    host.env("ORKESTRA_TEST_DOCKER_VICTIM", root.path()).env("ORKESTRA_TEST_DOCKER_VICTIM_RUN", &run_id);
    let mut host = host.env("ORKESTRA_TEST_DOCKER_VICTIM_SECONDS", &seconds).spawn().expect("spawned");
    eventually("the victim runs its command", || is_running(&background) && is_running(&command)).await;
    host.kill().expect("killed");
    host.wait().expect("reaped");
    eventually("the watchdog ends it", || !is_running(&background) && !is_running(&command)).await;
    let [before] = containers(&run_id).try_into().expect("the container itself stays");
    let next = start(&options, &run_id, root.path()).await;
    let [after] = containers(&run_id).try_into().expect("one container");
    assert_ne!(before, after);
    next.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn reap_removes_unwanted_containers_and_keeps_those_of_other_processes() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let (dead, wanted, stranger) = (run_id("dead"), run_id("wanted"), run_id("stranger"));
    std::mem::forget(start(&options, &dead, &root.path().join("dead")).await);
    let kept = start(&options, &wanted, &root.path().join("wanted")).await;
    // A container that belongs to a living process (pid 1) must not be removed.
    let label = format!("orkestra.run={stranger}");
    let start_of_init = std::fs::read_to_string("/proc/1/stat").expect("readable");
    let start_of_init =
        start_of_init.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)).expect("field 22");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("readable");
    let owner = format!("orkestra.owner={}|1|{start_of_init}", host.trim());
    let made = Program::new("docker")
        .args(["create", "--label", &label, "--label", &owner, &options.image, "sleep", "1"])
        .output();
    assert!(made.expect("docker runs").status.success());

    let mine = format!("-{}", std::process::id());
    let keep = |run: &str| run == wanted || !run.ends_with(&mine);
    let reaped = DockerSandbox::reap(keep).await.expect("reaped");
    assert!(reaped.contains(&dead) && !reaped.contains(&stranger), "{reaped:?}");
    assert_eq!((containers(&dead).len(), containers(&wanted).len(), containers(&stranger).len()), (0, 1, 1));
    kept.close().await.expect("closed");
    let removed = Program::new("docker").args(["rm", "--force"]).args(containers(&stranger)).output();
    assert!(removed.expect("docker runs").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_open_only_when_it_is_asked_for() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let options = options.with_network(Network::Open);
    let sandbox = match DockerSandbox::start(options, &run_id("egress"), &root.path().join("workspace")).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a bridge network: {error}");
            eprintln!("\n==== SKIPPED, this daemon has no bridge network: {error} ====\n");
            return;
        }
    };
    assert!(run(&sandbox, "ls /sys/class/net", 20).await.output.contains("eth0"));
    assert!(sandbox.confinement().gaps.iter().any(|gap| gap.contains("network is open")));
    sandbox.close().await.expect("closed");
}

#[tokio::test]
async fn a_missing_daemon_or_image_says_what_to_do() {
    let root = TempDir::new().expect("a temporary directory");
    let mut options = DockerOptions::default();
    options.host = Some("unix:///nonexistent/docker.sock".to_owned());
    let error = DockerSandbox::start(options, "r", root.path()).await.expect_err("no daemon");
    assert!(error.to_string().contains("start it"), "{error}");
    if docker_options().await.is_some() {
        let options = DockerOptions::default().with_image("orkestra-no-such-image:test");
        let error = DockerSandbox::start(options, "r", root.path()).await.expect_err("no image");
        assert!(error.to_string().contains("docker/sandbox/build"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_removed_from_outside_is_an_error() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let run_id = run_id("removed");
    let sandbox = start(&options, &run_id, root.path()).await;
    let marker = root.path().join("workspace/begun");
    let command = sandbox.execute(Command::new("touch begun; sleep 600"), &Unobserved);
    let remove = async {
        eventually("the command has begun", || marker.exists()).await;
        let removed = Program::new("docker").args(["rm", "--force"]).args(containers(&run_id)).output();
        assert!(removed.expect("docker runs").status.success());
    };
    let (result, ()) = tokio::join!(command, remove);
    let error = result.expect_err("its outcome is unknown");
    assert!(matches!(error, SandboxError::Lost(_)), "{error}");
    let next = sandbox.execute(Command::new("true"), &Unobserved).await.expect_err("it is gone");
    assert!(next.to_string().contains("start the sandbox again"), "{next}");
}
