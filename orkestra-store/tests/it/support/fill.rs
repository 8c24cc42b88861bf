//! A child process that writes until it is refused, and reports every answer.

use std::fmt::Display;

use orkestra_core::model::{RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{AppendError, LetterId, RunQuery, Snapshot, Store, StoreError};
use orkestra_testkit::sample::SampleRun;

use super::backend::{Backend, Options};
use super::child::report_line;

/// The size of a blob. Its first bytes contain its number.
const BLOB_BYTES: usize = 9_000;

/// The bytes of the blob `number`.
pub(crate) fn blob(number: usize) -> Vec<u8> {
    let mut bytes = vec![b'b'; BLOB_BYTES];
    bytes[..size_of::<usize>()].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// `fill <backend> <path> <durability> <gathered bytes> <most rounds>`: writes commits, letters and blobs, and reports
/// each acknowledgement. After the first refusal it reports what every method answers.
pub(crate) async fn fill(words: &[&str]) {
    let gathered_bytes = words[3].parse().expect("a number of bytes");
    let rounds: usize = words[4].parse().expect("a number of rounds");
    let store = match Backend::named(words[0]).open_with(words[1], Options { gathered_bytes, ..Options::of(words[2]) })
    {
        Ok(store) => store,
        Err(error) => return report_line(format!("unopened {:?}: {error}", error.kind())),
    };
    report_line("opened");
    // Run ids differ in each life of the store.
    let life = store.list(&RunQuery { limit: usize::MAX, ..RunQuery::default() }).await.expect("it lists").items.len();
    let mut runs: Vec<_> = (0..3).map(|number| SampleRun::new(&format!("f{life}-{number}"))).collect();
    for round in 0..rounds {
        if let Err(error) = write(&*store, &mut runs, round).await {
            report_line(format!("refused {error}"));
            return after(&*store, &mut runs).await;
        }
    }
    report_line("end");
}

/// Writes one round, and reports acknowledgements.
async fn write(store: &dyn Store, runs: &mut [SampleRun], round: usize) -> Result<(), String> {
    let size = [100, 900, 7_000][round % 3];
    let batch: Vec<_> = runs.iter_mut().map(|run| if round == 0 { run.create() } else { run.report(size) }).collect();
    again(async || {
        let mut refused = Ok(());
        for (append, answer) in batch.iter().zip(store.append(batch.clone()).await) {
            match answer {
                Ok(()) => report_line(format!("ack {} {}", append.commit.run, append.commit.last)),
                Err(error) => refused = Err(append_error(&error)),
            }
        }
        refused
    })
    .await?;
    let run = runs[0].id();
    if round % 4 == 1 {
        let send = async || store.send(run, &[5; 300]).await.map_err(|error| store_error("send", &error));
        report_line(format!("sent {run} {}", again(send).await?));
    }
    if round % 4 == 3 {
        let (key, bytes) = (format!("blob-{round}"), blob(round));
        again(async || store.put_blob(run, &key, &bytes).await.map_err(|error| store_error("put_blob", &error)))
            .await?;
        report_line(format!("kept {run} {round}"));
    }
    Ok(())
}

/// Repeats `work` while the answer is `Io`, that is, not done but possible later: a background failure has not reached
/// the store yet.
async fn again<T>(work: impl AsyncFn() -> Result<T, String>) -> Result<T, String> {
    const TIMES: u32 = 10_000;
    for _ in 0..TIMES {
        match work().await {
            Err(why) if why.split(' ').nth(1) == Some("Io:") => {}
            done => return done,
        }
    }
    work().await
}

/// Reports what every method that accesses the store answers now.
async fn after(store: &dyn Store, runs: &mut [SampleRun]) {
    let run: RunId = runs[0].id().clone();
    let (worker, at) = (WorkerId::new("w").expect("a name"), Timestamp::from_millis(1));
    for _ in 0..2 {
        for answer in store.append(vec![runs[1].report(1), SampleRun::new("new").create()]).await {
            later("append", answer.map_err(|error| append_error(&error)));
        }
        let answered =
            |what: &str, answer: Result<(), StoreError>| later(what, answer.map_err(|e| store_error(what, &e)));
        answered("send", store.send(&run, b"x").await.map(drop));
        answered("discard", store.discard(&run, &[LetterId(1)]).await);
        answered("put_blob", store.put_blob(&run, "after", b"x").await);
        answered("put", store.put("after", 0, b"x").await.map(drop));
        let snapshot = Snapshot { last: Seq(1), bytes: (*b"x").into() };
        answered("put_snapshot", store.put_snapshot(&run, &snapshot).await);
        answered("delete", store.delete(&run).await);
        answered("read", store.read(&run, Seq(1), 9).await.map(drop));
        answered("record", store.record(&run).await.map(drop));
        answered("list", store.list(&RunQuery::default()).await.map(drop));
        answered("letters", store.letters(&run, LetterId::ZERO, 9).await.map(drop));
        answered("blob", store.blob(&run, "blob-3").await.map(drop));
        answered("claim", store.claim(std::slice::from_ref(&run), &worker, at, at).await.map(drop));
    }
}

fn later(what: &str, answer: Result<(), String>) {
    report_line(format!("after {}", answer.map_or_else(|error| error, |()| format!("{what} Ok: it succeeded"))));
}

fn append_error(error: &AppendError) -> String {
    match error {
        AppendError::Unknown(why) => line("append", "Unknown", why),
        AppendError::Failed(error) => store_error("append", error),
        error => line("append", "another", error),
    }
}

fn store_error(what: &str, error: &StoreError) -> String {
    line(what, &format!("{:?}", error.kind()), error)
}

fn line(what: &str, kind: &str, why: &dyn Display) -> String {
    format!("{what} {kind}: {why}")
}
