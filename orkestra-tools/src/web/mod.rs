//! The web, for agents: one guarded HTTP client, and what is built on it. `docs/web.md` says what is guarded and which test shows it.
//!
//! ```text
//! tool -> FetchRequest -> GuardedClient -> Guard (address, then every resolved address) -> connection
//! ```
//!
//! - [`AddressPolicy`] says what may be connected to; [`Guard`] applies it to hosts and addresses, also for a proxy.
//! - [`GuardedClient`] is the only thing that opens a connection.

mod address;
mod client;
mod error;
mod fetch;
mod guard;
mod policy;

pub use address::AddressKind;
pub use client::{Fetch, GuardedClient};
pub use error::{Denial, Denied, FetchError};
pub use fetch::{FetchRequest, FetchResponse};
pub use guard::{Guard, Resolver, SystemResolver};
pub use policy::AddressPolicy;
