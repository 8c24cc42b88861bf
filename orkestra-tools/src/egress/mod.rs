//! The way out of a sandbox without a network: package registries as read-only mirrors, and the hosts that people allow.
//!
//! ```text
//! pip, npm, … -> loopback of the container -> forwarder -> Unix socket -> EgressProxy
//!     GET /pip/…, /npm/…, /cargo/…, /apt/…   -> mirror: path to address -> cache, else the registry (our credentials)
//!     POST /model/v1/…                       -> the operator's model endpoint, when it was given
//!     CONNECT host:443                       -> on the list? -> checked addresses -> TLS with the same name -> tunnel
//!     everything else                        -> refused, with the host and the way to allow it
//! ```
//!
//! - [`EgressProxy`] is that proxy, one per run; a [`crate::DockerSandbox`] with the network `registries` starts its own.
//! - [`Registry`] and [`AllowedHost`] are what it lets through; [`detect`] reads what this machine's clients are set up with.
//! - [`ModelGateway`] is the way to one model endpoint, without its key.
//! - [`CachePlace`] makes answers outlast a run.
//!
//! IMPORTANT: everything that arrives on the socket is hostile. Nothing of it reaches a registry except a path that a mirror
//! knows; nothing is resolved, not even a name, before the host was found on the list.

mod address;
mod arriving;
mod cache;
mod client;
mod detect;
mod digest;
mod fetch;
mod hello;
mod hosts;
mod mirror;
mod model;
mod proxy;
mod record;
mod registry;
mod reply;
mod serve;
#[cfg(test)]
mod tests;
mod tunnel;
mod upstream;

pub use cache::CachePlace;
pub(crate) use client::{CARGO_DIRECTORY, CONFIG_DIRECTORY, environment, forwarder, no_network_environment};
pub use detect::{ClientSettings, Detected, detect};
pub use hosts::AllowedHost;
pub use model::{MODEL_BASE_URL, ModelGateway, ModelUsage};
pub use proxy::EgressProxy;
pub use record::HostUse;
pub use registry::{Credentials, Ecosystem, Registry};

/// Why an egress proxy was not set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// A registry is not usable. The reason does not hold the address, which may have a password in it.
    #[error("cannot use the {ecosystem} registry: {reason}")]
    Registry {
        /// The client that the registry is for.
        ecosystem: &'static str,
        /// What is wrong, and what to give instead.
        reason: String,
    },
    /// A host that was to be allowed is not one.
    #[error("cannot allow `{host}`: {reason}")]
    Host {
        /// The host as given, shortened.
        host: String,
        /// What is wrong, and what to give instead.
        reason: String,
    },
    /// Another option is invalid.
    #[error("{0}")]
    Options(String),
    /// The socket or the cache cannot be created.
    #[error("cannot create {what}: {source}")]
    Io {
        /// What was to be created.
        what: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// What a proxy lets through, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EgressOptions {
    /// The registries that it mirrors. The first of an ecosystem is its main one.
    pub registries: Vec<Registry>,
    /// Other hosts that may be reached, through tunnels.
    pub allowed: Vec<AllowedHost>,
    /// Where answers of registries are kept between runs; without it nothing is kept.
    pub cache: Option<CachePlace>,
    /// How a person allows a host, for refusals: `ask a person to …`.
    pub advice: String,
    /// The operator's own HTTP proxy for requests to registries, such as `http://proxy.example.com:3128`. It, not we, then looks
    /// up their names. Tunnels do not use it.
    pub proxy: Option<String>,
    /// Certificates (PEM) that are trusted for registries besides the system's.
    pub certificates: Vec<Vec<u8>>,
    /// The model endpoint that programs may use. The operator's choice, never a tenant's: any address is allowed for it.
    pub model: Option<ModelGateway>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            registries: Registry::public(),
            allowed: Vec::new(),
            cache: None,
            advice: "ask a person to add it to the allowed hosts of this run or project".to_owned(),
            proxy: None,
            certificates: Vec::new(),
            model: None,
        }
    }
}

impl EgressOptions {
    /// Sets the registries; see [`detect`].
    #[must_use]
    pub fn with_registries(mut self, registries: Vec<Registry>) -> Self {
        self.registries = registries;
        self
    }

    /// Adds a host that may be reached.
    #[must_use]
    pub fn with_allowed(mut self, host: AllowedHost) -> Self {
        self.allowed.push(host);
        self
    }

    /// Keeps answers of registries between runs.
    #[must_use]
    pub fn with_cache(mut self, cache: CachePlace) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets what a refusal advises.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Sets the operator's own HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Lets programs use a model endpoint, at [`MODEL_BASE_URL`].
    #[must_use]
    pub fn with_model(mut self, gateway: ModelGateway) -> Self {
        self.model = Some(gateway);
        self
    }

    /// Adds a certificate bundle, PEM.
    #[must_use]
    pub fn with_certificates(mut self, pem: Vec<u8>) -> Self {
        self.certificates.push(pem);
        self
    }
}
