//! Journals as text.

use orkestra_core::store::{MemoryStore, Store};
use orkestra_testkit::journal_text;
use orkestra_testkit::sample::SampleRun;

#[tokio::test]
async fn a_journal_shows_its_commits_and_events() {
    let store = MemoryStore::new();
    let mut run = SampleRun::new("r");
    let answers = store.append(vec![run.create(), run.complete()]).await;
    assert!(answers.iter().all(Result::is_ok));
    let text = journal_text(&store, run.id()).await.expect("memory does not fail");
    let heads: Vec<_> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(heads, ["1..2 epoch 0 at 1970-01-01T00:00:01.000Z", "3..4 epoch 0 at 1970-01-01T00:00:01.000Z"]);
    assert!(text.contains("\n  4 RunCompleted"), "{text}");
}
