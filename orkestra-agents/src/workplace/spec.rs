//! Where a run's commands run and what they reach, as data that is stored with the run.

use orkestra_tools::egress::{AllowedHost, EgressOptions};
use orkestra_tools::{DockerOptions, LocalOptions, Network, SandboxError};
use serde::{Deserialize, Serialize};

/// Where commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxKind {
    /// In a container.
    Docker,
    /// As confined child processes.
    Local,
}

impl SandboxKind {
    /// `docker` or `local`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Local => "local",
        }
    }
}

/// Where the commands of a run run, and what they reach. Stored with the run; a resumed run does not change it.
///
/// ```
/// use orkestra_agents::{SandboxKind, SandboxSpec};
/// use orkestra_tools::Network;
///
/// assert_eq!(SandboxSpec::from(SandboxKind::Docker).network_used(), Network::None);
/// assert_eq!(SandboxSpec::from(SandboxKind::Local).network_used(), Network::Open);
/// let spec = SandboxSpec::from(SandboxKind::Docker).with_network(Network::Registries).with_allowed_hosts(["api.example.com"]);
/// assert_eq!(spec.allowed_hosts, ["api.example.com"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxSpec {
    /// The kind of sandbox.
    // NOTE: the name of the only field that the jobs of older versions have.
    #[serde(rename = "sandbox")]
    pub kind: SandboxKind,
    /// The runtime of the container, such as `runsc`; `None` for the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The network; `None` for what the kind has by itself, see [`SandboxSpec::network_used`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Hosts that people allowed for this run, as [`AllowedHost::new`] reads them. Used with [`Network::Registries`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
}

impl From<SandboxKind> for SandboxSpec {
    fn from(kind: SandboxKind) -> Self {
        Self { kind, runtime: None, network: None, allowed_hosts: Vec::new() }
    }
}

impl SandboxSpec {
    /// Sets the runtime of the container.
    #[must_use]
    pub fn with_runtime(mut self, runtime: impl Into<String>) -> Self {
        self.runtime = Some(runtime.into());
        self
    }

    /// Sets the network.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Sets the hosts that are allowed with [`Network::Registries`].
    #[must_use]
    pub fn with_allowed_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// The network that commands have. By itself a container has none, and the local sandbox has this machine's.
    #[must_use]
    pub fn network_used(&self) -> Network {
        self.network.unwrap_or(match self.kind {
            SandboxKind::Docker => Network::None,
            SandboxKind::Local => Network::Open,
        })
    }

    /// The options of a container of this kind. `egress` is what the operator lets through.
    pub(super) fn docker_options(&self, egress: &EgressOptions) -> Result<DockerOptions, SandboxError> {
        let mut egress = egress.clone();
        for host in &self.allowed_hosts {
            let host = AllowedHost::new(host).map_err(|error| SandboxError::Unavailable(error.to_string()))?;
            egress = egress.with_allowed(host);
        }
        let options = DockerOptions::default().with_network(self.network_used()).with_egress(egress);
        Ok(self.runtime.iter().fold(options, DockerOptions::with_runtime))
    }

    /// The options of a local sandbox.
    pub(super) fn local_options(&self) -> Result<LocalOptions, SandboxError> {
        let mut options = LocalOptions::default();
        match self.network_used() {
            Network::Open => {}
            Network::None => options.private_network = true,
            _ => return Err(SandboxError::Unavailable(NO_REGISTRIES.to_owned())),
        }
        Ok(options)
    }
}

/// Why the local sandbox cannot have the network `registries`.
pub(crate) const NO_REGISTRIES: &str = "the local sandbox cannot have the network `registries`: it cannot keep commands from \
    other hosts; use Docker for it, or the network `open` or `none`";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_version_stored_is_read_with_the_network_that_it_had() {
        for (text, kind, network) in
            [("docker", SandboxKind::Docker, Network::None), ("local", SandboxKind::Local, Network::Open)]
        {
            let spec: SandboxSpec = serde_json::from_value(json!({"sandbox": text})).expect("it can be read");
            assert_eq!((spec.kind, spec.network_used()), (kind, network));
            assert_eq!(serde_json::to_value(&spec).expect("JSON"), json!({"sandbox": text}));
        }
    }

    #[test]
    fn the_options_are_those_of_the_spec() {
        let spec = SandboxSpec::from(SandboxKind::Docker).with_runtime("runsc").with_network(Network::Registries);
        let options = spec.with_allowed_hosts(["a.example", "*.b.example:8443"]);
        let options = options.docker_options(&EgressOptions::default()).expect("they are valid");
        assert_eq!((options.runtime.as_deref(), options.network), (Some("runsc"), Network::Registries));
        let allowed = |host: &str, port| options.egress.allowed.iter().any(|allowed| allowed.matches(host, port));
        assert!(allowed("a.example", 443) && allowed("x.b.example", 8443) && !allowed("b.example", 8443));
        let local = |network| SandboxSpec::from(SandboxKind::Local).with_network(network).local_options();
        assert!(local(Network::None).is_ok_and(|options| options.private_network));
        assert!(local(Network::Open).is_ok_and(|options| !options.private_network));
        assert!(local(Network::Registries).is_err_and(|error| error.to_string().contains("use Docker")));
    }
}
