//! Checks, before a run is created, that this machine has what the run needs.

use std::os::unix::fs::PermissionsExt;

use orkestra_agents::{SandboxChoice, SandboxKind, SandboxSpec};
use orkestra_tools::{DockerSandbox, Network};

use crate::exit::Failure;

/// The choice of sandbox and the reason for it, which the banner shows. Determined before the run is created.
pub(crate) struct Ground {
    choice: SandboxChoice,
    /// Why Docker cannot be used; `None` when it can or when it was not asked for.
    no_docker: Option<String>,
}

impl Ground {
    /// Checks what `choice` means on this machine.
    ///
    /// # Errors
    /// When commands would run in the local sandbox and `python3` is not on `PATH`.
    pub(crate) async fn look(choice: SandboxChoice) -> Result<Self, Failure> {
        let no_docker = match choice {
            SandboxChoice::Automatic => DockerSandbox::available().await.err().map(|error| error.to_string()),
            _ => None,
        };
        match &no_docker {
            Some(why) => need_python(&format!(", or use Docker: {why}"))?,
            None if choice == SandboxChoice::Local => need_python(" or use --sandbox docker")?,
            None => {}
        }
        Ok(Self { choice, no_docker })
    }

    /// One line that says where commands run and why.
    pub(crate) fn banner(&self, spec: &SandboxSpec) -> String {
        let place = match (spec.kind, self.choice, &self.no_docker) {
            (SandboxKind::Docker, _, _) => {
                let runtime = spec.runtime.as_ref().map(|name| format!(" with the runtime {name}")).unwrap_or_default();
                format!("sandbox: docker: commands run in a container{runtime}")
            }
            (SandboxKind::Local, SandboxChoice::Local, _) => {
                "sandbox: local, as given by --sandbox: commands run as confined processes on this machine".into()
            }
            (SandboxKind::Local, _, Some(why)) => format!(
                "sandbox: local: the demo model's commands run as confined processes on this machine, because Docker cannot \
                 be used: {why}"
            ),
            _ => format!("sandbox: {}", spec.kind.as_str()),
        };
        format!("{place}; {}", network(spec))
    }
}

/// What commands reach, in words.
fn network(spec: &SandboxSpec) -> String {
    match spec.network_used() {
        Network::None => "network: none".to_owned(),
        Network::Registries if spec.allowed_hosts.is_empty() => "network: package registries alone".to_owned(),
        Network::Registries => format!("network: package registries and {}", spec.allowed_hosts.join(", ")),
        _ => "network: open".to_owned(),
    }
}

/// Checks that `python3` is on `PATH`: the local sandbox runs the agents' tests with it. `otherwise` is what a user who does
/// not install it can do.
pub(crate) fn need_python(otherwise: &str) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |file: std::path::PathBuf| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if std::env::split_paths(&path).any(|directory| is_program(directory.join("python3"))) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "cannot run commands in the local sandbox: it needs python3, which is not on PATH; install it{otherwise}"
    )))
}
