//! A caller that stops polling must not block others.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use orkestra_core::model::{RunId, Seq};
use orkestra_testkit::sample::SampleRun;

use crate::support::backend::{BACKENDS, Backend};

#[tokio::test]
async fn a_call_that_is_no_longer_polled_blocks_no_other_call() {
    for backend in BACKENDS {
        blocks_no_other_call(*backend).await;
    }
}

async fn blocks_no_other_call(backend: Backend) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = backend.open(directory.path()).expect("it opens");
    let run = RunId::new("r").expect("an id");
    let mut idle = Context::from_waker(Waker::noop());
    // A write and a read are started and no longer polled, while the caller makes other calls.
    let mut write = pin!(store.append(vec![SampleRun::new("r").create()]));
    assert!(write.as_mut().poll(&mut idle).is_pending());
    let mut read = pin!(store.read(&run, Seq(1), 1));
    assert!(read.as_mut().poll(&mut idle).is_pending());
    let mut second_run = SampleRun::new("s");
    let second = store.append(vec![second_run.create()]).await;
    assert_eq!(second, [Ok(())]);
    assert!(store.record(second_run.id()).await.expect("readable").is_some());
    assert_eq!(write.await, [Ok(())]);
    assert!(read.await.expect("readable").len() <= 1);
    assert_eq!(store.read(&run, Seq(1), 9).await.expect("readable").len(), 1);
}
