//! Shared by the tests: a sink that records, sandboxes of both kinds, and the rule for skipping.

use std::path::Path;
use std::sync::{Arc, Mutex};

use orkestra_tools::{DockerOptions, DockerSandbox, Happening, LocalOptions, LocalSandbox, Observer, Sandbox};

/// A run id that no other test uses, in this process or another.
pub(crate) fn run_id(name: &str) -> String {
    format!("test-{name}-{}", std::process::id())
}

/// Records happenings in order.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    happenings: Mutex<Vec<Happening>>,
}

impl Recorder {
    pub(crate) fn lines(&self) -> Vec<(String, bool)> {
        let line = |happening| match happening {
            Happening::CommandOutput { line, stderr } => Some((line, stderr)),
            _ => None,
        };
        self.happenings().into_iter().filter_map(line).collect()
    }

    pub(crate) fn happenings(&self) -> Vec<Happening> {
        self.happenings.lock().expect("no test panics inside").clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, happening: Happening) {
        self.happenings.lock().expect("no test panics inside").push(happening);
    }
}

/// Options with an available image, of the daemon that `DOCKER_HOST` names and the runtime that `ORKESTRA_TEST_RUNTIME` names.
/// Without a daemon or image, prints that the test is skipped and returns `None`; panics if CI=true.
pub(crate) async fn docker_options() -> Option<DockerOptions> {
    let named = std::env::var("ORKESTRA_TEST_IMAGE").ok();
    let images = match &named {
        Some(image) => vec![image.as_str()],
        None => vec!["orkestra-sandbox:latest", "orkestra-busybox:test"],
    };
    let mut why = String::new();
    for image in images {
        let mut options = DockerOptions::default().with_image(image);
        options.runtime = std::env::var("ORKESTRA_TEST_RUNTIME").ok();
        match DockerSandbox::available_with(&options).await {
            Ok(_) => return Some(options),
            Err(error) => why = error.to_string(),
        }
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Docker: {why}");
    eprintln!("\n==== SKIPPED, no Docker sandbox: {why} ====\n");
    None
}

pub(crate) async fn local(workspace: &Path) -> Arc<dyn Sandbox> {
    let sandbox = LocalSandbox::start(LocalOptions::default(), workspace).await;
    Arc::new(sandbox.expect("the local sandbox starts"))
}

pub(crate) async fn docker(options: DockerOptions, run: &str, workspace: &Path) -> Arc<dyn Sandbox> {
    let sandbox = DockerSandbox::start(options, run, workspace).await;
    Arc::new(sandbox.expect("the Docker sandbox starts"))
}

/// Polls until `is_so` is true; panics after twenty seconds. For external processes, which cannot be awaited.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(std::time::Duration::from_secs(20), look).await;
    assert!(seen.is_ok(), "never happened: {what}");
}

/// The command lines of all processes on this machine, including those in containers.
pub(crate) fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let read = |path: std::path::PathBuf| std::fs::read(path).ok();
    let lines = processes.filter_map(|entry| read(entry.path().join("cmdline")));
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Whether a process has this word in its command line.
pub(crate) fn is_running(word: &str) -> bool {
    command_lines().iter().any(|line| line.contains(word))
}
