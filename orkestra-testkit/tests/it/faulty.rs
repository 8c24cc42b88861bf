//! A faulty store fails as requested, and only then.

use std::sync::Arc;

use orkestra_core::model::Seq;
use orkestra_core::store::{AppendError, MemoryStore, Store, StoreErrorKind};
use orkestra_testkit::sample::SampleRun;
use orkestra_testkit::{Fault, FaultyStore};

/// Makes three appends, of which the last one has this fault; returns the number of commits in the store and the last answer.
async fn third_fails(fault: Fault) -> (usize, Result<(), AppendError>, FaultyStore) {
    let inner = MemoryStore::new();
    let store = FaultyStore::new(Arc::new(inner.clone())).with_fault(3, fault);
    let mut run = SampleRun::new("r");
    for append in [run.create(), run.report(1)] {
        assert_eq!(store.append(vec![append]).await, [Ok(())]);
    }
    let answer = store.append(vec![run.report(2)]).await.remove(0);
    let journal = inner.read(run.id(), Seq(1), 9).await.expect("memory does not fail");
    (journal.len(), answer, store)
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let (commits, answer, store) = third_fails(Fault::UnknownWritten).await;
    assert!(matches!((commits, answer), (3, Err(AppendError::Unknown(_)))));
    assert_eq!(store.appends(), 3);

    let (commits, answer, _) = third_fails(Fault::UnknownLost).await;
    assert!(matches!((commits, answer), (2, Err(AppendError::Unknown(_)))));

    let (commits, answer, _) = third_fails(Fault::Conflict).await;
    assert_eq!((commits, answer), (2, Err(AppendError::Conflict { last: Seq(3) })));

    let (commits, answer, _) = third_fails(Fault::Failed(StoreErrorKind::Io)).await;
    assert!(matches!((commits, answer), (2, Err(AppendError::Failed(error))) if error.kind() == StoreErrorKind::Io));
}

#[tokio::test]
async fn after_a_crash_every_call_fails() {
    for (fault, commits_then) in [(Fault::CrashBefore, 2), (Fault::CrashAfter, 3)] {
        let (commits, answer, store) = third_fails(fault).await;
        assert_eq!(commits, commits_then);
        assert!(matches!(answer, Err(AppendError::Failed(error)) if error.kind() == StoreErrorKind::Poisoned));
        assert!(store.crashed());
        store.heal();
        assert!(store.get("k").await.is_err());
    }
}

#[tokio::test]
async fn random_faults_are_the_same_for_the_same_seed() {
    let failing = |seed| async move {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        let store = store.with_random_faults(seed, 3, &[Fault::UnknownLost, Fault::Conflict]);
        let mut failed = Vec::new();
        for number in 0..50 {
            let answers = store.append(vec![SampleRun::new(&format!("r{number}")).create()]).await;
            failed.push(answers[0].is_err());
        }
        failed
    };
    let (first, again, other) = (failing(1).await, failing(1).await, failing(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!((5..30).contains(&first.iter().filter(|failed| **failed).count()));
}
