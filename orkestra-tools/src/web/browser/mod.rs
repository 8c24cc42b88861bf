//! Browsers, and one page at a time for each agent.
//!
//! [`HttpBrowser`] fetches pages and shows their text. A real browser implements the same two traits: its sessions own a process each,
//! or a context of one, and must end it when they are dropped. What such a browser has to guard is in `docs/web.md`.

#[cfg(all(unix, feature = "chromium"))]
mod chromium;
mod http;
mod proxy;
mod sessions;

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(all(unix, feature = "chromium"))]
pub use chromium::{Chromium, ChromiumOptions};
pub use http::HttpBrowser;
pub(crate) use sessions::Sessions;

use super::error::FetchError;
use super::page::Link;
use crate::sandbox::Sandbox;

/// Opens sessions for agents.
#[async_trait]
pub trait Browser: Send + Sync {
    /// A session without a page. Sessions share nothing: no cookies, no cache, no storage. It connects to what the agent's
    /// sandbox may: [`Sandbox::connect`] for loopback addresses, [`Sandbox::way_out`] for all others. It must not keep the
    /// sandbox alive.
    ///
    /// # Errors
    /// [`BrowserError`], for instance if a browser does not start.
    async fn session(&self, sandbox: &Arc<dyn Sandbox>) -> Result<Box<dyn BrowserSession>, BrowserError>;

    /// What a reader might expect of this browser but is not enforced on this machine, in words for an operator.
    fn gaps(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The page that one agent has open. Dropping it closes everything that belongs to it.
#[async_trait]
pub trait BrowserSession: Send {
    /// Called before each use with the sandbox of the agent's present scope, which may be another value for the same sandbox.
    fn renew(&mut self, sandbox: &Arc<dyn Sandbox>) {
        let _ = sandbox;
    }

    /// Opens a page.
    ///
    /// # Errors
    /// [`BrowserError`]; the page that was open before stays open.
    async fn navigate(&mut self, url: &str) -> Result<PageView, BrowserError>;

    /// The open page as it is now.
    ///
    /// # Errors
    /// [`BrowserError`].
    async fn content(&mut self) -> Result<PageView, BrowserError>;

    /// Clicks the first element that a CSS selector chooses, and returns the page that is open afterwards.
    ///
    /// # Errors
    /// [`BrowserError`].
    async fn click(&mut self, selector: &str) -> Result<PageView, BrowserError>;

    /// A picture of the page, PNG.
    ///
    /// # Errors
    /// [`BrowserError`].
    async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError>;
}

/// A page as text. Everything in it is untrusted except `notes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageView {
    /// The address, after redirects.
    pub url: String,
    /// The HTTP status, if it is known.
    pub status: Option<u16>,
    /// The title, in one line.
    pub title: String,
    /// The readable text; `[3]` is after the text of the third link.
    pub text: String,
    /// The links, at most [`crate::limits::PAGE_LINKS_MAX`].
    pub links: Vec<Link>,
    /// Whether the scripts of the page ran.
    pub ran_scripts: bool,
    /// What a reader should know: that it was cut, that it is not text. Sentences of the browser, not of the page.
    pub notes: Vec<String>,
}

/// Why a browser did not do something. The messages are for a model.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// The page was not fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// No page is open: none was, or it was closed because many agents have pages.
    #[error("no page is open; open one with browser_navigate")]
    NoPage,
    /// The selector is not valid.
    #[error(
        "the selector is not valid: {0}; use CSS such as a[href=\"/docs\"] or #menu a, or text= with the text of a link"
    )]
    Selector(String),
    /// No element matches.
    #[error("no element of the page matches `{0}`; read the page with browser_get_content")]
    NotFound(String),
    /// This browser cannot do it; the message says what can.
    #[error("{0}")]
    Unsupported(String),
    /// The browser ended or does not answer, and is closed. The next page gets a new one.
    #[error("the browser was closed: {0}; browser_navigate starts a new one")]
    Lost(String),
    /// The browser failed.
    #[error("the browser failed: {0}; open the page again with browser_navigate")]
    Failed(String),
}
