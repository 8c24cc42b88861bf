//! Writes a verified export into a store.
//!
//! ```text
//! blobs -> commits, batched with those of other runs -> letters
//! ```
//!
//! An engine on the same store must not drive an incomplete run: until its last commit is written, a run's record says
//! that it needs no driver. Existing data is left as it is, so that an interrupted import can be repeated.

use orkestra_core::journal::Written;
use orkestra_core::model::limits::{BATCH_BYTES_MAX, BATCH_COMMITS_MAX};
use orkestra_core::store::{Append, AppendError, RunRecord, Store, Versioned};

use super::error::TransferError;
use super::existing::Inbox;
use super::line::VALUE_VERSION_MAX;
use super::reader::Item;

pub(super) struct Fill<'a> {
    store: &'a dyn Store,
    merge: bool,
    batch: Vec<Append>,
    bytes: usize,
    run: Option<Run>,
}

/// A run being written.
struct Run {
    record: Box<RunRecord>,
    /// The newest commit read. It may be the last one, which includes the record.
    newest: Option<Written>,
    begun: bool,
    inbox: Inbox,
}

impl<'a> Fill<'a> {
    /// `merge` allows the store to contain data.
    pub(super) fn new(store: &'a dyn Store, merge: bool) -> Self {
        Self { store, merge, batch: Vec::new(), bytes: 0, run: None }
    }

    pub(super) async fn add(&mut self, item: Item) -> Result<(), TransferError> {
        match item {
            Item::Run(record) => {
                self.finish().await?;
                let inbox = if self.merge { Inbox::unknown() } else { Inbox::empty() };
                self.run = Some(Run { record, newest: None, begun: false, inbox });
                Ok(())
            }
            Item::Blob(key, bytes) => self.blob(&key, &bytes).await,
            Item::Commit(commit) => {
                let Some(run) = &mut self.run else { return Ok(()) };
                let Some(before) = run.newest.replace(commit) else { return Ok(()) };
                let waiting = (!run.begun).then(|| RunRecord { wake_at: None, ..(*run.record).clone() });
                run.begun = true;
                self.push(before, waiting).await
            }
            Item::Letter(body) => {
                self.finish_journal().await?;
                self.flush().await?;
                self.letter(&body).await
            }
            Item::Value(key, value) => {
                self.finish().await?;
                self.value(&key, &value).await
            }
            Item::Skipped => self.finish().await,
            Item::End(_) => {
                self.finish().await?;
                self.flush().await
            }
        }
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        self.finish_journal().await?;
        self.run = None;
        Ok(())
    }

    async fn finish_journal(&mut self) -> Result<(), TransferError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let Some(last) = run.newest.take() else { return Ok(()) };
        let record = (*run.record).clone();
        self.push(last, Some(record)).await
    }

    async fn push(&mut self, commit: Written, record: Option<RunRecord>) -> Result<(), TransferError> {
        self.bytes += commit.body.len();
        self.batch.push(Append { commit, record, taken: Vec::new() });
        if self.batch.len() >= BATCH_COMMITS_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let runs: Vec<_> = batch.iter().map(|append| append.commit.run.clone()).collect();
        let answers = self.store.append(batch).await;
        for (run, answer) in runs.into_iter().zip(answers) {
            answer.map_err(|source| match source {
                AppendError::Conflict { last } => TransferError::Differs(format!(
                    "cannot import run `{run}`: it has another journal in the store, which ends at {last}"
                )),
                source => TransferError::Append { run, source },
            })?;
        }
        Ok(())
    }

    async fn blob(&mut self, key: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let Some(run) = &self.run else { return Ok(()) };
        let id = &run.record.id;
        if self.merge && self.store.blob(id, key).await?.as_deref() == Some(bytes) {
            return Ok(());
        }
        Ok(self.store.put_blob(id, key, bytes).await?)
    }

    async fn letter(&mut self, body: &[u8]) -> Result<(), TransferError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        if !run.inbox.has(self.store, &run.record.id, body).await? {
            self.store.send(&run.record.id, body).await?;
        }
        Ok(())
    }

    async fn value(&mut self, key: &str, value: &Versioned) -> Result<(), TransferError> {
        let differs = || TransferError::Differs(format!("cannot import the value {key:?}: the store has another one"));
        match self.store.get(key).await? {
            Some(there) if there.bytes == value.bytes => return Ok(()),
            Some(_) => return Err(differs()),
            None => {}
        }
        for expected in 0..value.version.min(VALUE_VERSION_MAX) {
            self.store.put(key, expected, &value.bytes).await?.ok_or_else(differs)?;
        }
        Ok(())
    }
}
