//! The web, for agents: one guarded HTTP client, and what is built on it. `docs/web.md` says what is guarded and which test shows it.
//!
//! ```text
//! tool -> FetchRequest -> GuardedClient -> Guard (address, then every resolved address) -> connection
//! ```
//!
//! - [`AddressPolicy`] says what may be connected to; [`Guard`] applies it to hosts and addresses, also for a proxy.
//! - [`GuardedClient`] is the only thing that opens a connection.
//! - [`WebSearch`] asks one [`SearchEngine`] after the other.
//! - A [`Browser`] has a page open for each agent: [`HttpBrowser`] without scripts.
//! - [`WebTools`] are the tools made of these, for [`crate::ToolSet::with_web`].

mod address;
mod browser;
mod client;
mod error;
mod fetch;
mod guard;
mod page;
mod policy;
mod reach;
mod search;
mod tools;
pub(crate) mod untrusted;

pub use address::AddressKind;
pub use browser::{Browser, BrowserError, BrowserSession, HttpBrowser, PageView};
#[cfg(all(unix, feature = "chromium"))]
pub use browser::{Chromium, ChromiumOptions};
pub use client::{Fetch, GuardedClient};
pub use error::{Denial, Denied, FetchError};
pub use fetch::{FetchRequest, FetchResponse};
pub(crate) use guard::shown;
pub use guard::{Guard, Resolver, SystemResolver};
pub use page::Link;
pub use policy::AddressPolicy;
pub(crate) use policy::is_of_this_machine;
pub use search::{Brave, DuckDuckGo, Found, SearchEngine, SearchError, SearchResult, Searxng, Tavily, WebSearch};
pub use tools::WebTools;
pub(crate) use untrusted::one_line;
