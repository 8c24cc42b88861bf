//! Iterates over all runs that match a query, however many there are.

use std::fmt;
use std::sync::Arc;

use crate::model::limits::READ_RECORDS_MAX;

use super::{RunQuery, RunRecord, Store, StoreError};

/// All runs that match a query, newest first, read from a store page by page.
///
/// A run that exists and matches all the time is returned exactly once. Runs that change in the meantime may or may not
/// be returned.
pub struct Pager {
    store: Arc<dyn Store>,
    /// The query for the next page; `None` after the last.
    query: Option<RunQuery>,
    page: std::vec::IntoIter<RunRecord>,
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("store", &self.store.describe())
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

impl Pager {
    /// A pager over the runs that match `query`, from its cursor on. The query's limit is the size of a page, not of
    /// the whole.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, query: RunQuery) -> Self {
        let limit = query.limit.clamp(1, READ_RECORDS_MAX);
        Self { store, query: Some(RunQuery { limit, ..query }), page: Vec::new().into_iter() }
    }

    /// The next run; `None` after the last.
    ///
    /// Cancel safe: dropping the future loses no run. After an error, the next call reads the same page again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<RunRecord>, StoreError> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record));
            }
            let Some(query) = &mut self.query else { return Ok(None) };
            let page = self.store.list(query).await?;
            self.page = page.items.into_iter();
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => self.query = None,
            }
        }
    }

    /// All remaining runs. They must fit into memory.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn collect(mut self) -> Result<Vec<RunRecord>, StoreError> {
        let mut all = Vec::new();
        while let Some(record) = self.next().await? {
            all.push(record);
        }
        Ok(all)
    }
}
