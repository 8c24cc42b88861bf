//! Search engines with a JSON API: SearXNG, and two with a key.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::{SearchEngine, SearchError, SearchResult, check_status};
use crate::limits::SEARCH_RESULTS_MAX;
use crate::web::client::Fetch;
use crate::web::fetch::{FetchRequest, FetchResponse};

/// A SearXNG, usually the operator's own: give it a client whose policy lets its host be private.
#[derive(Clone)]
pub struct Searxng {
    client: Arc<dyn Fetch>,
    base: String,
}

impl Searxng {
    /// The SearXNG at this address, such as `http://searxng.internal:8080`. Its settings must list `json` in `search.formats`.
    #[must_use]
    pub fn new(client: Arc<dyn Fetch>, base: impl Into<String>) -> Self {
        Self { client, base: base.into() }
    }
}

#[async_trait]
impl SearchEngine for Searxng {
    fn name(&self) -> &str {
        "SearXNG"
    }

    async fn search(&self, query: &str) -> Result<Vec<SearchResult>, SearchError> {
        let url =
            with_query(&format!("{}/search", self.base.trim_end_matches('/')), &[("q", query), ("format", "json")])?;
        let response = self.client.fetch(FetchRequest::get(url)).await?;
        if response.status == 403 {
            let reason =
                "it does not answer in JSON (HTTP status 403): its settings must list `json` in search.formats";
            return Err(SearchError::Blocked { reason: reason.to_owned(), retry_after: None });
        }
        results(&response, &["results"], "content")
    }
}

/// Brave's search API.
#[derive(Clone)]
pub struct Brave {
    client: Arc<dyn Fetch>,
    base: String,
    key: String,
}

impl Brave {
    /// With this key.
    #[must_use]
    pub fn new(client: Arc<dyn Fetch>, key: impl Into<String>) -> Self {
        Self { client, base: "https://api.search.brave.com".to_owned(), key: key.into() }
    }

    /// Replaces the address of the API.
    #[must_use]
    pub fn with_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }
}

#[async_trait]
impl SearchEngine for Brave {
    fn name(&self) -> &str {
        "Brave"
    }

    async fn search(&self, query: &str) -> Result<Vec<SearchResult>, SearchError> {
        let count = SEARCH_RESULTS_MAX.to_string();
        let url = with_query(&format!("{}/res/v1/web/search", self.base), &[("q", query), ("count", &count)])?;
        let request = FetchRequest::get(url).with_header("accept", "application/json");
        let response = self.client.fetch(request.with_header("x-subscription-token", &self.key)).await?;
        results(&response, &["web", "results"], "description")
    }
}

/// Tavily's search API.
#[derive(Clone)]
pub struct Tavily {
    client: Arc<dyn Fetch>,
    base: String,
    key: String,
}

impl Tavily {
    /// With this key.
    #[must_use]
    pub fn new(client: Arc<dyn Fetch>, key: impl Into<String>) -> Self {
        Self { client, base: "https://api.tavily.com".to_owned(), key: key.into() }
    }

    /// Replaces the address of the API.
    #[must_use]
    pub fn with_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }
}

#[async_trait]
impl SearchEngine for Tavily {
    fn name(&self) -> &str {
        "Tavily"
    }

    async fn search(&self, query: &str) -> Result<Vec<SearchResult>, SearchError> {
        let body = json!({"query": query, "max_results": SEARCH_RESULTS_MAX});
        let request = FetchRequest::post_json(format!("{}/search", self.base), &body);
        let response = self.client.fetch(request.with_header("authorization", format!("Bearer {}", self.key))).await?;
        results(&response, &["results"], "content")
    }
}

fn with_query(url: &str, pairs: &[(&str, &str)]) -> Result<Url, SearchError> {
    Url::parse_with_params(url, pairs)
        .map_err(|error| SearchError::Failed(format!("its address is not valid: {error}")))
}

/// The results in the array at this path of the answer.
fn results(response: &FetchResponse, path: &[&str], snippet: &str) -> Result<Vec<SearchResult>, SearchError> {
    check_status(response)?;
    let unreadable = || SearchError::Failed("its answer cannot be read".to_owned());
    let answer: Value = serde_json::from_slice(&response.body).map_err(|_| unreadable())?;
    let list = path.iter().try_fold(&answer, |value, key| value.get(key));
    // Brave leaves `web` out when there are no results.
    let Some(list) = list else { return if answer["type"] == "search" { Ok(Vec::new()) } else { Err(unreadable()) } };
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let result = |entry: &Value| {
        SearchResult::new(
            &without_tags(&text(entry, "title")),
            &text(entry, "url"),
            &without_tags(&text(entry, snippet)),
        )
    };
    Ok(list.as_array().ok_or_else(unreadable)?.iter().filter_map(result).collect())
}

/// Brave marks words with `<strong>`, and escapes the rest.
fn without_tags(text: &str) -> String {
    const TAGS: [&str; 4] = ["<strong>", "</strong>", "<b>", "</b>"];
    let text = TAGS.iter().fold(text.to_owned(), |text, tag| text.replace(tag, ""));
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}
