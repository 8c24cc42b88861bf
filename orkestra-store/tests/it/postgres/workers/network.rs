//! Network namespaces: one for the server, one per worker, and a virtual cable from the server to each, which can be
//! cut.
//!
//! The addresses exist only in these namespaces. The machine's own network is not touched.

use std::path::Path;
use std::process::Command;

use crate::support::child::have;

/// The names of all namespaces of these tests begin with this, followed by the id of the process that created them.
const PREFIX: &str = "orkestra-";

/// The namespaces. They are removed on drop.
#[derive(Debug)]
pub(crate) struct Network {
    /// The namespace of the server.
    pub(crate) hub: String,
    workers: Vec<String>,
}

impl Network {
    /// `None` when namespaces cannot be created: the test is skipped with a note, and fails in CI.
    pub(crate) fn create(name: &str, workers: usize) -> Option<Self> {
        if !have("ip") || !have("setpriv") {
            return None;
        }
        remove_leftovers();
        let of = |what: &str| format!("{PREFIX}{}-{name}-{what}", std::process::id());
        let workers = (1..=workers).map(|worker| of(&worker.to_string())).collect();
        let network = Self { hub: of("hub"), workers };
        if let Err(why) = network.build() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "network namespaces are required in CI: {why}");
            eprintln!("\n=== SKIPPED: network namespaces need root: {why}; this test shows nothing ===\n");
            return None;
        }
        Some(network)
    }

    fn build(&self) -> Result<(), String> {
        ip(&["netns", "add", &self.hub])?;
        ip(&["-n", &self.hub, "link", "set", "lo", "up"])?;
        for (worker, name) in (1..).zip(&self.workers) {
            ip(&["netns", "add", name])?;
            let cable = cable(worker);
            ip(&["-n", &self.hub, "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", name])?;
            ip(&["-n", &self.hub, "address", "add", &format!("{}/30", server_for(worker)), "dev", &cable])?;
            ip(&["-n", name, "address", "add", &format!("{}/30", address(worker)), "dev", "eth0"])?;
            ip(&["-n", &self.hub, "link", "set", &cable, "up"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    /// The prefix of a command that runs in this worker's namespace.
    pub(crate) fn inside(&self, worker: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.workers[worker - 1]]
    }

    /// Cuts a worker's cable at the server's end: packets are lost silently, as behind a broken switch.
    pub(crate) fn cut(&self, worker: usize) {
        ip(&["-n", &self.hub, "link", "set", &cable(worker), "down"]).expect("a cable can be cut");
    }

    /// Reconnects the cable.
    pub(crate) fn reconnect(&self, worker: usize) {
        ip(&["-n", &self.hub, "link", "set", &cable(worker), "up"]).expect("a cable can be mended");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.workers.iter().chain([&self.hub]) {
            // It may not have been created.
            drop(ip(&["netns", "delete", name]));
        }
    }
}

/// The address of a worker.
pub(crate) fn address(worker: usize) -> String {
    format!("10.77.{worker}.2")
}

/// The address of the server for this worker.
pub(crate) fn server_for(worker: usize) -> String {
    format!("10.77.{worker}.1")
}

fn cable(worker: usize) -> String {
    format!("worker{worker}")
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Removes the namespaces of killed tests.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(ip(&["netns", "delete", &name]));
        }
    }
}
