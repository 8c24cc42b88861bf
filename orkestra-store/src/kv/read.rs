//! Reads journals, records and lists. A view shows only what is durable.

use std::ops::Bound;
use std::sync::Arc;

use orkestra_core::journal::Written;
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::{Due, DueCursor, DueQuery, ListCursor, RunQuery, RunRecord};

use super::error::BackendError;
use super::map::{Entries, View};
use super::{index, keys, value};

const NUMBER: usize = size_of::<u64>();

/// The last position of `run`, zero when it has no journal.
pub(crate) fn last(view: &dyn View, run: &RunId) -> Result<Seq, BackendError> {
    let Some(newest) = view.backward(&keys::journal(run), Bound::Excluded(&keys::journal_end(run))).next() else {
        return Ok(Seq::ZERO);
    };
    let (key, raw) = newest?;
    last_of(&key, &raw)
}

/// The commit of `run` that begins at `first`.
pub(crate) fn commit(view: &dyn View, run: &RunId, first: Seq) -> Result<Option<Written>, BackendError> {
    let key = keys::commit(run, first);
    view.get(&key)?.map(|raw| written(view, &key, &raw)).transpose()
}

/// Commits of `run`, starting with the one that contains `from`.
pub(crate) fn commits(view: &dyn View, run: &RunId, from: Seq, limit: usize) -> Result<Vec<Written>, BackendError> {
    let mut start = keys::commit(run, from);
    if let Some(before) = view.backward(&keys::journal(run), Bound::Included(&start)).next() {
        let (key, raw) = before?;
        if last_of(&key, &raw)? >= from {
            start = key;
        }
    }
    let mut commits: Vec<Written> = Vec::new();
    for entry in view.range(Bound::Included(&start), &keys::journal_end(run)).take(limit) {
        let (key, raw) = entry?;
        let commit = written(view, &key, &raw)?;
        if let Some(before) = commits.last()
            && commit.first != before.last.plus(1)
        {
            let why = format!("the journal of run `{run}` has a gap between {} and {}", before.last, commit.first);
            return Err(BackendError::Damaged(why));
        }
        commits.push(commit);
    }
    Ok(commits)
}

/// Decodes a stored commit.
pub(crate) fn written(view: &dyn View, key: &[u8], raw: &[u8]) -> Result<Written, BackendError> {
    let (run, first) = keys::parse_commit(key)?;
    let bytes = value::whole(view, key, raw)?;
    let (last, epoch, body) = numbers(key, &bytes)?;
    if last < first {
        return Err(BackendError::value(key, format!("the commit begins at {first} and ends at {last}")));
    }
    Ok(Written { run, first, last, epoch, body: Arc::from(body) })
}

fn last_of(key: &[u8], raw: &[u8]) -> Result<Seq, BackendError> {
    Ok(numbers(key, value::beginning(key, raw)?)?.0)
}

fn numbers<'a>(key: &[u8], bytes: &'a [u8]) -> Result<(Seq, Epoch, &'a [u8]), BackendError> {
    let split = bytes.split_first_chunk::<NUMBER>().and_then(|(last, rest)| {
        let (epoch, body) = rest.split_first_chunk::<NUMBER>()?;
        Some((Seq(u64::from_be_bytes(*last)), Epoch(u64::from_be_bytes(*epoch)), body))
    });
    split.ok_or_else(|| BackendError::value(key, "the commit is too short"))
}

/// The record of `run`.
pub(crate) fn record(view: &dyn View, run: &RunId) -> Result<Option<RunRecord>, BackendError> {
    Ok(record_with_parts(view, run)?.map(|(record, _)| record))
}

/// The record of `run`, and the number of continuation parts of its value.
pub(crate) fn record_with_parts(view: &dyn View, run: &RunId) -> Result<Option<(RunRecord, u32)>, BackendError> {
    let key = keys::record(run);
    let Some((bytes, parts)) = value::get(view, &key)? else {
        return Ok(None);
    };
    // Format 1 also stored the id.
    let whole = if bytes.first() == Some(&b',') { [id_in(run).as_bytes(), &bytes].concat() } else { bytes };
    let record = serde_json::from_slice(&whole)
        .map_err(|source| BackendError::Record { key: key.escape_ascii().to_string(), source })?;
    Ok(Some((record, parts)))
}

