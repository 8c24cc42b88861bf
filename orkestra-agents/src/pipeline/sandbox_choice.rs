//! Where a user wants commands to run and what they may reach, and what that means on this machine.

use orkestra_tools::egress::AllowedHost;
use orkestra_tools::{DockerOptions, DockerSandbox, Network};

use crate::{
    Error, ErrorKind,
    model::ModelSpec,
    workplace::{NO_REGISTRIES, SandboxKind, SandboxSpec},
};

/// The most hosts that one run may allow: more is a network without a list.
const ALLOWED_HOSTS_MAX: usize = 64;

/// Where the user wants commands to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SandboxChoice {
    /// In Docker. The demo model, and no other one, uses the local sandbox when Docker does not answer.
    #[default]
    Automatic,
    /// In Docker.
    Docker,
    /// As confined child processes of this process. Weaker than a container.
    Local,
}

/// Everything that was asked for about a run's sandbox, before it is known what this machine has.
#[derive(Debug, Clone, Default)]
pub(super) struct SandboxWish {
    pub(super) choice: SandboxChoice,
    pub(super) runtime: Option<String>,
    pub(super) network: Option<Network>,
    pub(super) allowed_hosts: Vec<String>,
}

impl SandboxWish {
    /// Checks what is wrong on any machine.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`].
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_local = self.choice == SandboxChoice::Local;
        if let Some(runtime) = self.runtime.as_ref().filter(|_| is_local) {
            return Err(Error::usage(format!(
                "cannot use the runtime {runtime:?} in the local sandbox: it is for Docker; use Docker, or no runtime"
            )));
        }
        if is_local && self.network == Some(Network::Registries) {
            return Err(Error::usage(NO_REGISTRIES));
        }
        if self.allowed_hosts.len() > ALLOWED_HOSTS_MAX {
            return Err(Error::usage(format!(
                "cannot allow {} hosts: a run has at most {ALLOWED_HOSTS_MAX}; use *.example.com, or the network `open`",
                self.allowed_hosts.len()
            )));
        }
        for host in &self.allowed_hosts {
            AllowedHost::new(host).map_err(|error| Error::usage(format!("invalid allowed host: {error}")))?;
        }
        let has_list = !is_local && self.network.is_none_or(|network| network == Network::Registries);
        if !self.allowed_hosts.is_empty() && !has_list {
            return Err(Error::usage(
                "cannot allow single hosts: that needs Docker and the network `registries`; use both, or allow no hosts",
            ));
        }
        Ok(())
    }

    /// The sandbox for a run of `model` on this machine.
    ///
    /// # Errors
    /// As [`Self::check`]; [`ErrorKind::Sandbox`] when Docker or its runtime is missing and the local sandbox was not chosen.
    pub(super) async fn resolve(&self, model: &ModelSpec) -> Result<SandboxSpec, Error> {
        self.check()?;
        let kind = self.kind(model).await?;
        let given = Self { choice: kind.into(), ..self.clone() };
        given.check()?;
        let network = self.network.unwrap_or_else(|| self.network_default(kind, model));
        let mut spec = SandboxSpec::from(kind).with_network(network).with_allowed_hosts(&self.allowed_hosts);
        spec.runtime.clone_from(&self.runtime);
        Ok(spec)
    }

    async fn kind(&self, model: &ModelSpec) -> Result<SandboxKind, Error> {
        if self.choice == SandboxChoice::Local {
            return Ok(SandboxKind::Local);
        }
        let options = self.runtime.iter().fold(DockerOptions::default(), DockerOptions::with_runtime);
        match DockerSandbox::available_with(&options).await {
            Ok(_) => Ok(SandboxKind::Docker),
            Err(error) if self.choice == SandboxChoice::Automatic && model.is_demo() && self.runtime.is_none() => {
                tracing::warn!(%error, "Docker does not answer; the demo model uses the local sandbox");
                Ok(SandboxKind::Local)
            }
            Err(error) => {
                let message = format!(
                    "cannot run commands in Docker: {error}; the local sandbox, which is weaker, needs no Docker (--sandbox local)"
                );
                Err(Error::new(ErrorKind::Sandbox, message).with_source(error))
            }
        }
    }

    /// What a run has when nobody chose: a real model installs packages; the demo model needs none; the local sandbox cannot
    /// restrict hosts. Hosts that were allowed choose the network that knows them.
    fn network_default(&self, kind: SandboxKind, model: &ModelSpec) -> Network {
        match kind {
            SandboxKind::Local => Network::Open,
            SandboxKind::Docker if model.is_demo() && self.allowed_hosts.is_empty() => Network::None,
            SandboxKind::Docker => Network::Registries,
        }
    }
}

impl From<SandboxKind> for SandboxChoice {
    fn from(kind: SandboxKind) -> Self {
        match kind {
            SandboxKind::Docker => Self::Docker,
            SandboxKind::Local => Self::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(choice: SandboxChoice, network: Option<Network>, hosts: &[&str]) -> SandboxWish {
        let allowed_hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        SandboxWish { choice, runtime: None, network, allowed_hosts }
    }

    #[test]
    fn what_is_wrong_on_any_machine_names_the_fix() {
        let many: Vec<String> = (0..65).map(|number| format!("h{number}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let runtime = SandboxWish { runtime: Some("runsc".to_owned()), ..wish(SandboxChoice::Local, None, &[]) };
        for (wish, part) in [
            (runtime, "use Docker, or no runtime"),
            (wish(SandboxChoice::Local, Some(Network::Registries), &[]), "use Docker for it"),
            (wish(SandboxChoice::Docker, None, &["https://a.example/x"]), "give a host such as example.com"),
            (wish(SandboxChoice::Docker, None, &["169.254.169.254"]), "give a name"),
            (wish(SandboxChoice::Docker, None, &many), "at most 64"),
            (wish(SandboxChoice::Docker, Some(Network::None), &["a.example"]), "network `registries`"),
            (wish(SandboxChoice::Docker, Some(Network::Open), &["a.example"]), "network `registries`"),
            (wish(SandboxChoice::Local, None, &["a.example"]), "needs Docker"),
        ] {
            let error = wish.check().expect_err("it is wrong");
            assert_eq!(error.kind(), ErrorKind::Usage, "{wish:?}");
            assert!(error.to_string().contains(part), "{wish:?}: {error}");
        }
        for wish in [
            wish(SandboxChoice::Automatic, None, &["a.example"]),
            wish(SandboxChoice::Docker, Some(Network::Registries), &["*.a.example:8443"]),
            wish(SandboxChoice::Local, Some(Network::None), &[]),
        ] {
            wish.check().expect("it is valid");
        }
    }

    #[test]
    fn a_real_model_reaches_registries_and_the_demo_model_nothing() {
        let (real, demo) = (ModelSpec::named("gpt-4o"), ModelSpec::named("demo"));
        let none = wish(SandboxChoice::Automatic, None, &[]);
        let hosts = wish(SandboxChoice::Automatic, None, &["a.example"]);
        assert_eq!(none.network_default(SandboxKind::Docker, &real), Network::Registries);
        assert_eq!(none.network_default(SandboxKind::Docker, &demo), Network::None);
        assert_eq!(hosts.network_default(SandboxKind::Docker, &demo), Network::Registries);
        assert_eq!(none.network_default(SandboxKind::Local, &real), Network::Open);
    }
}
