//! How a failing store must end: the write in progress is unknown, all later calls are refused with the cause.
//! Reopened, it contains everything acknowledged and accepts writes.

use std::path::Path;

use orkestra_testkit::sample::SampleRun;

use super::acknowledged::Acknowledged;
use super::backend::{Backend, Options};

/// The parts of an error text that names a cause.
pub(crate) type Cause = &'static [&'static str];

/// Whether `answer` has all parts of one of the causes.
pub(crate) fn names(answer: &str, causes: &[Cause]) -> bool {
    causes.iter().any(|cause| cause.iter().all(|part| answer.contains(part)))
}

/// The reports of the part `fill`.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Why the store did not open.
    pub(crate) unopened: Option<String>,
    /// The first refusal.
    pub(crate) refused: Option<String>,
    after: Vec<String>,
    /// Number of acknowledgements.
    pub(crate) acknowledged: usize,
}

impl Ending {
    /// Reads the reports of a child, and passes acknowledgements on to `acknowledged`.
    pub(crate) fn hear(lines: &[String], acknowledged: &mut Acknowledged) -> Self {
        let mut ending = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("unopened", why)) => ending.unopened = Some(why.to_owned()),
                Some(("refused", why)) => ending.refused = Some(why.to_owned()),
                Some(("after", answer)) => ending.after.push(answer.to_owned()),
                None if line == "end" => {}
                _ => {
                    acknowledged.hear(line);
                    ending.acknowledged += usize::from(line != "opened");
                }
            }
        }
        ending
    }

    /// Panics unless every call after the failure was refused for one of `causes`.
    pub(crate) fn must_name(&self, causes: &[Cause]) {
        let named = |answer: &str| names(answer, causes);
        if let Some(why) = &self.unopened {
            assert!(why.starts_with("Io: ") && named(why), "{why}");
        }
        let Some(refused) = &self.refused else { return };
        let unknown = refused.starts_with("append Unknown: ");
        assert!(unknown || refused.split(' ').nth(1) == Some("Poisoned:"), "{refused}");
        assert!(named(refused), "{refused}");
        assert_eq!(self.after.len(), 2 * 14, "{self:?}");
        for answer in &self.after {
            assert!(answer.split(' ').nth(1) == Some("Poisoned:") && named(answer), "{answer}");
        }
    }
}

/// Reopens the store. Panics unless it contains what was acknowledged, is intact and accepts writes.
pub(crate) async fn must_reopen(backend: Backend, path: &Path, acknowledged: &Acknowledged, round: usize) {
    for turn in 0..2 {
        let store = backend.open_with(path, Options { check: true, ..Options::default() });
        let store = store.unwrap_or_else(|error| panic!("{backend:?}, round {round}: {error}"));
        acknowledged.must_be_in(&*store, round).await;
        let mut run = SampleRun::new(&format!("more-{round}-{turn}"));
        assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
        assert_eq!(store.append(vec![run.report(9_000)]).await, [Ok(())]);
        store.send(run.id(), b"hello").await.expect("it is sent");
        store.put_blob(run.id(), "key", b"bytes").await.expect("it is kept");
        store.check().await.expect("it is whole");
    }
}
