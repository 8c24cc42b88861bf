//! A `StoreWrapper` changes the methods that it overrides, and nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use orkestra_core::model::RunId;
use orkestra_core::store::{AppendError, MemoryStore, Store, StoreError, StoreErrorKind, StoreMethod, StoreWrapper};
use orkestra_testkit::sample::SampleRun;
use orkestra_testkit::store::{StoreFixture, suite};

/// Changes nothing, and records which methods are called.
#[derive(Clone)]
struct Recording {
    inner: MemoryStore,
    called: Arc<Mutex<BTreeSet<StoreMethod>>>,
}

impl StoreWrapper for Recording {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    async fn around<T: Send>(
        &self,
        method: StoreMethod,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.called.lock().expect("no test panics here").insert(method);
        call.await
    }
}

#[derive(Default)]
struct RecordingFixture {
    called: Arc<Mutex<BTreeSet<StoreMethod>>>,
}

#[async_trait]
impl StoreFixture for RecordingFixture {
    type Place = MemoryStore;

    async fn place(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open(&self, place: &MemoryStore) -> Arc<dyn Store> {
        place.drop_leases();
        Arc::new(Recording { inner: place.clone(), called: Arc::clone(&self.called) })
    }
}

#[tokio::test]
async fn a_wrapper_that_changes_nothing_keeps_the_contract_and_sees_every_method() {
    let fixture = RecordingFixture::default();
    suite(&fixture).await.assert_passed();
    let called = fixture.called.lock().expect("no test panics here");
    let names: Vec<&str> = called.iter().map(|method| method.name()).collect();
    assert_eq!(
        names,
        [
            "append",
            "read",
            "record",
            "list",
            "due",
            "claim",
            "renew",
            "release",
            "release_all",
            "lease",
            "send",
            "letters",
            "discard",
            "put_snapshot",
            "snapshot",
            "delete",
            "put_blob",
            "blob",
            "blob_keys",
            "get",
            "put",
            "keys",
        ]
    );
}

#[tokio::test]
async fn a_wrapper_is_the_inner_store_to_engines_of_the_process() {
    let inner = MemoryStore::new().between_engines();
    let wrapped: Arc<dyn Store> = Arc::new(Recording { inner: inner.clone(), called: Arc::default() });
    assert_eq!(wrapped.identity(), inner.identity());
    assert_eq!(wrapped.describe(), "memory");
    assert!(wrapped.is_shared());
}

/// Fails each call, before or after the inner call.
struct Refusing {
    inner: MemoryStore,
    after: bool,
}

impl StoreWrapper for Refusing {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    async fn around<T: Send>(
        &self,
        method: StoreMethod,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if self.after {
            call.await?;
        }
        Err(StoreError::new(StoreErrorKind::Io, format!("no {method} today")))
    }
}

#[tokio::test]
async fn an_append_refused_before_the_write_has_failed_and_after_it_is_unknown() {
    for after in [false, true] {
        let inner = MemoryStore::new();
        let store: Arc<dyn Store> = Arc::new(Refusing { inner: inner.clone(), after });
        let runs = [SampleRun::new("a"), SampleRun::new("b")];
        let answers = store.append(runs.map(|mut run| run.create()).into()).await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            match answer.expect_err("it is refused") {
                AppendError::Failed(error) if !after => assert_eq!(error.to_string(), "no append today"),
                AppendError::Unknown(why) if after => assert_eq!(why, "no append today"),
                other => panic!("after: {after}, {other:?}"),
            }
        }
        let run = RunId::new("a").expect("it is an id");
        assert_eq!(inner.record(&run).await.expect("memory does not fail").is_some(), after);
    }
}
