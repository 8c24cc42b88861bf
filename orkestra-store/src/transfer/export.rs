//! Exports a store as lines. Each run is read under a lease, so that its lines show one moment.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Lease, LetterId, RunRecord, Store, StoreError, StoreErrorKind};
use orkestra_core::{Clock, SystemClock};

use super::error::TransferError;
use super::line::Line;
use super::report::{Damage, Exported};
use super::runs::Runs;
use super::survey::{COMMITS_AT_ONCE, LETTERS_AT_ONCE, damaged, look};
use super::writer::Lines;

/// How long a lease lasts, at first and after each renewal. After a killed export, others wait that long.
const LEASE: Duration = Duration::from_secs(60);

/// How to export.
#[derive(Clone)]
pub struct ExportOptions {
    skip_busy: bool,
    salvage: bool,
    include_damaged: bool,
    worker: WorkerId,
    clock: Arc<dyn Clock>,
}

impl ExportOptions {
    /// Exports as `worker`, which holds the leases while runs are read. No other user of the store may have this name.
    #[must_use]
    pub fn new(worker: WorkerId) -> Self {
        Self { skip_busy: false, salvage: false, include_damaged: false, worker, clock: Arc::new(SystemClock) }
    }

    /// Sets whether to skip runs that are being driven. The default is `false`: one of them fails the export.
    #[must_use]
    pub fn with_skip_busy(self, skip_busy: bool) -> Self {
        Self { skip_busy, ..self }
    }

    /// Sets whether to skip what is damaged: runs whose journals cannot be replayed, and anything else that cannot be
    /// read. The default is `false`: damage fails the export.
    #[must_use]
    pub fn with_salvage(self, salvage: bool) -> Self {
        Self { salvage, ..self }
    }

    /// Sets whether to include runs whose journals cannot be replayed, byte for byte, so that somebody can inspect them
    /// before they are terminated and deleted. Anything else that cannot be read is skipped. Such an export cannot be
    /// imported. Setting it also sets [`with_salvage`](Self::with_salvage). The default is `false`.
    #[must_use]
    pub fn with_damaged(self, damaged: bool) -> Self {
        Self { include_damaged: damaged, salvage: self.salvage || damaged, ..self }
    }

    /// Sets the clock. The default is the system's.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }
}

/// Writes everything in `store` to `out` in the format that `docs/store.md` describes, except snapshots, which are a
/// cache.
///
/// Each run is claimed while it is read, so that its lines show one moment. Different runs are read at different
/// moments, newest first. To move a store, stop its engines first; then no run is busy. Writing to `out` blocks.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use orkestra_core::model::WorkerId;
/// use orkestra_core::store::MemoryStore;
/// use orkestra_store::transfer::{ExportOptions, ImportOptions, export, import};
///
/// let (from, to) = (MemoryStore::new(), MemoryStore::new());
/// let mut lines = Vec::new();
/// export(&from, &mut lines, &ExportOptions::new(WorkerId::new("export")?)).await?;
/// import(&to, &mut std::io::Cursor::new(lines), ImportOptions::default()).await?;
/// # Ok(()) }) }
/// ```
///
/// # Errors
/// - [`TransferError::Busy`]: a run is being driven, or was taken over during the export.
/// - [`TransferError::Journal`]: a journal is damaged.
/// - The store or `out` failed.
///
/// An incomplete export has no last line, and importing it fails.
pub async fn export(
    store: &dyn Store,
    out: &mut (impl Write + Send),
    options: &ExportOptions,
) -> Result<Exported, TransferError> {
    let mut export = Export { store, options, lines: Lines::begin(out)?, done: Exported::default() };
    let mut runs = if options.salvage { Runs::salvaging(store) } else { Runs::new(store) };
    while let Some(page) = runs.page(&mut export.done.damage).await? {
        let mut held = export.claim(&page).await?;
        let written = export.page(&mut held).await;
        // In either case, let others have the runs.
        let released = store.release(&held.leases).await;
        written?;
        released?;
    }
    export.values().await?;
    let Export { mut lines, mut done, .. } = export;
    let lost = done.damage.iter().filter(|damage| !damage.saved).filter_map(|damage| damage.run.as_ref());
    for run in done.busy.iter().chain(lost) {
        lines.skipped(run)?;
    }
    done.counts = lines.end()?;
    Ok(done)
}

struct Export<'a, W> {
    store: &'a dyn Store,
    options: &'a ExportOptions,
    lines: Lines<W>,
    done: Exported,
}

/// The runs being read.
struct HeldRuns {
    leases: Vec<Lease>,
    since: Timestamp,
}

