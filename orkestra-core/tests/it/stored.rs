//! A commit as the journals in the fixtures keep it: the exact bytes that a store held.

use orkestra_core::journal::Written;
use orkestra_core::model::{Epoch, RunId, Seq};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A commit of a fixture.
#[derive(Deserialize)]
pub(crate) struct Stored {
    first: Seq,
    last: Seq,
    epoch: Epoch,
    body: Box<RawValue>,
}

impl Stored {
    /// The commit in the journal of `run`.
    pub(crate) fn written(self, run: &RunId) -> Written {
        let Self { first, last, epoch, body } = self;
        Written { run: run.clone(), first, last, epoch, body: body.get().as_bytes().into() }
    }
}