/// The stored form of a record: its JSON without the beginning, which the key implies.
pub(crate) fn record_bytes(record: &RunRecord) -> Result<Vec<u8>, BackendError> {
    let bytes =
        serde_json::to_vec(record).map_err(|source| BackendError::Unencodable { run: record.id.clone(), source })?;
    Ok(bytes.strip_prefix(id_in(&record.id).as_bytes()).map(<[u8]>::to_vec).unwrap_or(bytes))
}

/// The beginning of a record's JSON. Run ids contain no character that JSON escapes.
fn id_in(run: &RunId) -> String {
    format!("{{\"id\":\"{run}\"")
}

/// One slice of a list.
pub(crate) struct Slice {
    pub(crate) records: Vec<RunRecord>,
    /// Where the next slice begins; `None` at the end.
    pub(crate) next: Option<ListCursor>,
}

/// The most entries read in one slice: writers wait that long.
const SLICE_ENTRIES_MAX: usize = 512;

/// The next records that match `query`, older than `cursor`, at most `limit`.
pub(crate) fn list(
    view: &dyn View,
    query: &RunQuery,
    cursor: Option<&ListCursor>,
    limit: usize,
) -> Result<Slice, BackendError> {
    let terms = index::best_terms(query).into_iter().map(|term| places(view, term, query, cursor));
    let mut terms = terms.collect::<Result<Vec<_>, _>>()?;
    let mut records = Vec::new();
    let mut next = None;
    let mut seen = 0;
    while let Some(newest) = newest(&terms) {
        if seen >= SLICE_ENTRIES_MAX || records.len() >= limit {
            return Ok(Slice { records, next });
        }
        seen += 1;
        let Some(place) = terms[newest].step()? else { continue };
        let record = record(view, &place.id)?;
        let record = record.ok_or_else(|| BackendError::Damaged(format!("run `{}` has no record", place.id)))?;
        if query.matches(&record) {
            records.push(record);
        }
        next = Some(place);
    }
    Ok(Slice { records, next: None })
}

/// The index entries of a term, newest first, with one entry of lookahead.
struct Places<'a> {
    entries: Entries<'a>,
    ahead: Option<ListCursor>,
}

impl Places<'_> {
    /// Returns the lookahead and reads the next entry.
    fn step(&mut self) -> Result<Option<ListCursor>, BackendError> {
        let next = self.entries.next().transpose()?.map(|(key, _)| keys::parse_term(&key)).transpose()?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }
}

/// Which of `terms` has the newest entry ahead.
fn newest(terms: &[Places<'_>]) -> Option<usize> {
    let ahead = terms.iter().enumerate().filter_map(|(number, term)| Some((term.ahead.as_ref()?, number)));
    ahead.max().map(|(_, number)| number)
}

/// The entries of `term` that are older than `cursor` and in the query's time range.
fn places<'a>(
    view: &'a dyn View,
    term: u64,
    query: &RunQuery,
    cursor: Option<&ListCursor>,
) -> Result<Places<'a>, BackendError> {
    let all = keys::terms(term);
    let begin = query.created_from.map_or_else(|| all.clone(), |from| keys::term(term, from, ""));
    // No time continues after eight bytes of 0xff: this is greater than all entries of the term.
    let mut end = [&all[..], &[0xff; NUMBER + 1]].concat();
    end = query.created_until.map_or(end.clone(), |until| end.min(keys::term(term, until, "")));
    end = cursor.map_or(end.clone(), |cursor| end.min(keys::term(term, cursor.created_at, &cursor.id)));
    let mut places = Places { entries: view.backward(&begin, Bound::Excluded(&end)), ahead: None };
    places.step()?;
    Ok(places)
}

/// Runs that are due and not leased.
pub(crate) fn due(view: &dyn View, query: &DueQuery, held: impl Fn(&RunId) -> bool) -> Result<Due, BackendError> {
    let after = query.after.as_ref().map(|place| keys::wake_up(place.wake_at, &place.id));
    let begin = after.as_deref().map_or(Bound::Included(keys::ALL_WAKE_UPS), Bound::Excluded);
    let mut runs = Vec::new();
    for entry in view.range(begin, keys::AFTER_WAKE_UPS) {
        let (wake_at, id) = keys::parse_wake_up(&entry?.0)?;
        if held(&id) {
            continue;
        }
        if wake_at > query.until || runs.len() >= query.limit {
            return Ok(Due { runs, next: Some(wake_at) });
        }
        runs.push(DueCursor { wake_at, id });
    }
    Ok(Due { runs, next: None })
}
