//! Connections that the host makes for an agent, such as those of its browser: to the servers in its sandbox, and to the world
//! as its sandbox may. What commands themselves may reach is decided by each sandbox.

use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to a server in a sandbox.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Where a connection for an agent may go, besides to the servers in its sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WayOut {
    /// Nowhere.
    Closed,
    /// To what the egress proxy on this socket lets through: `CONNECT host:port`. It counts and refuses as for commands.
    Proxy(PathBuf),
    /// To any global address.
    Global,
}
