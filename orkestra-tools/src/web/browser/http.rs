//! The browser without a browser: pages over the guarded client, as readable text. No script runs.

use std::sync::Arc;

use async_trait::async_trait;
use scraper::ElementRef;
use tokio::net::TcpListener;
use url::Url;

use super::proxy::{Proxy, token};
use super::{Browser, BrowserError, BrowserSession, PageView};
use crate::limits::FETCH_BYTES_MAX;
use crate::sandbox::Sandbox;
use crate::web::client::{Fetch as _, GuardedClient};
use crate::web::error::FetchError;
use crate::web::fetch::{FetchRequest, FetchResponse};
use crate::web::guard::Guard;
use crate::web::page::{Page, parsed};
use crate::web::reach::Reach;
use crate::web::untrusted::{clean, one_line};

const NEEDS_BROWSER: &str = "it needs the real browser, which the operator can switch on (PLAYWRIGHT_ENABLED=1)";

/// Fetches pages over HTTP and shows their text. Runs no scripts, sends no forms, makes no pictures, and says so.
#[derive(Debug, Clone)]
pub struct HttpBrowser {
    guard: Guard,
}

impl HttpBrowser {
    /// A browser with the guard of this client.
    #[must_use]
    pub fn new(client: &GuardedClient) -> Self {
        Self { guard: client.guard().clone() }
    }
}

