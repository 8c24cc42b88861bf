//! What a page does on its own that would stop it or lead away from it: dialogs are answered, other windows are closed. Both are
//! told to the reader of the page.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chromiumoxide::cdp::browser_protocol::browser::EventDownloadWillBegin;
use chromiumoxide::cdp::browser_protocol::page::{
    DialogType, EventJavascriptDialogOpening, EventWindowOpen, HandleJavaScriptDialogParams,
};
use chromiumoxide::cdp::browser_protocol::target::{CloseTargetParams, EventTargetCreated};
use chromiumoxide::error::Result;
use chromiumoxide::{Browser, Page};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::web::one_line;

/// What is kept until the page is read next.
const SEEN_MAX: usize = 5;
/// Longest text of a dialog that is shown, bytes.
const TEXT_BYTES_MAX: usize = 300;

/// The tasks that watch one page, and what they saw. Dropping it ends them.
pub(super) struct Watch {
    seen: Arc<Mutex<VecDeque<String>>>,
    download: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(super) async fn start(browser: &Arc<Browser>, page: &Page) -> Result<Self> {
        let seen = Arc::<Mutex<VecDeque<String>>>::default();
        let mut dialogs = page.event_listener::<EventJavascriptDialogOpening>().await?;
        let mut windows = page.event_listener::<EventWindowOpen>().await?;
        let mut targets = browser.event_listener::<EventTargetCreated>().await?;
        let mut downloads = browser.event_listener::<EventDownloadWillBegin>().await?;
        let download = Arc::new(Notify::new());
        let (of_dialogs, of_windows, for_dialogs) = (seen.clone(), seen.clone(), page.clone());
        let dialogs = tokio::spawn(async move {
            while let Some(dialog) = dialogs.next().await {
                let is_leaving = dialog.r#type == DialogType::Beforeunload;
                // "Leave the page?" yes; everything else is cancelled.
                let _ = for_dialogs.execute(HandleJavaScriptDialogParams::new(is_leaving)).await;
                if !is_leaving {
                    let text = one_line(&dialog.message, TEXT_BYTES_MAX);
                    note(&of_dialogs, format!("[a dialog of the page, which was closed: {text}]"));
                }
            }
        });
        let windows = tokio::spawn(async move {
            while let Some(window) = windows.next().await {
                let url = one_line(&window.url, TEXT_BYTES_MAX);
                note(&of_windows, format!("[the page opened another window, which was closed: {url}]"));
            }
        });
        let (closing, own) = (Arc::clone(browser), page.target_id().clone());
        let targets = tokio::spawn(async move {
            while let Some(created) = targets.next().await {
                let target = &created.target_info;
                if target.r#type == "page" && target.target_id != own {
                    let _ = closing.execute(CloseTargetParams::new(target.target_id.clone())).await;
                }
            }
        });
        let begun = Arc::clone(&download);
        let downloads = tokio::spawn(async move {
            while downloads.next().await.is_some() {
                begun.notify_waiters();
            }
        });
        Ok(Self { seen, download, tasks: vec![dialogs, windows, targets, downloads] })
    }

    /// Returns when the page begins a download, all of which are refused.
    pub(super) async fn download(&self) {
        self.download.notified().await;
    }

    /// What was seen since the last call, a line each.
    pub(super) fn take(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Watch {
    pub(super) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The first ones are kept: a page can open any number.
fn note(seen: &Mutex<VecDeque<String>>, line: String) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() < SEEN_MAX && !seen.contains(&line) {
        seen.push_back(line);
    }
}
