//! What the environment says. Nothing else reads it, but the library its models' keys.

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use orkestra_agents::SandboxChoice;

/// The server's settings.
#[derive(Debug)]
pub(crate) struct Config {
    /// `AIOS_HOST`: loopback unless said otherwise. Anyone who reaches the port can make an account and run agents.
    pub(crate) host: IpAddr,
    /// `AIOS_PORT`.
    pub(crate) port: u16,
    /// `AIOS_DATA`: the store, the workspaces and the artifacts.
    pub(crate) data: PathBuf,
    /// `AIOS_SANDBOX`: `docker` or `local`; without it Docker, which only the demo model may do without.
    pub(crate) sandbox: SandboxChoice,
}

impl Config {
    /// Reads the environment; says which variable is wrong.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let sandbox = match text("AIOS_SANDBOX")?.as_deref() {
            None => SandboxChoice::Automatic,
            Some("docker") => SandboxChoice::Docker,
            Some("local") => SandboxChoice::Local,
            Some(other) => return Err(format!("AIOS_SANDBOX is docker or local, not {other:?}")),
        };
        Ok(Self {
            host: parsed("AIOS_HOST", "an IP address")?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: parsed("AIOS_PORT", "a port from 0 to 65535")?.unwrap_or(8001),
            data: text("AIOS_DATA")?.unwrap_or_else(|| "./.orkestra-server".to_owned()).into(),
            sandbox,
        })
    }
}

/// A variable that is set to something.
fn text(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn parsed<T: std::str::FromStr>(name: &str, what: &str) -> Result<Option<T>, String> {
    let wrong = |value: String| value.parse().map_err(|_| format!("{name} is {what}, not {value:?}"));
    text(name)?.map(wrong).transpose()
}
