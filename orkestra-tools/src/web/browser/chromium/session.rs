//! One page in one Chromium. Whatever the page does, each call ends in bounded time: a page that does not answer loses its browser.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chromiumoxide::cdp::browser_protocol::browser::{SetDownloadBehaviorBehavior, SetDownloadBehaviorParams};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::browser_protocol::target::CloseTargetParams;
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::error::CdpError;
use chromiumoxide::handler::HandlerConfig;
use chromiumoxide::handler::viewport::Viewport;
use chromiumoxide::page::ScreenshotParams;
use chromiumoxide::{Browser, Page};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use url::Url;

use super::ChromiumOptions;
use super::bridge::Bridge;
use super::process::Process;
use super::watch::Watch;
use crate::limits::{BROWSER_POLL, BROWSER_SETTLE, FETCH_BYTES_MAX, FETCH_TIMEOUT, MACHINERY_TIMEOUT};
use crate::sandbox::Sandbox;
use crate::web::browser::proxy::Proxy;
use crate::web::browser::{BrowserError, BrowserSession, PageView};
use crate::web::page::parsed;
use crate::web::reach::Reach;
use crate::web::untrusted::{clean, one_line};

pub(super) struct Session {
    connected: Connected,
    is_open: bool,
    _process: Process,
}

/// A session without its process. Fields are dropped in order: the browser's connection first, the proxy that it uses last.
pub(super) struct Connected {
    page: Page,
    watch: Watch,
    handler: JoinHandle<()>,
    /// Whether the library still waits for a navigation of this page, and would not begin another.
    is_waiting: bool,
    browser: Arc<Browser>,
    bridge: Arc<Bridge>,
    reach: Reach,
    proxy: Proxy,
    load_time: Duration,
    answer_time: Duration,
}

