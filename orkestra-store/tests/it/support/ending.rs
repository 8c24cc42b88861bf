//! How a store that fails must end: what was under way is unknown, nothing is done any more and every answer says why; opened
//! again, all is there that was acknowledged, and it goes on.

use std::path::Path;

use orkestra_testkit::sample::SampleRun;

use super::backend::{Backend, Options};
use super::told::Told;

/// What the part `fill` said.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Why the store did not open.
    pub(crate) unopened: Option<String>,
    /// What was refused first.
    pub(crate) refused: Option<String>,
    after: Vec<String>,
    /// Things that were acknowledged.
    pub(crate) acknowledged: usize,
}

impl Ending {
    /// Hears what the child said, and passes on what it was told is written.
    pub(crate) fn hear(lines: &[String], told: &mut Told) -> Self {
        let mut ending = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("unopened", why)) => ending.unopened = Some(why.to_owned()),
                Some(("refused", why)) => ending.refused = Some(why.to_owned()),
                Some(("after", answer)) => ending.after.push(answer.to_owned()),
                None if line == "end" => {}
                _ => {
                    told.hear(line);
                    ending.acknowledged += usize::from(line != "opened");
                }
            }
        }
        ending
    }

    /// Panics unless all that followed the failure was refused, each time for one of `causes`.
    pub(crate) fn must_name(&self, causes: &[&str]) {
        let named = |answer: &str| causes.iter().any(|cause| answer.contains(cause));
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

/// Opens the store again and panics unless it holds what was told, is whole, and takes more.
pub(crate) async fn must_go_on(backend: Backend, path: &Path, told: &Told, round: usize) {
    for turn in 0..2 {
        let store = backend.open_with(path, Options { check: true, ..Options::default() });
        let store = store.unwrap_or_else(|error| panic!("{backend:?}, round {round}: {error}"));
        told.must_be_in(&*store, round).await;
        let mut run = SampleRun::new(&format!("more-{round}-{turn}"));
        assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
        assert_eq!(store.append(vec![run.report(9_000)]).await, [Ok(())]);
        store.send(run.id(), b"hello").await.expect("it is sent");
        store.put_blob(run.id(), "key", b"bytes").await.expect("it is kept");
        store.check().await.expect("it is whole");
    }
}
