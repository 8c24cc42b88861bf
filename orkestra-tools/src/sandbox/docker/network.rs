//! The choice of network of a container.

use serde::{Deserialize, Serialize};

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// Only its own loopback.
    #[default]
    None,
    /// Only its own loopback, on which package registries and the allowed hosts are reached: see [`crate::egress`].
    Registries,
    /// Docker's default bridge: the internet, but also the host's services on that bridge and the private network behind it.
    #[serde(alias = "egress")]
    Open,
}

impl Network {
    /// The former name of [`Network::Open`].
    #[deprecated(note = "use `Network::Open`, or `Network::Registries` to install packages")]
    #[expect(non_upper_case_globals, reason = "it was a variant")]
    pub const Egress: Self = Self::Open;
}
