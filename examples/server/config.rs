//! The configuration from the environment. Nothing else reads the environment, except the library for the API keys of models.

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use orkestra_agents::SandboxChoice;

/// The server's settings.
#[derive(Debug)]
pub(crate) struct Config {
    /// `AIOS_HOST`: loopback by default. Anyone who can reach the port can create an account and run agents.
    pub(crate) host: IpAddr,
    /// `AIOS_PORT`.
    pub(crate) port: u16,
    /// `AIOS_DATA`: the directory for the store, the workspaces and the artifacts.
    pub(crate) data: PathBuf,
    /// `AIOS_SANDBOX`: `docker` or `local`; by default Docker, with a fallback to local for the demo model only.
    pub(crate) sandbox: SandboxChoice,
}

impl Config {
    /// Reads the environment; the error names the invalid variable.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let sandbox = match text("AIOS_SANDBOX")?.as_deref() {
            None => SandboxChoice::Automatic,
            Some("docker") => SandboxChoice::Docker,
            Some("local") => SandboxChoice::Local,
            Some(other) => return Err(format!("invalid AIOS_SANDBOX {other:?}: it must be docker or local")),
        };
        Ok(Self {
            host: parsed("AIOS_HOST", "an IP address")?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: parsed("AIOS_PORT", "a port from 0 to 65535")?.unwrap_or(8001),
            data: text("AIOS_DATA")?.unwrap_or_else(|| "./.orkestra-server".to_owned()).into(),
            sandbox,
        })
    }
}

/// The value of a variable that is set and not empty.
fn text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn parsed<T: std::str::FromStr>(name: &str, what: &str) -> Result<Option<T>, String> {
    let wrong = |value: String| value.parse().map_err(|_| format!("invalid {name} {value:?}: it must be {what}"));
    text(name)?.map(wrong).transpose()
}
