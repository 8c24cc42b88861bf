//! A store wrapper that hides some runs from an engine, so that the engine does not drive them.
//!
//! An engine continues every unfinished run that its store reports as due. The user of `aios` asked for particular runs;
//! continuing the others would spend money and change files without being asked. Everything else passes through.

use std::collections::BTreeSet;
use std::sync::Arc;

use orkestra_core::model::RunId;
use orkestra_core::store::{Due, DueQuery, Store, StoreError, StoreWrapper};

/// A store that never reports the runs in `left` as due.
pub(crate) struct Leaving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) left: BTreeSet<RunId>,
}

impl StoreWrapper for Leaving {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        // NOTE: ask for this many more, or a page full of hidden runs would hide those after it.
        let limit = query.limit.saturating_add(self.left.len());
        let mut due = self.store.due(&DueQuery { limit, ..query.clone() }).await?;
        due.runs.retain(|run| !self.left.contains(&run.id));
        if let Some(first) = due.runs.get(query.limit) {
            due.next = Some(first.wake_at);
            due.runs.truncate(query.limit);
        }
        Ok(due)
    }
}
