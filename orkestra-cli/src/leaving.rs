//! A store that keeps quiet about some runs, so that an engine on it leaves them alone.
//!
//! An engine goes on with every unfinished run that its store calls due. A terminal's user asked for one of them: going
//! on with the others would spend money and change files behind their back. All else passes through.

use std::collections::BTreeSet;
use std::sync::Arc;

use orkestra_core::model::RunId;
use orkestra_core::store::{Due, DueQuery, Store, StoreError, StoreWrapper};

/// A store that never calls the runs in `left` due.
pub(crate) struct Leaving {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) left: BTreeSet<RunId>,
}

impl StoreWrapper for Leaving {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    async fn due(&self, query: &DueQuery) -> Result<Due, StoreError> {
        // NOTE: so many more, or a page full of runs that are left alone would hide those behind it.
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
