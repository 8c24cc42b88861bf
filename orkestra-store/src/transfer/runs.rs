//! Walks over the runs of a store, page by page: by its list, and where that is damaged by its wake-up times.

use std::collections::BTreeSet;

use orkestra_core::model::{RunId, Timestamp};
use orkestra_core::store::{DueCursor, DueQuery, ListCursor, RunQuery, Store, StoreError, StoreErrorKind};

use super::report::Damage;

/// Runs per page. An export holds leases on all of them until it has written them.
const PAGE_RUNS: usize = 32;

/// Where to continue.
enum Place {
    List(Option<ListCursor>),
    Due(Option<DueCursor>),
    End,
}

/// Walks over all runs, newest first: children come before the runs that wait for them.
pub(super) struct Runs<'a> {
    store: &'a dyn Store,
    place: Place,
    /// The runs returned so far, if the walk continues after damage: the wake-up times name some of them again.
    seen: Option<BTreeSet<RunId>>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, place: Place::List(None), seen: None }
    }

    /// Continues after damage, and adds it to `damage`.
    pub(super) fn salvaging(store: &'a dyn Store) -> Self {
        Self { seen: Some(BTreeSet::new()), ..Self::new(store) }
    }

    /// The next page; `None` at the end.
    pub(super) async fn page(&mut self, damage: &mut Vec<Damage>) -> Result<Option<Vec<RunId>>, StoreError> {
        loop {
            let found = match &self.place {
                Place::List(cursor) => self.listed(cursor.clone()).await,
                Place::Due(after) => self.due(after.clone()).await,
                Place::End => return Ok(None),
            };
            match found {
                Ok((mut runs, place)) => {
                    self.place = place;
                    if let Some(seen) = &mut self.seen {
                        runs.retain(|run| seen.insert(run.clone()));
                    }
                    if !runs.is_empty() {
                        return Ok(Some(runs));
                    }
                }
                Err(error) if self.seen.is_some() && error.kind() == StoreErrorKind::Damaged => {
                    let by_list = matches!(self.place, Place::List(_));
                    // A damaged list hides the runs behind the damage. The wake-up times still name the live ones.
                    self.place = if by_list { Place::Due(None) } else { Place::End };
                    damage.push(Damage { run: None, what: error.to_string(), commits: 0, saved: false });
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn listed(&self, cursor: Option<ListCursor>) -> Result<(Vec<RunId>, Place), StoreError> {
        let page = self.store.list(&RunQuery { cursor, limit: PAGE_RUNS, ..RunQuery::default() }).await?;
        let place = page.next.map_or(Place::End, |next| Place::List(Some(next)));
        Ok((page.items.into_iter().map(|record| record.id).collect(), place))
    }

    async fn due(&self, after: Option<DueCursor>) -> Result<(Vec<RunId>, Place), StoreError> {
        let end = Timestamp::from_millis(u64::MAX);
        let due = self.store.due(&DueQuery { after, ..DueQuery::at(end, PAGE_RUNS) }).await?;
        let place = due.runs.last().map_or(Place::End, |last| Place::Due(Some(last.clone())));
        Ok((due.runs.into_iter().map(|found| found.id).collect(), place))
    }
}