#[async_trait]
impl Browser for HttpBrowser {
    async fn session(&self, sandbox: &Arc<dyn Sandbox>) -> Result<Box<dyn BrowserSession>, BrowserError> {
        let reach = Reach::new(&self.guard, sandbox);
        let failed = |error: std::io::Error| BrowserError::Failed(format!("cannot start its proxy: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = format!("http://{}", listener.local_addr().map_err(failed)?);
        let token = token().map_err(failed)?;
        let client = GuardedClient::through(reach.url_guard(), &address, &token)?;
        let proxy = Proxy::serve(listener, reach.clone(), Some(&token));
        Ok(Box::new(Session { client, proxy, reach, open: None }))
    }
}

struct Session {
    client: GuardedClient,
    proxy: Proxy,
    reach: Reach,
    open: Option<Open>,
}

impl Session {
    /// Fetches through the proxy. Why the proxy refused is told instead of its answer or of a broken connection.
    async fn fetch(&self, url: &str) -> Result<FetchResponse, BrowserError> {
        self.proxy.forget();
        let fetched = self.client.fetch(FetchRequest::get(url)).await;
        let refusal = match &fetched {
            Ok(response) => Url::parse(&response.url).ok().and_then(|url| self.proxy.refusal_of(&url)),
            Err(FetchError::Unreachable { host, .. } | FetchError::TimedOut { host, .. }) => {
                self.proxy.refusal_of_host(host)
            }
            Err(_) => None,
        };
        refusal.map_or(fetched, Err).map_err(BrowserError::from)
    }
}

struct Open {
    view: PageView,
    /// The source, parsed again for each click: a tree would take ten times its size.
    html: String,
}

/// What a click means.
enum Target {
    Link(Url),
    SamePage,
    Script,
    /// The name of an element that is not a link.
    Other(String),
}

#[async_trait]
impl BrowserSession for Session {
    fn renew(&mut self, sandbox: &Arc<dyn Sandbox>) {
        self.reach.renew(sandbox);
    }

    async fn navigate(&mut self, url: &str) -> Result<PageView, BrowserError> {
        let response = self.fetch(url).await?;
        let opened = open(response).await?;
        let view = opened.view.clone();
        self.open = Some(opened);
        Ok(view)
    }

    async fn content(&mut self) -> Result<PageView, BrowserError> {
        self.open.as_ref().map(|open| open.view.clone()).ok_or(BrowserError::NoPage)
    }

    async fn click(&mut self, selector: &str) -> Result<PageView, BrowserError> {
        let open = self.open.as_ref().ok_or(BrowserError::NoPage)?;
        let (html, wanted) = (open.html.clone(), selector.to_owned());
        let found = parsed(html, address(&open.view.url)?, move |page| target(page, &wanted)).await;
        let shown = one_line(selector, 100);
        let unsupported = |what: &str| BrowserError::Unsupported(format!("cannot click `{shown}`: {what}"));
        match found.map_err(BrowserError::Failed)?.map_err(|error| BrowserError::Selector(one_line(&error, 200)))? {
            None => Err(BrowserError::NotFound(shown)),
            Some(Target::Link(url)) => self.navigate(url.as_str()).await,
            Some(Target::SamePage) => {
                Err(unsupported("the link leads to another place of the same page, whose text you have"))
            }
            Some(Target::Script) => Err(unsupported(&format!("the link runs a script; {NEEDS_BROWSER}"))),
            Some(Target::Other(name)) => Err(unsupported(&format!(
                "<{name}> is not a link; without a browser only links can be clicked, and {NEEDS_BROWSER}"
            ))),
        }
    }

    async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError> {
        let text =
            format!("cannot make a screenshot: {NEEDS_BROWSER}; use browser_get_content for the text of the page");
        Err(BrowserError::Unsupported(text))
    }
}

/// The element itself, the link around it, or the only link in it.
fn target(page: &Page, selector: &str) -> Result<Option<Target>, String> {
    let Some(element) = page.find(selector)? else { return Ok(None) };
    let is_link = |element: &ElementRef<'_>| element.value().name() == "a" && element.attr("href").is_some();
    let around = || element.ancestors().filter_map(ElementRef::wrap).find(is_link);
    let inside = || {
        let mut links = element.descendants().filter_map(ElementRef::wrap).filter(is_link);
        links.next().filter(|_| links.next().is_none())
    };
    let link = Some(element).filter(is_link).or_else(around).or_else(inside);
    let Some(href) = link.as_ref().and_then(|link| link.attr("href")) else {
        return Ok(Some(Target::Other(one_line(element.value().name(), 30))));
    };
    if href.trim_start().starts_with('#') {
        return Ok(Some(Target::SamePage));
    }
    Ok(Some(page.target(href).map_or(Target::Script, Target::Link)))
}

async fn open(response: FetchResponse) -> Result<Open, BrowserError> {
    let mut view = PageView { url: response.url.clone(), status: Some(response.status), ..PageView::default() };
    if !response.is_success() {
        view.notes.push(format!("The server answered with HTTP status {}.", response.status));
    }
    if !response.is_complete {
        view.notes.push(format!("The page is larger than {} MB and was cut.", FETCH_BYTES_MAX / 1024 / 1024));
    }
    let media_type = response.media_type();
    let text = response.text();
    if is_html(&media_type, &text) {
        view.notes.push("No JavaScript ran: what scripts would add to the page is missing.".to_owned());
        let html = text.clone();
        let (title, rendered, is_cut) =
            parsed(text, address(&view.url)?, |page| (page.title(), page.render(), page.is_cut))
                .await
                .map_err(BrowserError::Failed)?;
        if is_cut {
            view.notes.push("The page is too complex and was cut.".to_owned());
        }
        if rendered.links_cut > 0 {
            view.notes.push(format!("{} more links are not listed.", rendered.links_cut));
        }
        (view.title, view.text, view.links) = (title, rendered.text, rendered.links);
        return Ok(Open { view, html });
    }
    if is_text(&media_type, &response.body) {
        view.text = clean(&text);
    } else {
        // The server chooses it, and it is shown outside of the fence: only what looks like a type.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '+' | '-');
        let is_shown = (1..=80).contains(&media_type.len()) && media_type.chars().all(is_plain);
        let kind = if is_shown { &media_type } else { "of unknown type" };
        view.notes.push(format!("It is not text but {kind} ({} bytes), which is not shown.", response.body.len()));
    }
    Ok(Open { view, html: String::new() })
}

fn is_html(media_type: &str, text: &str) -> bool {
    let looks_so = || text.trim_start().starts_with('<') && !text.contains('\0');
    matches!(media_type, "text/html" | "application/xhtml+xml") || (media_type.is_empty() && looks_so())
}

fn is_text(media_type: &str, body: &[u8]) -> bool {
    const TYPES: [&str; 6] = ["json", "xml", "javascript", "yaml", "toml", "x-sh"];
    let is_declared = media_type.starts_with("text/") || TYPES.iter().any(|kind| media_type.ends_with(kind));
    (is_declared || media_type.is_empty() || media_type == "application/octet-stream")
        && !body.contains(&0)
        && (is_declared || std::str::from_utf8(body).is_ok())
}

fn address(url: &str) -> Result<Url, BrowserError> {
    Url::parse(url).map_err(|error| BrowserError::Failed(error.to_string()))
}
