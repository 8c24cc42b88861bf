//! Checks an export from beginning to end before any of it is written: all lines exist, every journal replays, and the
//! store contains nothing else.

use std::io::Read;

use orkestra_core::journal::Replayer;
use orkestra_core::store::{RunRecord, Store};

use super::error::TransferError;
use super::existing::{Inbox, Journal};
use super::reader::{Item, Reader};
use super::report::Imported;

/// The result of a successful check.
pub(super) struct Verified {
    pub(super) imported: Imported,
    /// The hash of all lines read.
    pub(super) sha256: String,
}

/// Reads all of `input`. With `merge`, compares it with the content of the store.
pub(super) async fn verify(store: &dyn Store, input: impl Read + Send, merge: bool) -> Result<Verified, TransferError> {
    let mut reader = Reader::begin(input)?;
    let mut verify = Verify { store, merge, run: None, already: 0 };
    loop {
        // An incomplete journal is reported at its last line.
        let number = reader.number();
        let item = reader.next()?;
        if matches!(item, Item::Run(_) | Item::Value(..) | Item::Skipped | Item::End(_)) {
            verify.finish(number).await?;
            tokio::task::yield_now().await;
        }
        match item {
            Item::Run(record) => verify.run = Some(Run::of(*record, store, merge).await?),
            Item::Value(key, value) => {
                if let Some(there) = verify.theirs(store.get(&key).await?)
                    && there.bytes != value.bytes
                {
                    return Err(differs(format!("cannot import the value {key:?}: the store has another one")));
                }
            }
            Item::Skipped => {}
            Item::End(sha256) => {
                let imported = Imported { counts: reader.counts, already: verify.already };
                return Ok(Verified { imported, sha256 });
            }
            item => verify.part(item, reader.number()).await?,
        }
    }
}

struct Verify<'a> {
    store: &'a dyn Store,
    merge: bool,
    run: Option<Run>,
    already: u64,
}

/// A run being read.
struct Run {
    record: RunRecord,
    replayer: Replayer,
    inbox: Inbox,
    /// The journal in the store.
    theirs: Option<Journal>,
    /// Whether the export has a commit that the store does not have.
    more: bool,
}

impl Run {
    async fn of(record: RunRecord, store: &dyn Store, merge: bool) -> Result<Self, TransferError> {
        let replayer = Replayer::new(record.id.clone());
        let there = merge && store.record(&record.id).await?.is_some();
        let theirs = there.then(|| Journal::of(record.id.clone()));
        let inbox = if there { Inbox::unknown() } else { Inbox::empty() };
        Ok(Self { record, replayer, inbox, theirs, more: false })
    }
}

fn differs(what: String) -> TransferError {
    TransferError::Differs(what)
}

impl Verify<'_> {
    fn theirs<T>(&self, there: Option<T>) -> Option<T> {
        there.filter(|_| self.merge)
    }

    /// Checks an item of the current run.
    async fn part(&mut self, item: Item, line: u64) -> Result<(), TransferError> {
        let Some(run) = &mut self.run else {
            return Err(TransferError::Line { line, what: "the line belongs to no run".into() });
        };
        let id = &run.record.id;
        match item {
            Item::Blob(key, bytes) => {
                let there = if self.merge { self.store.blob(id, &key).await? } else { None };
                if there.is_some_and(|there| there != bytes) {
                    return Err(differs(format!("cannot import run `{id}`: it has another blob {key:?} in the store")));
                }
            }
            Item::Letter(body) => drop(run.inbox.has(self.store, id, &body).await?),
            Item::Commit(commit) => {
                let replayed = run.replayer.add(&commit);
                replayed.map_err(|error| TransferError::Line { line, what: error.to_string() })?;
                let there = match &mut run.theirs {
                    Some(journal) => journal.next(self.store).await?,
                    None => None,
                };
                match there {
                    None => run.more = true,
                    Some(there) if (there.first, &there.body) == (commit.first, &commit.body) => {}
                    Some(there) => {
                        return Err(differs(format!(
                            "cannot import run `{id}`: it has another commit at {} in the store",
                            there.first
                        )));
                    }
                }
            }
            Item::Run(_) | Item::Value(..) | Item::Skipped | Item::End(_) => {}
        }
        Ok(())
    }

    /// Finishes the current run, whose last line is `line`.
    async fn finish(&mut self, line: u64) -> Result<(), TransferError> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let (id, wrong) = (&run.record.id, |what| TransferError::Line { line, what });
        let state = run.replayer.finish().ok_or_else(|| wrong(format!("run `{id}` has no journal")))?;
        if state.status() != run.record.status {
            let (recorded, replayed) = (run.record.status, state.status());
            return Err(wrong(format!("run `{id}` is {recorded:?} in its record, but {replayed:?} in its journal")));
        }
        let Some(theirs) = &mut run.theirs else { return Ok(()) };
        if let Some(beyond) = theirs.next(self.store).await? {
            return Err(differs(format!(
                "cannot import run `{id}`: it has continued in the store, to a commit at {}",
                beyond.first
            )));
        }
        if run.more {
            return Ok(());
        }
        if self.store.record(id).await?.as_ref() != Some(&run.record) {
            return Err(differs(format!("cannot import run `{id}`: it has another record in the store")));
        }
        self.already += 1;
        Ok(())
    }
}
