//! Why something was not fetched, worded for a model or an operator. No message contains a query string or a header: they may hold
//! secrets.

use std::net::IpAddr;
use std::time::Duration;

use super::address::AddressKind;

/// A host that must not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}`{} is denied: it {reason}; {}", of(.address), advice(*.reason))]
#[non_exhaustive]
pub struct Denied {
    /// The host of the address or of a redirect.
    pub host: String,
    /// What it was resolved to.
    pub address: Option<IpAddr>,
    /// Why it is denied.
    pub reason: Denial,
}

/// Why a host is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// Its address is of a kind that is not allowed.
    #[error("is not a public address but {0}")]
    Kind(AddressKind),
    /// Its address is this machine's own.
    #[error("is an address of this machine")]
    ThisMachine,
    /// It is not on the list of hosts that this run may reach.
    #[error("is not among the hosts that this run may reach")]
    NotListed,
}

/// Why a fetch has no response. An HTTP error status is a response, not this.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address or a header is not valid. Nothing was sent.
    #[error("cannot fetch {url}: {reason}")]
    Invalid {
        /// The address, shortened.
        url: String,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// The host of the address, or of a redirect, must not be connected to.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The run may not connect there, or no server of its own listens there; the text says what to do.
    #[error("{0}")]
    Refused(String),
    /// The host has no address.
    #[error("cannot resolve `{host}`: {reason}; check the name")]
    Unresolved {
        /// The host.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// More redirects than [`crate::limits::FETCH_REDIRECTS_MAX`].
    #[error("`{host}` redirects too often (more than {limit} times); use the final address")]
    Redirects {
        /// The host of the last redirect.
        host: String,
        /// The limit.
        limit: u32,
    },
    /// No connection, or it broke.
    #[error("cannot fetch from `{host}`: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What failed.
        reason: String,
    },
    /// It took too long.
    #[error("`{host}` did not answer completely within {} s; try again later or use another source", .after.as_secs_f32())]
    TimedOut {
        /// The host of the first address.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

impl FetchError {
    /// Whether the same fetch may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unresolved { .. } | Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

fn advice(reason: Denial) -> &'static str {
    match reason {
        Denial::NotListed => "go on without it, or ask a person to allow it for this run",
        _ => "use a host with a public address, or ask the operator to allow this host",
    }
}

fn of(address: &Option<IpAddr>) -> String {
    address.map(|address| format!(" ({address})")).unwrap_or_default()
}
