//! Journals as readable text.

use std::fmt::Write;

use orkestra_core::journal::decode;
use orkestra_core::model::limits::READ_COMMITS_MAX;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Store, StoreError};

/// The journal of `run` as text: one line per commit, followed by one line per event. A commit that cannot be decoded is shown
/// with its error.
///
/// # Errors
/// When the store cannot be read.
///
/// # Panics
/// Never: writing to a string does not fail.
pub async fn journal_text(store: &dyn Store, run: &RunId) -> Result<String, StoreError> {
    let mut text = String::new();
    let mut next = Seq(1);
    loop {
        let commits = store.read(run, next, READ_COMMITS_MAX).await?;
        let Some(last) = commits.last() else {
            return Ok(text);
        };
        next = last.last.plus(1);
        for written in commits {
            let (first, last, epoch) = (written.first, written.last, written.epoch);
            let result = match decode(run, first, last, &written.body) {
                Ok(commit) => {
                    let head = writeln!(text, "{first}..{last} epoch {epoch} at {}", commit.at);
                    let mut seqs = first.0..;
                    let mut events = commit.events.iter().zip(&mut seqs);
                    head.and(events.try_for_each(|(event, seq)| writeln!(text, "  {seq} {event:?}")))
                }
                Err(error) => writeln!(text, "{first}..{last} epoch {epoch}: {error}"),
            };
            result.expect("writing to a string does not fail");
        }
    }
}
