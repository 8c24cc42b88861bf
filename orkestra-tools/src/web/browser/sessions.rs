//! The sessions of all agents that share one browser, limited in number.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{Browser, BrowserError, BrowserSession};
use crate::limits::BROWSER_SESSIONS_MAX;

/// Sessions by agent: an agent is known by its directory of artifacts, which no other has.
pub(crate) struct Sessions {
    browser: Arc<dyn Browser>,
    open: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    slots: HashMap<PathBuf, (u64, Arc<AsyncMutex<Slot>>)>,
    /// Counts uses: the slot with the lowest number was used least recently.
    uses: u64,
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
        Self { browser, open: Mutex::default() }
    }

    /// The slot of an agent, for one call at a time. A session that loses its slot is closed after its running call.
    pub(crate) async fn of(&self, agent: &Path) -> OwnedMutexGuard<Slot> {
        let slot = {
            // Nothing panics while it is held.
            let mut table = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            table.slot(agent)
        };
        slot.lock_owned().await
    }

    /// The session in a slot, started if there is none.
    pub(crate) async fn started<'slot>(
        &self,
        slot: &'slot mut Slot,
    ) -> Result<&'slot mut Box<dyn BrowserSession>, BrowserError> {
        let session = match slot.session.take() {
            Some(session) => session,
            None => self.browser.session().await?,
        };
        Ok(slot.session.insert(session))
    }
}

impl Slot {
    /// The session, if one was started.
    pub(crate) fn session(&mut self) -> Result<&mut Box<dyn BrowserSession>, BrowserError> {
        self.session.as_mut().ok_or(BrowserError::NoPage)
    }
}

impl Table {
    fn slot(&mut self, agent: &Path) -> Arc<AsyncMutex<Slot>> {
        self.uses += 1;
        let uses = self.uses;
        if !self.slots.contains_key(agent) && self.slots.len() >= BROWSER_SESSIONS_MAX {
            let oldest = self.slots.iter().min_by_key(|(_, (used, _))| *used).map(|(agent, _)| agent.clone());
            oldest.and_then(|oldest| self.slots.remove(&oldest));
        }
        let (used, slot) = self.slots.entry(agent.to_owned()).or_default();
        *used = uses;
        slot.clone()
    }
}
