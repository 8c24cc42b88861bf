//! Tests: after a failed write every backend refuses all calls until the store is reopened.

use orkestra_core::model::Seq;
use orkestra_core::store::{AppendError, Store, StoreError, StoreErrorKind};
use orkestra_testkit::sample::SampleRun;

use super::backend::EmbeddedBackend;
use super::changes::Changes;
use super::error::BackendError;
use super::map::{Log, Persistence};
use super::options::EmbeddedOptions;
use super::store::EmbeddedStore;

/// A log that fails every write after the first `good` ones, once the write has reached the disk.
struct Breaking {
    log: Box<dyn Log>,
    good: usize,
}

impl Log for Breaking {
    fn write(&mut self, changes: Changes, persistence: Persistence) -> Result<(), BackendError> {
        self.log.write(changes, persistence)?;
        self.good = self.good.checked_sub(1).ok_or_else(|| std::io::Error::other("on purpose"))?;
        Ok(())
    }
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn sled_refuses_all_calls_after_a_failed_sync_until_it_is_reopened() {
    refuses_all_calls_after_a_failed_sync::<crate::Sled>().await;
}

#[cfg(feature = "fjall")]
#[tokio::test]
async fn fjall_refuses_all_calls_after_a_failed_sync_until_it_is_reopened() {
    refuses_all_calls_after_a_failed_sync::<crate::Fjall>().await;
}

async fn refuses_all_calls_after_a_failed_sync<B: EmbeddedBackend>() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let options = EmbeddedOptions::<B>::default();
    let mut opened = B::open(&options, directory.path()).expect("the store opens");
    opened.log = Box::new(Breaking { log: opened.log, good: 1 });
    let store = EmbeddedStore::<B>::new(opened).expect("threads start");
    let mut run = SampleRun::new("r");
    let created = run.create();
    assert_eq!(store.append(vec![created.clone()]).await, [Ok(())]);
    let answers = store.append(vec![run.report(1), created.clone(), run.complete()]).await;
    assert!(
        matches!(answers[..], [Err(AppendError::Unknown(_)), Ok(()), Err(AppendError::Unknown(_))]),
        "only the commit that was durable before is known to be: {answers:?}"
    );

    let poisoned = |error: StoreError| assert_eq!(error.kind(), StoreErrorKind::Poisoned, "{error}");
    let answers = store.append(vec![created]).await;
    assert!(matches!(&answers[..], [Err(AppendError::Failed(error))] if error.kind() == StoreErrorKind::Poisoned));
    poisoned(store.put("k", 0, b"x").await.expect_err("a poisoned store refuses writes"));
    poisoned(store.delete(run.id()).await.expect_err("a poisoned store refuses deletes"));
    poisoned(store.read(run.id(), Seq(1), 9).await.expect_err("a poisoned store refuses reads"));

    drop(store);
    let store = options.open(directory.path()).expect("the store reopens");
    let journal = store.read(run.id(), Seq(1), 9).await.expect("it reads");
    assert!(!journal.is_empty());
    assert_eq!(store.append(vec![SampleRun::new("other").create()]).await, [Ok(())]);
}