impl<W: Write + Send> Export<'_, W> {
    async fn claim(&mut self, runs: &[RunId]) -> Result<HeldRuns, TransferError> {
        let now = self.options.clock.now();
        let claimed = self.store.claim(runs, &self.options.worker, now, now.saturating_add(LEASE)).await?;
        let busy: Vec<_> = runs.iter().zip(&claimed).filter(|(_, claimed)| claimed.is_none()).collect();
        let busy: Vec<RunId> = busy.into_iter().map(|(run, _)| run.clone()).collect();
        let leases: Vec<_> = claimed.into_iter().flatten().map(|claimed| claimed.lease).collect();
        if !busy.is_empty() && !self.options.skip_busy {
            self.store.release(&leases).await?;
            return Err(TransferError::Busy(busy));
        }
        self.done.busy.extend(busy);
        Ok(HeldRuns { leases, since: now })
    }

    async fn page(&mut self, held: &mut HeldRuns) -> Result<(), TransferError> {
        let runs: Vec<RunId> = held.leases.iter().map(|lease| lease.run.clone()).collect();
        for run in runs {
            self.keep_leases(held).await?;
            let mut kept = true;
            if self.options.salvage {
                let mut look = look(self.store, &run).await?;
                kept = look.can_be_saved();
                if !kept
                    && self.options.include_damaged
                    && self.store.record(&run).await.is_ok_and(|found| found.is_some())
                {
                    kept = true;
                    look.damage.iter_mut().for_each(|damage| damage.saved = true);
                }
                self.done.damage.extend(look.damage);
            }
            // A run without a record was deleted before it was claimed.
            if kept && let Some(record) = self.store.record(&run).await? {
                self.run(&record, held).await?;
            }
        }
        Ok(())
    }

    /// Renews the leases in time.
    async fn keep_leases(&self, held: &mut HeldRuns) -> Result<(), TransferError> {
        let now = self.options.clock.now();
        if now.since(held.since) < LEASE / 3 {
            return Ok(());
        }
        let renewed = self.store.renew(&held.leases, now, now.saturating_add(LEASE)).await?;
        held.since = now;
        let lost = held.leases.iter().zip(renewed).filter(|(_, renewed)| !renewed.held);
        let lost: Vec<RunId> = lost.map(|(lease, _)| lease.run.clone()).collect();
        if lost.is_empty() { Ok(()) } else { Err(TransferError::Busy(lost)) }
    }

    async fn run(&mut self, record: &RunRecord, held: &mut HeldRuns) -> Result<(), TransferError> {
        let (store, run) = (self.store, &record.id);
        let bytes = serde_json::to_vec(record).map_err(|error| {
            let message = format!("cannot encode the record of run `{run}`: {error}");
            StoreError::new(StoreErrorKind::Invalid, message).with_source(error)
        })?;
        self.lines.add(&bytes, |record| Line::Run { id: run.clone(), record })?;
        let keys = store.blob_keys(run).await;
        for key in self.readable(keys)?.unwrap_or_default() {
            self.keep_leases(held).await?;
            let blob = store.blob(run, &key).await;
            if let Some(bytes) = self.readable(blob)?.flatten() {
                self.lines.add(&bytes, |content| Line::Blob { key, content })?;
            }
        }
        self.journal(run, held).await?;
        self.letters(run, held).await
    }

    async fn journal(&mut self, run: &RunId, held: &mut HeldRuns) -> Result<(), TransferError> {
        let mut replayer = Replayer::new(run.clone());
        let mut from = Seq(1);
        loop {
            let commits = self.commits(run, from).await?;
            let Some(last) = commits.last() else { break };
            from = last.last.plus(1);
            for commit in &commits {
                let replayed = replayer.add(commit);
                if !self.options.include_damaged {
                    replayed.map_err(|source| TransferError::Journal { run: run.clone(), source: Box::new(source) })?;
                }
                let (first, last, epoch) = (commit.first, commit.last, commit.epoch);
                self.lines.add(&commit.body, |body| Line::Commit { first, last, epoch, body })?;
            }
            self.keep_leases(held).await?;
            tokio::task::yield_now().await;
        }
        if replayer.state().is_none() && !self.options.include_damaged {
            let what = format!("run `{run}` has a record, but no journal");
            return Err(StoreError::new(StoreErrorKind::Damaged, what).into());
        }
        Ok(())
    }

    /// The next commits. With `include_damaged`, those up to the first that the store cannot read.
    async fn commits(&self, run: &RunId, from: Seq) -> Result<Vec<Written>, StoreError> {
        let read = self.store.read(run, from, COMMITS_AT_ONCE).await;
        match read {
            Err(error) if self.options.include_damaged && error.kind() == StoreErrorKind::Damaged => {
                Ok(self.readable(self.store.read(run, from, 1).await)?.unwrap_or_default())
            }
            read => read,
        }
    }

    async fn letters(&mut self, run: &RunId, held: &mut HeldRuns) -> Result<(), TransferError> {
        let mut after = LetterId::ZERO;
        loop {
            let letters = self.store.letters(run, after, LETTERS_AT_ONCE).await;
            let letters = self.readable(letters)?.unwrap_or_default();
            let Some(last) = letters.last() else { return Ok(()) };
            after = last.id;
            for letter in &letters {
                self.lines.add(&letter.body, |body| Line::Letter { body })?;
            }
            self.keep_leases(held).await?;
        }
    }

    async fn values(&mut self) -> Result<(), TransferError> {
        let keys = self.store.keys("", usize::MAX).await;
        let keys = self.readable_or_report(keys)?.unwrap_or_default();
        for key in keys {
            let value = self.store.get(&key).await;
            // Without a value, the key was deleted in the meantime.
            if let Some(value) = self.readable_or_report(value)?.flatten() {
                let version = value.version;
                self.lines.add(&value.bytes, |content| Line::Value { key, version, content })?;
            }
        }
        Ok(())
    }

    /// `None` for damaged data if it is to be skipped. The survey of the run has reported it.
    fn readable<T>(&self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Err(error) if self.options.salvage && error.kind() == StoreErrorKind::Damaged => Ok(None),
            read => read.map(Some),
        }
    }

    /// Like [`readable`](Self::readable), and reports the damage.
    fn readable_or_report<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Err(error) if self.options.salvage => {
                let damage: Damage = damaged(None, error, 0, false)?;
                self.done.damage.push(damage);
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}
