//! The sessions of all agents that share one browser: limited in number, and closed when they are not used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::{Browser, BrowserError, BrowserSession};
use crate::limits::{BROWSER_IDLE_MAX, BROWSER_SESSIONS_MAX};
use crate::sandbox::Sandbox;
use crate::scope::ToolScope;

/// Sessions by agent: an agent is known by its directory of artifacts, which no other has.
pub(crate) struct Sessions {
    browser: Arc<dyn Browser>,
    open: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    slots: HashMap<PathBuf, (Instant, Arc<AsyncMutex<Slot>>)>,
    /// Whether a task closes what is not used.
    is_watched: bool,
}

/// The session of one agent.
#[derive(Default)]
pub(crate) struct Slot {
    session: Option<Box<dyn BrowserSession>>,
    /// Where the next part of the page's text begins, bytes.
    pub(crate) next_part: usize,
}

impl Sessions {
    pub(crate) fn new(browser: Arc<dyn Browser>) -> Self {
        Self { browser, open: Arc::default() }
    }

    /// The slot of an agent, for one call at a time. A session that loses its slot is closed after its running call.
    pub(crate) async fn of(&self, scope: &ToolScope) -> OwnedMutexGuard<Slot> {
        let slot = {
            let mut table = lock(&self.open);
            if !table.is_watched {
                table.is_watched = true;
                tokio::spawn(close_unused(Arc::downgrade(&self.open)));
            }
            table.slot(scope.artifacts_path())
        };
        let mut slot = slot.lock_owned().await;
        if let Some(session) = &mut slot.session {
            session.renew(scope.sandbox());
        }
        slot
    }

    /// The session in a slot, started if there is none.
    pub(crate) async fn started<'slot>(
        &self,
        slot: &'slot mut Slot,
        sandbox: &Arc<dyn Sandbox>,
    ) -> Result<&'slot mut Box<dyn BrowserSession>, BrowserError> {
        let session = match slot.session.take() {
            Some(session) => session,
            None => self.browser.session(sandbox).await?,
        };
        Ok(slot.session.insert(session))
    }
}

impl Slot {
    /// The session, if one was started.
    pub(crate) fn session(&mut self) -> Result<&mut Box<dyn BrowserSession>, BrowserError> {
        self.session.as_mut().ok_or(BrowserError::NoPage)
    }

    /// Closes the session when its browser is lost, so that the next call starts another.
    pub(crate) fn seen<T>(&mut self, done: Result<T, BrowserError>) -> Result<T, BrowserError> {
        if matches!(done, Err(BrowserError::Lost(_))) {
            self.session = None;
        }
        done
    }
}

impl Table {
    fn slot(&mut self, agent: &Path) -> Arc<AsyncMutex<Slot>> {
        if !self.slots.contains_key(agent) && self.slots.len() >= BROWSER_SESSIONS_MAX {
            let oldest = self.slots.iter().min_by_key(|(_, (used, _))| *used).map(|(agent, _)| agent.clone());
            oldest.and_then(|oldest| self.slots.remove(&oldest));
        }
        let (used, slot) = self.slots.entry(agent.to_owned()).or_insert_with(|| (Instant::now(), Arc::default()));
        *used = Instant::now();
        slot.clone()
    }

    /// Takes out what was not used for long. A call that is under way holds its slot.
    fn unused(&mut self) -> Vec<Arc<AsyncMutex<Slot>>> {
        let is_old = |used: &Instant, slot: &Arc<AsyncMutex<Slot>>| {
            used.elapsed() >= BROWSER_IDLE_MAX && Arc::strong_count(slot) == 1
        };
        self.slots.extract_if(|_, (used, slot)| is_old(used, slot)).map(|(_, (_, slot))| slot).collect()
    }
}

/// Until the sessions themselves are gone.
async fn close_unused(open: Weak<Mutex<Table>>) {
    loop {
        tokio::time::sleep(BROWSER_IDLE_MAX / 4).await;
        let Some(open) = open.upgrade() else { return };
        let unused = lock(&open).unused();
        // Outside of the lock: a browser takes a moment to end.
        drop(unused);
    }
}

/// Nothing panics while it is held.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
