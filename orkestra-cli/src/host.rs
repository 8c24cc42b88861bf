//! What this machine has that a run needs, looked at before the run exists.

use std::os::unix::fs::PermissionsExt;

use orkestra_agents::{SandboxChoice, SandboxKind};
use orkestra_tools::DockerSandbox;

use crate::exit::Failure;

/// Why a run's commands run where they do, for the banner. Found before the run is created.
pub(crate) struct Ground {
    choice: SandboxChoice,
    /// Why no Docker can be used; nothing when one answers or nobody asked.
    no_docker: Option<String>,
}

impl Ground {
    /// Looks at what `choice` means here.
    ///
    /// # Errors
    /// When commands would run on this machine and it has no Python.
    pub(crate) async fn look(choice: SandboxChoice) -> Result<Self, Failure> {
        let no_docker = match choice {
            SandboxChoice::Automatic => DockerSandbox::available().await.err().map(|error| error.to_string()),
            _ => None,
        };
        if choice == SandboxChoice::Local || no_docker.is_some() {
            need_python(no_docker.as_deref())?;
        }
        Ok(Self { choice, no_docker })
    }

    /// One line that says where commands run, and why.
    pub(crate) fn banner(&self, kind: SandboxKind) -> String {
        match (kind, self.choice, &self.no_docker) {
            (SandboxKind::Docker, _, _) => "sandbox: docker: commands run in a container without network".into(),
            (SandboxKind::Local, SandboxChoice::Local, _) => {
                "sandbox: local, as --sandbox local says: commands run as confined processes of this machine".into()
            }
            (SandboxKind::Local, _, Some(why)) => format!(
                "sandbox: local, because no Docker can be used ({}): the demo model's commands run as confined processes \
                 of this machine",
                why.trim_end_matches('.')
            ),
            _ => format!("sandbox: {}", kind.as_str()),
        }
    }
}

/// The local sandbox runs the agents' tests with the Python of this machine.
pub(crate) fn need_python(no_docker: Option<&str>) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |file: std::path::PathBuf| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if std::env::split_paths(&path).any(|directory| is_program(directory.join("python3"))) {
        return Ok(());
    }
    Err(Failure::failed(match no_docker {
        Some(why) => format!(
            "no Docker can be used ({}), and the local sandbox needs python3, which is not on PATH. Start Docker or \
             install python3.",
            why.trim_end_matches('.')
        ),
        None => "the local sandbox needs python3, which is not on PATH. Install it, or use --sandbox docker.".into(),
    }))
}
