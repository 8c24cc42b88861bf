//! The tools of the web: `web_search`, `browser_navigate`, `browser_get_content`, `browser_click`, `browser_screenshot`.

mod browser;
mod search;

use std::sync::Arc;

use self::browser::{Click, GetContent, Navigate, Screenshot};
use self::search::Search;
use super::browser::{Browser, HttpBrowser, Sessions};
use super::client::{Fetch, GuardedClient};
use super::search::{DuckDuckGo, SearchEngine, WebSearch};
use crate::tool::{Tool, typed};

/// What the web tools work with. Agents that use the tools made of one value share its cache of searches; each has a page of its
/// own.
#[derive(Clone)]
pub struct WebTools {
    search: WebSearch,
    browser: Arc<dyn Browser>,
}

impl WebTools {
    /// DuckDuckGo and pages over HTTP: needs no key and no browser.
    #[must_use]
    pub fn new(client: GuardedClient) -> Self {
        let browser = Arc::new(HttpBrowser::new(&client));
        let client: Arc<dyn Fetch> = Arc::new(client);
        let engines: Vec<Arc<dyn SearchEngine>> =
            vec![Arc::new(DuckDuckGo::html(client.clone())), Arc::new(DuckDuckGo::lite(client.clone()))];
        Self { search: WebSearch::new(engines), browser }
    }

    /// Replaces the search.
    #[must_use]
    pub fn with_search(mut self, search: WebSearch) -> Self {
        self.search = search;
        self
    }

    /// Replaces the browser.
    #[must_use]
    pub fn with_browser(mut self, browser: Arc<dyn Browser>) -> Self {
        self.browser = browser;
        self
    }

    /// What is not enforced on this machine of what the browser promises, in words for an operator.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        self.browser.gaps()
    }

    pub(crate) fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let sessions = Arc::new(Sessions::new(self.browser.clone()));
        vec![
            typed(Search(self.search.clone())),
            typed(Navigate(sessions.clone())),
            typed(GetContent(sessions.clone())),
            typed(Click(sessions.clone())),
            typed(Screenshot(sessions)),
        ]
    }
}
