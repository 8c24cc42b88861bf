//! DuckDuckGo without a key: its page for browsers without scripts, and its smaller one.
//!
//! Both are pages for people. What they look like may change: then the engine fails with `cannot be read`, and never with no results.

use std::sync::Arc;

use async_trait::async_trait;
use scraper::{ElementRef, Selector};
use url::Url;

use super::{SearchEngine, SearchError, SearchResult, check_status};
use crate::web::client::Fetch;
use crate::web::fetch::FetchRequest;
use crate::web::page::{Page, first, parsed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Lite,
}

/// DuckDuckGo, by one of its two pages.
#[derive(Clone)]
pub struct DuckDuckGo {
    client: Arc<dyn Fetch>,
    base: String,
    form: Form,
}

impl DuckDuckGo {
    /// The page for browsers without scripts.
    #[must_use]
    pub fn html(client: Arc<dyn Fetch>) -> Self {
        Self { client, base: "https://html.duckduckgo.com/html/".to_owned(), form: Form::Html }
    }

    /// The smaller page, which is often still available when the other one is not.
    #[must_use]
    pub fn lite(client: Arc<dyn Fetch>) -> Self {
        Self { client, base: "https://lite.duckduckgo.com/lite/".to_owned(), form: Form::Lite }
    }

    /// Replaces the address of the page.
    #[must_use]
    pub fn with_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }
}

#[async_trait]
impl SearchEngine for DuckDuckGo {
    fn name(&self) -> &str {
        match self.form {
            Form::Html => "DuckDuckGo",
            Form::Lite => "DuckDuckGo Lite",
        }
    }

    async fn search(&self, query: &str) -> Result<Vec<SearchResult>, SearchError> {
        let invalid = |error| SearchError::Failed(format!("its address is not valid: {error}"));
        let mut url = Url::parse(&self.base).map_err(invalid)?;
        url.query_pairs_mut().append_pair("q", query);
        let response = self.client.fetch(FetchRequest::get(url.clone())).await?;
        check_status(&response)?;
        let form = self.form;
        parsed(response.text(), url, move |page| read(page, form)).await.map_err(SearchError::Failed)?
    }
}

fn read(page: &Page, form: Form) -> Result<Vec<SearchResult>, SearchError> {
    let results = match form {
        Form::Html => from_html(page),
        Form::Lite => from_lite(page),
    };
    if !results.is_empty() {
        return Ok(results);
    }
    // Before the text of no results: a page of a captcha has both.
    if first(&page.html, "#challenge-form, .anomaly-modal__title, .anomaly-modal__modal, script[src*='anomaly.js']")
        .is_some()
    {
        return Err(SearchError::Blocked { reason: "it asks for a captcha".to_owned(), retry_after: None });
    }
    let says_none = first(&page.html, ".no-results").is_some() || page.render().text.contains("No results");
    if says_none { Ok(results) } else { Err(SearchError::Failed("its answer cannot be read".to_owned())) }
}

fn from_html(page: &Page) -> Vec<SearchResult> {
    let result = |result: ElementRef<'_>| {
        let link = below(result, "a.result__a")?;
        let snippet = below(result, ".result__snippet").map(text).unwrap_or_default();
        SearchResult::new(&text(link), &target(page, link)?, &snippet)
    };
    page.html.select(&ours(".result:not(.result--ad)")).filter_map(result).collect()
}

/// Rows of one table: a link, then its snippet.
fn from_lite(page: &Page) -> Vec<SearchResult> {
    let mut results: Vec<SearchResult> = Vec::new();
    let mut is_open = false;
    for element in page.html.select(&ours("tr:not(.result-sponsored) a.result-link, tr td.result-snippet")) {
        if element.value().name() == "a" {
            let result = target(page, element).and_then(|url| SearchResult::new(&text(element), &url, ""));
            is_open = result.is_some();
            results.extend(result);
        } else if let Some(last) = results.last_mut().filter(|_| is_open) {
            let with_snippet = SearchResult::new(&last.title, &last.url, &text(element));
            is_open = false;
            if let Some(result) = with_snippet {
                *last = result;
            }
        }
    }
    results
}

/// Where a result leads: DuckDuckGo's own links carry the address in `uddg`; those of advertisers are dropped.
fn target(page: &Page, link: ElementRef<'_>) -> Option<String> {
    let url = page.target(link.attr("href")?)?;
    let is_own = url.host_str().is_some_and(|host| host == "duckduckgo.com" || host.ends_with(".duckduckgo.com"));
    let carried = url.query_pairs().find(|(key, _)| key == "uddg").map(|(_, value)| value.into_owned());
    match carried {
        Some(carried) if url.path() == "/l/" => Some(carried).filter(|url| !url.contains("duckduckgo.com/y.js")),
        _ if is_own && url.path() == "/y.js" => None,
        _ => Some(url.into()),
    }
}

fn ours(selector: &str) -> Selector {
    Selector::parse(selector).expect("a selector of ours is valid")
}

fn below<'page>(element: ElementRef<'page>, selector: &str) -> Option<ElementRef<'page>> {
    element.select(&ours(selector)).next()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect()
}
