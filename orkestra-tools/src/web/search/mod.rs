//! Web search over several engines: the first that answers wins, one that fails or refuses is left alone for a while, and results
//! are kept for some minutes.
//!
//! ```text
//! query -> cache -> engine 1 (breaker closed?) -> engine 2 ... -> results, or every engine's reason
//! ```

mod breaker;
mod cache;
mod duckduckgo;
mod json;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use url::Url;

pub use duckduckgo::DuckDuckGo;
pub use json::{Brave, Searxng, Tavily};

use self::breaker::Breaker;
use self::cache::Cache;
use super::error::FetchError;
use super::fetch::FetchResponse;
use super::untrusted::one_line;
use crate::limits::{
    SEARCH_ENGINE_TIMEOUT, SEARCH_QUERY_BYTES_MAX, SEARCH_RESULTS_MAX, SEARCH_SNIPPET_BYTES_MAX,
    SEARCH_TITLE_BYTES_MAX, URL_BYTES_MAX,
};

/// A result of a search.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SearchResult {
    /// The title, in one line.
    pub title: String,
    /// The address: http or https.
    pub url: String,
    /// Some text of the page, in one line; may be empty.
    pub snippet: String,
}

impl SearchResult {
    /// A result with its texts cleaned and cut; `None` if its address is not a web address.
    #[must_use]
    pub fn new(title: &str, url: &str, snippet: &str) -> Option<Self> {
        let url =
            Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty())?;
        let title = one_line(title, SEARCH_TITLE_BYTES_MAX);
        let is_shown = !title.is_empty() && url.as_str().len() <= URL_BYTES_MAX;
        is_shown.then(|| Self { title, url: url.into(), snippet: one_line(snippet, SEARCH_SNIPPET_BYTES_MAX) })
    }
}

/// Why an engine has no results.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// It refuses to answer: a captcha, too many requests, a wrong key. It is left alone for a while.
    #[error("{reason}")]
    Blocked {
        /// What it answered.
        reason: String,
        /// When it may be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// It did not answer, or with something that cannot be read.
    #[error("{0}")]
    Failed(String),
}

impl From<FetchError> for SearchError {
    fn from(error: FetchError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A search engine.
#[async_trait]
pub trait SearchEngine: Send + Sync {
    /// Its name, for results and errors.
    fn name(&self) -> &str;

    /// Searches. An empty list means that it said that there are no results.
    ///
    /// # Errors
    /// [`SearchError`]; another engine is asked then.
    async fn search(&self, query: &str) -> Result<Vec<SearchResult>, SearchError>;
}

/// The results of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The engine that answered.
    pub engine: String,
    /// At most [`SEARCH_RESULTS_MAX`] results.
    pub results: Vec<SearchResult>,
}

/// Engines in the order in which they are asked, with a cache and a breaker for each. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct WebSearch {
    engines: Arc<[Arc<dyn SearchEngine>]>,
    state: Arc<Mutex<State>>,
}

struct State {
    breakers: Vec<Breaker>,
    cache: Cache,
}

impl WebSearch {
    /// Asks these engines, in this order.
    #[must_use]
    pub fn new(engines: Vec<Arc<dyn SearchEngine>>) -> Self {
        let breakers = engines.iter().map(|_| Breaker::default()).collect();
        let state = State { breakers, cache: Cache::default() };
        Self { engines: engines.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// The results of the first engine that answers.
    ///
    /// # Errors
    /// A text for the model: the query is too long or empty, or what each engine said and what to do instead.
    pub async fn search(&self, query: &str) -> Result<Found, String> {
        let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
        if query.is_empty() || query.len() > SEARCH_QUERY_BYTES_MAX {
            return Err(format!("the query must have 1 to {SEARCH_QUERY_BYTES_MAX} bytes; search for a few words"));
        }
        if let Some(found) = self.state().cache.get(&query, Instant::now()) {
            return Ok(found);
        }
        let mut reasons = Vec::new();
        for (index, engine) in self.engines.iter().enumerate() {
            if let Some(left) = self.state().breakers[index].open_for(Instant::now()) {
                reasons.push(format!("{} is not asked for {} s after it failed", engine.name(), left.as_secs() + 1));
                continue;
            }
            match self.ask(index, &query).await {
                Ok(mut results) => {
                    results.truncate(SEARCH_RESULTS_MAX);
                    let found = Found { engine: engine.name().to_owned(), results };
                    self.state().cache.put(query, found.clone(), Instant::now());
                    return Ok(found);
                }
                Err(error) => reasons.push(format!("{}: {error}", engine.name())),
            }
        }
        Err(unavailable(&reasons))
    }

    async fn ask(&self, index: usize, query: &str) -> Result<Vec<SearchResult>, SearchError> {
        let answer = tokio::time::timeout(SEARCH_ENGINE_TIMEOUT, self.engines[index].search(query)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(SearchError::Failed(format!("no answer within {} s", SEARCH_ENGINE_TIMEOUT.as_secs())))
        });
        let (breaker, now) = (&mut self.state().breakers[index], Instant::now());
        match &answer {
            Ok(_) => breaker.succeeded(),
            Err(SearchError::Blocked { retry_after, .. }) => breaker.refused(now, *retry_after),
            Err(_) => breaker.failed(now),
        }
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WebSearch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.engines.iter().map(|engine| engine.name())).finish()
    }
}

fn unavailable(reasons: &[String]) -> String {
    let reasons = if reasons.is_empty() { "no search engine is configured".to_owned() } else { reasons.join("; ") };
    format!(
        "cannot search the web: {reasons}. Do not repeat the search now: open an address that you know with browser_navigate \
         (documentation, a package registry), or continue without it. The operator can configure a SearXNG or a search engine with \
         a key"
    )
}

/// What a status other than success means.
fn check_status(response: &FetchResponse) -> Result<(), SearchError> {
    let blocked = |reason: &str| {
        let reason = format!("{reason} (HTTP status {})", response.status);
        Err(SearchError::Blocked { reason, retry_after: response.retry_after })
    };
    match response.status {
        401 => blocked("it does not accept the key"),
        402 | 429 | 432 | 433 => blocked("too many requests or the quota is used up"),
        403 => blocked("it refuses to answer"),
        // DuckDuckGo's status of a captcha; no engine queues searches.
        202 => blocked("it asks for a captcha"),
        status if !(200..300).contains(&status) => Err(SearchError::Failed(format!("HTTP status {status}"))),
        _ => Ok(()),
    }
}
