//! Checks a container that was just started: that it works, how it is confined, and whether the host sees its processes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use bollard::query_parameters::InspectContainerOptions;

use super::super::SandboxError;
use super::Shared;
use super::daemon::within;
use super::exec::internal_command;
use super::look::Look;
use super::scripts::{PROBE, PROBE_PROXY};

/// What a command finds in the container.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// System calls are filtered.
    pub(super) filtered: bool,
    /// Files can be made set-user-id.
    pub(super) set_id: bool,
}

/// Checks once after the start that the container works, and how it is confined.
pub(super) async fn probe(shared: &Arc<Shared>) -> Result<Seen, SandboxError> {
    let name = format!(".orkestra-write-probe-{}", std::process::id());
    shared.workspace.write(&name, b"")?;
    let proxy = if shared.egress.is_some() { PROBE_PROXY } else { "" };
    let answer = probe_inside(shared, &name, proxy).await;
    shared.workspace.remove(&name);
    let (said, code) = answer?;
    let has = |word: &str| said.lines().any(|line| line == word);
    let what =
        match code {
            0 => return Ok(Seen { filtered: has("filtered"), set_id: !has("no-set-id") }),
            11 => "the sandbox image lacks a working setsid, grep, tr or sleep; build it with docker/sandbox/build"
                .to_owned(),
            12 => format!(
                "the daemon does not see {}; use a daemon that runs on this machine and shares its file system",
                shared.workspace.path().display()
            ),
            13 => "the container's user cannot write in the workspace; give the workspace's owner write permission"
                .to_owned(),
            14 => "the container's scratch directories are not writable; build the image with docker/sandbox/build"
                .to_owned(),
            15 => "the forwarder of the network `registries` does not start in the container; build the image with docker/sandbox/build"
                .to_owned(),
            16 => "the container cannot use the socket of the egress proxy; with gVisor, add the flag `--host-uds=open` in the daemon's \
                   configuration of the runtime"
                .to_owned(),
            code => format!("the sandbox image cannot run `sh` (exit {code}); build it with docker/sandbox/build"),
        };
    Err(SandboxError::Unavailable(what))
}

/// Runs the probe, and looks for it from the host before it goes on.
async fn probe_inside(shared: &Arc<Shared>, name: &str, proxy: &str) -> Result<(String, i32), SandboxError> {
    let word = format!("orkestra-look-{:016x}", RandomState::new().build_hasher().finish());
    let inspected = shared.docker.inspect_container(&shared.container, None::<InspectContainerOptions>);
    let state = within("inspect container", inspected).await?.state;
    let first = state.and_then(|state| state.pid).and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let meanwhile = || {
        if let Some(look) = Look::find(first, &shared.container, &word) {
            let _ = shared.look.set(look);
        }
    };
    internal_command(shared, &["sh", "-c", PROBE, "sh", name, proxy, &word], Some(&meanwhile)).await
}
