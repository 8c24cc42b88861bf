//! The runs of a store, page by page: by its list, and where that is damaged by what else names runs.

use std::collections::BTreeSet;

use orkestra_core::model::{RunId, Timestamp};
use orkestra_core::store::{DueCursor, DueQuery, ListCursor, RunQuery, Store, StoreError, StoreErrorKind};

use super::report::Damage;

/// How many runs are taken at a time. An export holds them all until it has written them.
const PAGE_RUNS: usize = 32;

/// Where to go on.
enum Place {
    List(Option<ListCursor>),
    Due(Option<DueCursor>),
    End,
}

/// Walks over all runs, newest first: children stand before the runs that wait for them.
pub(super) struct Runs<'a> {
    store: &'a dyn Store,
    place: Place,
    /// The runs named so far, when the walk is to go on behind damage: the second way names some of them again.
    seen: Option<BTreeSet<RunId>>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, place: Place::List(None), seen: None }
    }

    /// Goes on behind damage: what is found there is put into `damage`.
    pub(super) fn salvaging(store: &'a dyn Store) -> Self {
        Self { seen: Some(BTreeSet::new()), ..Self::new(store) }
    }

    /// The next page; `None` when there are no more runs.
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
                    // A list that breaks off hides the runs behind the damage: the wake-up times name those that are live.
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