impl Session {
    pub(super) async fn connect(
        options: &ChromiumOptions,
        reach: Reach,
        bridge: Bridge,
        proxy: Proxy,
    ) -> Result<Connected, String> {
        let viewport = Viewport { width: 1280, height: 900, ..Viewport::default() };
        let config = HandlerConfig {
            ignore_https_errors: false,
            viewport: Some(viewport),
            request_timeout: FETCH_TIMEOUT,
            ..HandlerConfig::default()
        };
        let connecting = Browser::connect_with_config(bridge.address.clone(), config);
        let connected = timeout(MACHINERY_TIMEOUT, connecting).await.map_err(|_| "it does not answer".to_owned())?;
        let (browser, mut events) = connected.map_err(|error| error.to_string())?;
        let browser = Arc::new(browser);
        let handler = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // Other errors are messages that this version of the library does not know.
                if matches!(event, Err(CdpError::Ws(_) | CdpError::Io(_))) {
                    return;
                }
            }
        });
        let opened = async {
            let deny =
                SetDownloadBehaviorParams::builder().behavior(SetDownloadBehaviorBehavior::Deny).events_enabled(true);
            let deny = deny.build();
            browser.execute(deny.map_err(CdpError::msg)?).await?;
            let page = browser.new_page("about:blank").await?;
            let watch = Watch::start(&browser, &page).await?;
            Ok::<_, CdpError>((page, watch))
        };
        let opened = async {
            tokio::select! {
                opened = opened => opened,
                () = bridge.ended() => Err(CdpError::msg("it ended")),
            }
        };
        match timeout(MACHINERY_TIMEOUT, opened).await {
            Ok(Ok((page, watch))) => Ok(Connected {
                page,
                watch,
                handler,
                is_waiting: false,
                browser,
                bridge: Arc::new(bridge),
                reach,
                proxy,
                load_time: options.load_time,
                answer_time: options.answer_time,
            }),
            Ok(Err(error)) => {
                handler.abort();
                Err(error.to_string())
            }
            Err(_) => {
                handler.abort();
                Err("it does not answer".to_owned())
            }
        }
    }

    /// The page as text. A page that left the web is closed.
    async fn view(&mut self) -> Result<PageView, BrowserError> {
        let Snapshot { url: address, html, .. } = self.connected.snapshot().await?;
        if let Some(refusal) = Url::parse(&address).ok().and_then(|url| self.connected.proxy.refusal_of(&url)) {
            self.is_open = false;
            return Err(refusal.into());
        }
        let Ok(url) = self.connected.reach.parse(&address) else {
            self.is_open = false;
            self.connected.leave().await?;
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
        for seen in self.connected.watch.take() {
            view.text.push_str(&format!("\n\n{}", clean(&seen)));
        }
        if is_cut || is_cut_by_size {
            view.notes.push("The page is too large or too complex and was cut.".to_owned());
        }
        if rendered.links_cut > 0 {
            view.notes.push(format!("{} more links are not listed.", rendered.links_cut));
        }
        Ok(view)
    }

    async fn go(&mut self, url: &str) -> Result<PageView, BrowserError> {
        let url = self.connected.reach.parse(url)?;
        if self.connected.is_waiting {
            self.connected.renew_page().await?;
        }
        self.connected.proxy.forget();
        self.connected.watch.take();
        let before = self.connected.document().await?;
        let gone = async {
            tokio::select! {
                gone = timeout(self.connected.load_time, self.connected.page.goto(url.as_str())) => Some(gone),
                () = self.connected.watch.download() => None,
            }
        };
        let gone = gone.await;
        self.connected.is_waiting = matches!(gone, None | Some(Err(_)));
        let Some(gone) = gone else { return Err(no_page()) };
        // A refused tunnel is an error of the browser, which does not say why.
        if let Some(refusal) = self.connected.proxy.refusal_of(&url) {
            self.is_open = false;
            return Err(refusal.into());
        }
        match gone {
            Ok(Ok(_)) => {
                self.is_open = true;
                self.view().await
            }
            Ok(Err(error)) if error.to_string().contains("ERR_ABORTED") => Err(no_page()),
            Ok(Err(error)) => {
                self.is_open = false;
                Err(failed(&error))
            }
            // The page that was open is open still.
            Err(_) if self.connected.document().await? == before => Err(no_page()),
            Err(_) => {
                self.is_open = true;
                let mut view = self.view().await?;
                let waited = self.connected.load_time.as_secs_f32();
                view.notes.insert(0, format!("The page was still loading after {waited} s and is shown as it is."));
                Ok(view)
            }
        }
    }

    async fn press(&mut self, selector: &str) -> Result<PageView, BrowserError> {
        let connected = &self.connected;
        let shown = one_line(selector, 100);
        let search = async {
            match selector.strip_prefix("text=") {
                Some(text) => connected.page.find_xpath(by_text(text)).await,
                None => connected.page.find_element(selector).await,
            }
        };
        let found = timeout(connected.answer_time, search).await.map_err(|_| silent())?;
        let element = found.map_err(|error| lost(&error).unwrap_or(BrowserError::NotFound(shown.clone())))?;
        connected.proxy.forget();
        connected.watch.take();
        let clicked = timeout(connected.answer_time, element.click()).await.map_err(|_| silent())?;
        clicked.map_err(|error| {
            let hidden = || {
                BrowserError::Unsupported(format!(
                    "cannot click `{shown}`: it is hidden or covered; use another element, or open its address with browser_navigate"
                ))
            };
            lost(&error).unwrap_or_else(hidden)
        })?;
        // A page that the click opens begins to load.
        tokio::time::sleep(BROWSER_POLL).await;
        self.view().await
    }

    async fn picture(&mut self) -> Result<Vec<u8>, BrowserError> {
        let params = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
        let made = timeout(self.connected.load_time, self.connected.page.screenshot(params)).await;
        made.map_err(|_| silent())?.map_err(|error| failed(&error))
    }
}

impl Connected {
    pub(super) fn with(self, process: Process) -> Session {
        Session { connected: self, is_open: false, _process: process }
    }

    /// Replaces the page by an empty one in the same browser.
    async fn renew_page(&mut self) -> Result<(), BrowserError> {
        self.watch.stop();
        let replacing = async {
            let page = self.browser.new_page("about:blank").await?;
            let watch = Watch::start(&self.browser, &page).await?;
            let before = std::mem::replace(&mut self.page, page);
            self.watch = watch;
            self.is_waiting = false;
            self.browser.execute(CloseTargetParams::new(before.target_id().clone())).await?;
            Ok(())
        };
        timeout(MACHINERY_TIMEOUT, replacing).await.map_err(|_| silent())?.map_err(|error: CdpError| failed(&error))
    }

