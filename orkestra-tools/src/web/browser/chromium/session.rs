//! One page in one Chromium.

use std::time::Duration;

use async_trait::async_trait;
use chromiumoxide::cdp::browser_protocol::browser::{SetDownloadBehaviorBehavior, SetDownloadBehaviorParams};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::handler::HandlerConfig;
use chromiumoxide::handler::viewport::Viewport;
use chromiumoxide::page::ScreenshotParams;
use chromiumoxide::{Browser, Page};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use url::Url;

use super::process::Process;
use super::proxy::Proxy;
use crate::limits::{BROWSER_POLL, BROWSER_SETTLE, FETCH_BYTES_MAX, FETCH_TIMEOUT};
use crate::web::browser::{BrowserError, BrowserSession, PageView};
use crate::web::guard::Guard;
use crate::web::page::parsed;
use crate::web::untrusted::one_line;

pub(super) struct Session {
    guard: Guard,
    page: Page,
    is_open: bool,
    handler: JoinHandle<()>,
    // In this order: the browser's connection, its process, and the proxy that it uses.
    _browser: Browser,
    _process: Process,
    proxy: Proxy,
}

impl Session {
    pub(super) async fn connect(guard: Guard, process: Process, proxy: Proxy) -> Result<Self, String> {
        let viewport = Viewport { width: 1280, height: 900, ..Viewport::default() };
        let config = HandlerConfig {
            ignore_https_errors: false,
            viewport: Some(viewport),
            request_timeout: FETCH_TIMEOUT,
            ..HandlerConfig::default()
        };
        let (browser, mut events) =
            Browser::connect_with_config(process.address.clone(), config).await.map_err(|error| error.to_string())?;
        let handler = tokio::spawn(async move { while events.next().await.is_some() {} });
        let opened = async {
            let deny = SetDownloadBehaviorParams::builder().behavior(SetDownloadBehaviorBehavior::Deny).build()?;
            browser.execute(deny).await.map_err(|error| error.to_string())?;
            browser.new_page("about:blank").await.map_err(|error| error.to_string())
        };
        match opened.await {
            Ok(page) => Ok(Self { guard, page, is_open: false, handler, _browser: browser, _process: process, proxy }),
            Err(error) => {
                handler.abort();
                Err(error)
            }
        }
    }

    /// The page as text. A page that left the web is closed.
    async fn view(&mut self) -> Result<PageView, BrowserError> {
        let Snapshot { url: address, html, .. } = self.snapshot().await?;
        if let Some(refusal) = Url::parse(&address).ok().and_then(|url| self.proxy.refusal_of(&url)) {
            self.is_open = false;
            return Err(refusal.into());
        }
        let Ok(url) = self.guard.parse(&address) else {
            self.is_open = false;
            within(self.page.goto("about:blank")).await?;
            return Err(BrowserError::Unsupported(format!(
                "the page left for `{}`, which may not be read",
                one_line(&address, 100)
            )));
        };
        let is_cut_by_size = html.len() >= FETCH_BYTES_MAX;
        let (title, rendered, is_cut) =
            parsed(html, url, |page| (page.title(), page.render(), page.is_cut)).await.map_err(BrowserError::Failed)?;
        let mut view =
            PageView { url: address, title, text: rendered.text, links: rendered.links, ..PageView::default() };
        view.ran_scripts = true;
        if is_cut || is_cut_by_size {
            view.notes.push("The page is too large or too complex and was cut.".to_owned());
        }
        if rendered.links_cut > 0 {
            view.notes.push(format!("{} more links are not listed.", rendered.links_cut));
        }
        Ok(view)
    }

    /// Address and source of one document. Asks again while pages change, which ends what is being evaluated.
    async fn snapshot(&self) -> Result<Snapshot, BrowserError> {
        let until = Instant::now() + BROWSER_SETTLE;
        loop {
            let snapshot = within(self.page.evaluate_expression(source())).await;
            let snapshot = snapshot.and_then(|value| value.into_value::<Snapshot>().map_err(|error| failed(&error)));
            match snapshot {
                Ok(snapshot) if snapshot.is_loaded || Instant::now() > until => return Ok(snapshot),
                Err(error) if Instant::now() > until => return Err(error),
                _ => tokio::time::sleep(BROWSER_POLL).await,
            }
        }
    }
}

/// What [`source`] returns.
#[derive(Debug, Deserialize)]
struct Snapshot {
    url: String,
    html: String,
    is_loaded: bool,
}

#[async_trait]
impl BrowserSession for Session {
    async fn navigate(&mut self, url: &str) -> Result<PageView, BrowserError> {
        let url = self.guard.parse(url)?;
        self.proxy.forget();
        let gone = within(self.page.goto(url.as_str())).await.map(|_| ());
        // A refused tunnel is an error of the browser, which does not say why.
        if let Some(refusal) = self.proxy.refusal_of(&url) {
            return Err(refusal.into());
        }
        gone?;
        self.is_open = true;
        self.view().await
    }

    async fn content(&mut self) -> Result<PageView, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        self.view().await
    }

    async fn click(&mut self, selector: &str) -> Result<PageView, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        let found = match selector.strip_prefix("text=") {
            Some(text) => within(self.page.find_xpath(by_text(text))).await,
            None => within(self.page.find_element(selector)).await,
        };
        let element = found.map_err(|_| BrowserError::NotFound(one_line(selector, 100)))?;
        self.proxy.forget();
        within(element.click()).await?;
        // A page that the click opens begins to load.
        tokio::time::sleep(BROWSER_POLL).await;
        self.view().await
    }

    async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        within(self.page.screenshot(ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build())).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handler.abort();
    }
}

/// The address and the document without `noscript`, which is text when scripts run.
fn source() -> String {
    format!(
        "(() => {{ const copy = document.documentElement.cloneNode(true); \
         copy.querySelectorAll('noscript').forEach(element => element.remove()); \
         return {{url: location.href, html: copy.outerHTML.slice(0, {FETCH_BYTES_MAX}), is_loaded: document.readyState === 'complete'}}; }})()"
    )
}

fn by_text(text: &str) -> String {
    let text = text.trim().trim_matches(['"', '\'']);
    let quoted = if text.contains('"') { format!("'{}'", text.replace('\'', "")) } else { format!("\"{text}\"") };
    format!("//*[self::a or self::button][contains(normalize-space(.), {quoted})]")
}

async fn within<T>(work: impl Future<Output = chromiumoxide::error::Result<T>>) -> Result<T, BrowserError> {
    let done = timeout(FETCH_TIMEOUT + Duration::from_secs(5), work).await;
    done.map_err(|_| BrowserError::Failed("it does not answer".to_owned()))?.map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> BrowserError {
    BrowserError::Failed(one_line(&error.to_string(), 200))
}
