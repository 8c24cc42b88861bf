//! Judges a state that a power failure may leave: opens the store, compares it with what was acknowledged, writes to
//! it, closes and reopens it.

use std::fmt;
use std::path::Path;

use orkestra_core::store::{Append, RunQuery, Store, StoreError, StoreErrorKind};
use orkestra_testkit::sample::SampleRun;

use super::model::Model;
use super::recording::Scenario;
use crate::support::backend::Opened;
use crate::support::history::{History, SeeError, word};
use crate::support::load;

/// How a store is after a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It opens, contains everything acknowledged, and accepts writes.
    Whole,
    /// It opens with an older, consistent state, and accepts writes. Only the durability `process` allows this.
    Older,
    /// It opens, but something acknowledged is missing.
    Lost,
    /// It opens with a state that never existed, or fails when it is read, checked, written to or reopened.
    Wrong,
    /// It does not open, although something was acknowledged.
    Refused,
    /// It does not open, and nothing was acknowledged: the power failed while it was created.
    Unmade,
    /// The process that opened it ended.
    Died,
    /// The process that opened it did not answer.
    Hung,
}

impl Verdict {
    /// Whether the promises of the store allow it.
    pub(super) fn is_right(self, scenario: &Scenario, model: Model) -> bool {
        match self {
            Self::Whole => true,
            Self::Refused | Self::Unmade if scenario.durability == "process" => true,
            Self::Older => scenario.durability == "process",
            // fjall never syncs the directory `data/keyspaces`, so a name in it may be lost. File systems of Linux keep
            // the name of a directory that was synced itself: this is the model `own`, in which the store must open.
            Self::Refused | Self::Unmade => scenario.backend.name() == "fjall" && model == Model::Posix,
            Self::Lost | Self::Wrong | Self::Died | Self::Hung => false,
        }
    }
}

pub(super) const VERDICTS: [Verdict; 8] = [
    Verdict::Whole,
    Verdict::Older,
    Verdict::Lost,
    Verdict::Wrong,
    Verdict::Refused,
    Verdict::Unmade,
    Verdict::Died,
    Verdict::Hung,
];

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}

type Judged = Result<Verdict, (Verdict, String)>;

/// Judges the store in the directory `place`. `history` contains the process's reports up to the power failure.
pub(super) async fn judge(scenario: &Scenario, place: &Path, mut history: History) -> Judged {
    let path = place.join("store");
    let strict = scenario.durability == "fsync";
    if !path.exists() {
        return if strict && history.any() { lost("the directory is gone") } else { Ok(Verdict::Whole) };
    }
    let store = match scenario.backend.open_with(&path, scenario.options()) {
        Ok(store) => store,
        Err(error) => return Err(refused(strict, history.any(), &error)),
    };
    let report = store.report().clone();
    let unreadable = |what: String| match &report.lost {
        // The report has announced the loss.
        Some(lost_writes) if !strict => (Verdict::Refused, format!("{lost_writes}; {what}")),
        lost_writes => wrong(format!("it opens and reports {lost_writes:?} as lost; {what}")),
    };
    let seen = match history.see(&*store).await {
        Ok(seen) => seen,
        Err(error @ SeeError::Unreadable(_)) => return Err(unreadable(error.to_string())),
        Err(error @ SeeError::Invented(_)) => return Err(wrong(error.to_string())),
    };
    let missing = history.missing(&seen).map_err(wrong)?;
    let check = store.check().await;
    if strict && !missing.is_empty() {
        let (first, count) = (&missing[..missing.len().min(3)], missing.len());
        return lost(&format!("{count} things, {first:?}; created again: {}; check() says {check:?}", report.created));
    }
    check.map_err(|error| unreadable(format!("check() says: {error}")))?;
    if let Some(lost_writes) = report.lost.filter(|_| strict) {
        return lost(&lost_writes);
    }
    history.accept(&seen);
    write_on(&store, &mut history, 1).await.map_err(wrong)?;
    drop(store);
    let again = |error: StoreError| wrong(format!("it opens once, and then no more: {error}"));
    let store = scenario.backend.open_with(&path, scenario.options()).map_err(again)?;
    let seen = history.see(&*store).await.map_err(|error| wrong(format!("closed and opened again: {error}")))?;
    match history.missing(&seen) {
        Ok(later) if later.is_empty() => {}
        later => return Err(wrong(format!("closed and opened again, it misses {later:?}"))),
    }
    store.check().await.map_err(|error| wrong(format!("closed and opened again, check() says: {error}")))?;
    write_on(&store, &mut history, 2).await.map_err(wrong)?;
    Ok(if missing.is_empty() { Verdict::Whole } else { Verdict::Older })
}

fn lost(what: &str) -> Judged {
    Err((Verdict::Lost, what.to_owned()))
}

fn wrong(what: String) -> (Verdict, String) {
    (Verdict::Wrong, what)
}

fn refused(strict: bool, acknowledged: bool, error: &StoreError) -> (Verdict, String) {
    let what = format!("{:?}: {error}", error.kind());
    match (acknowledged, error.kind()) {
        (_, kind) if !strict && kind != StoreErrorKind::Damaged => wrong(format!("not refused as damaged: {what}")),
        (true, _) => (Verdict::Refused, what),
        (false, _) => (Verdict::Unmade, what),
    }
}

/// Writes to the newest run and a new one, and sends a letter.
async fn write_on(store: &Opened, history: &mut History, turn: usize) -> Result<(), String> {
    let query = RunQuery { limit: 1, ..RunQuery::default() };
    let newest = store.list(&query).await.map_err(|error| error.to_string())?.items;
    if let Some(record) = newest.first() {
        let mut run = load(&**store, &record.id).await;
        if !run.ended() {
            append(&**store, history, vec![run.report(700)]).await?;
        }
    }
    let mut run = SampleRun::new(&format!("after-{turn}"));
    append(&**store, history, vec![run.create(), run.report(9_000)]).await?;
    let letter = store.send(run.id(), b"hello").await.map_err(|error| error.to_string())?;
    history.hear(&format!("sent {} {letter}", run.id()));
    Ok(())
}

async fn append(store: &dyn Store, history: &mut History, batch: Vec<Append>) -> Result<(), String> {
    let words: Vec<_> = batch.iter().map(|append| word(&append.commit)).collect();
    history.hear(&format!("batch {}", words.join(" ")));
    let places: Vec<_> =
        batch.iter().map(|append| format!("ack {} {}", append.commit.run, append.commit.last)).collect();
    for (answer, place) in store.append(batch).await.into_iter().zip(places) {
        answer.map_err(|error| format!("it takes no commit: {error}"))?;
        history.hear(&place);
    }
    Ok(())
}
