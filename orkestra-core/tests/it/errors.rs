//! Errors: the message says everything in one line, and `source` gives the cause as a value.

use std::error::Error as _;
use std::io;

use orkestra_core::journal::{CodecError, ReplayError, Replayer, Written, decode};
use orkestra_core::kernel::{IllegalEvent, Rejection};
use orkestra_core::model::{
    Epoch, InvalidName, Name, Payload, PayloadError, PlanError, RunId, Seq, SpecError, WorkflowSpec,
};
use orkestra_core::prelude::*;
use orkestra_core::store::{AppendError, StoreError, StoreErrorKind};

/// The cause of the error, which is a `T`, and which the message tells.
fn cause<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> &'a T {
    let source = error.source().unwrap_or_else(|| panic!("`{error}` has no source"));
    assert!(error.to_string().contains(&source.to_string()), "`{error}` does not tell `{source}`");
    source.downcast_ref().unwrap_or_else(|| panic!("the source of `{error}` is no {}", std::any::type_name::<T>()))
}

fn run() -> RunId {
    RunId::new("r").expect("a run id")
}

fn written(body: &str) -> Written {
    Written { run: run(), first: Seq(1), last: Seq(1), epoch: Epoch(1), body: body.as_bytes().into() }
}

fn replay(body: &str) -> ReplayError {
    Replayer::new(run()).add(&written(body)).expect_err("no run")
}

#[test]
fn errors_of_the_model_have_their_cause() {
    let encode = Payload::of(&std::collections::BTreeMap::from([(vec![1], 1)])).expect_err("no key");
    cause::<serde_json::Error>(&encode);
    let decode = Payload::of(&1).expect("a payload").to::<String>().expect_err("a number");
    cause::<serde_json::Error>(&decode);
    let spec: SpecError = WorkflowSpec::from_json(r#"{"name": "w", "nodes": []}"#).expect_err("it is empty");
    cause::<PlanError>(&spec);
}

#[test]
fn errors_of_journals_have_their_cause() {
    let damaged = decode(&run(), Seq(1), Seq(1), b"{").expect_err("damage");
    cause::<serde_json::Error>(&damaged);
    cause::<serde_json::Error>(cause::<CodecError>(&replay("{")));
    cause::<IllegalEvent>(&replay(r#"{"v":3,"epoch":1,"at":1,"events":["Recovered"]}"#));
    let gap = Replayer::new(run()).add(&Written { first: Seq(2), last: Seq(2), ..written("{") }).expect_err("a gap");
    assert!(gap.source().is_none());
}

#[test]
fn refusals_of_the_kernel_have_their_cause() {
    cause::<PlanError>(&Rejection::from(PlanError::TooLarge));
    cause::<PayloadError>(&Rejection::from(PayloadError::TooDeep { depth: 1000 }));
    let ReplayError::Illegal(illegal) = replay(r#"{"v":3,"epoch":1,"at":1,"events":["Recovered"]}"#) else {
        panic!("the event is illegal")
    };
    cause::<IllegalEvent>(&Rejection::Fork(illegal.clone()));
    cause::<IllegalEvent>(&Rejection::Broken(illegal));
}

#[test]
fn errors_of_stores_have_their_cause_and_are_equal_without_it() {
    let bare = StoreError::new(StoreErrorKind::Io, "the store in ./data: no space");
    let caused = bare.clone().with_source(io::Error::other("no space"));
    assert_eq!(bare, caused);
    assert!(bare.source().is_none());
    cause::<io::Error>(&caused);
    cause::<io::Error>(cause::<StoreError>(&AppendError::from(caused)));
}

#[test]
fn errors_of_the_engine_have_their_cause() {
    let store = StoreError::new(StoreErrorKind::Io, "full").with_source(io::Error::other("full"));
    let error = Error::from(store);
    assert_eq!(error.store_kind(), Some(StoreErrorKind::Io));
    cause::<io::Error>(cause::<StoreError>(&error));
    cause::<serde_json::Error>(cause::<CodecError>(cause::<ReplayError>(&Error::from(replay("{")))));
    cause::<PlanError>(cause::<Rejection>(&Error::from(Rejection::from(PlanError::TooLarge))));
    cause::<PayloadError>(&Error::from(PayloadError::TooDeep { depth: 1000 }));
    cause::<PlanError>(&Error::from(PlanError::TooLarge));
    let name: InvalidName = Name::new("").expect_err("it is empty");
    cause::<InvalidName>(&Error::from(name.clone()));
    cause::<InvalidName>(&BuildError::from(name));
    cause::<PlanError>(&BuildError::from(PlanError::TooLarge));
}

/// An error that becomes a task's failure tells each cause once.
#[test]
fn a_failure_says_each_cause_once() {
    let store = StoreError::new(StoreErrorKind::Io, "the store: full").with_source(io::Error::other("full"));
    assert_eq!(TaskError::from(Error::from(store)).failure().message, "the store: full");
    let silent = StoreError::new(StoreErrorKind::Io, "the store").with_source(io::Error::other("full"));
    assert_eq!(TaskError::from(silent).failure().message, "the store: full");
}