    async fn leave(&self) -> Result<(), BrowserError> {
        let left = timeout(self.answer_time, self.page.goto("about:blank")).await.map_err(|_| silent())?;
        left.map(|_| ()).map_err(|error| failed(&error))
    }

    /// Address and source of one document. Asks again while pages change, which ends what is being evaluated.
    async fn snapshot(&self) -> Result<Snapshot, BrowserError> {
        let until = Instant::now() + BROWSER_SETTLE.min(self.load_time);
        loop {
            let asked = timeout(self.answer_time, self.ask()).await.map_err(|_| silent())?;
            match asked {
                Ok(Some(snapshot)) if snapshot.is_loaded || Instant::now() > until => return Ok(snapshot),
                Err(error) if Instant::now() > until => return Err(failed(&error)),
                Ok(None) if Instant::now() > until => {
                    return Err(BrowserError::Failed("the page keeps changing".to_owned()));
                }
                _ => tokio::time::sleep(BROWSER_POLL).await,
            }
        }
    }

    /// What tells one document from another: the moment at which it began.
    async fn document(&self) -> Result<Option<f64>, BrowserError> {
        let began = async {
            let began = self.page.evaluate_expression("performance.timeOrigin").await?;
            Ok::<_, CdpError>(began.into_value().ok())
        };
        timeout(self.answer_time, began).await.map_err(|_| silent())?.map_err(|error| failed(&error))
    }

    /// Asks in a world of its own, in which the page's scripts have changed no function. `None` between two pages.
    async fn ask(&self) -> Result<Option<Snapshot>, CdpError> {
        let Some(world) = self.page.secondary_execution_context().await? else { return Ok(None) };
        let expression = EvaluateParams::builder().expression(source()).context_id(world).return_by_value(true);
        let value = self.page.evaluate_expression(expression.build().map_err(CdpError::msg)?).await?;
        Ok(value.into_value().ok())
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
    fn renew(&mut self, sandbox: &Arc<dyn Sandbox>) {
        self.connected.reach.renew(sandbox);
    }

    async fn navigate(&mut self, url: &str) -> Result<PageView, BrowserError> {
        let bridge = Arc::clone(&self.connected.bridge);
        unless_ended(&bridge, self.go(url)).await
    }

    async fn content(&mut self) -> Result<PageView, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        let bridge = Arc::clone(&self.connected.bridge);
        unless_ended(&bridge, self.view()).await
    }

    async fn click(&mut self, selector: &str) -> Result<PageView, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        let bridge = Arc::clone(&self.connected.bridge);
        unless_ended(&bridge, self.press(selector)).await
    }

    async fn screenshot(&mut self) -> Result<Vec<u8>, BrowserError> {
        if !self.is_open {
            return Err(BrowserError::NoPage);
        }
        let bridge = Arc::clone(&self.connected.bridge);
        unless_ended(&bridge, self.picture()).await
    }
}

impl Drop for Connected {
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

/// Does something with Chromium as long as it runs.
async fn unless_ended<T>(
    bridge: &Bridge,
    work: impl Future<Output = Result<T, BrowserError>>,
) -> Result<T, BrowserError> {
    tokio::select! {
        done = work => done,
        () = bridge.ended() => {
            Err(BrowserError::Lost("Chromium ended unexpectedly, perhaps for lack of memory".to_owned()))
        }
    }
}

fn no_page() -> BrowserError {
    BrowserError::Unsupported(
        "there is no page at this address: it is a download, which this browser does not keep, or the answer is empty; use another \
         page, or a command in the sandbox for a file"
            .to_owned(),
    )
}

/// A page that keeps its browser busy.
fn silent() -> BrowserError {
    BrowserError::Lost("the page does not answer: a script of it may never end, or it is far too large".to_owned())
}

/// The connection to Chromium is gone.
fn lost(error: &CdpError) -> Option<BrowserError> {
    let is_gone = matches!(
        error,
        CdpError::Ws(_) | CdpError::Io(_) | CdpError::NoResponse | CdpError::Timeout | CdpError::ChannelSendError(_)
    );
    is_gone.then(|| BrowserError::Lost("Chromium ended or does not answer".to_owned()))
}

fn failed(error: &CdpError) -> BrowserError {
    lost(error).unwrap_or_else(|| BrowserError::Failed(one_line(&error.to_string(), 200)))
}
