//! The deprecated names of the facade are the types that they name, without the feature `unstable` as with it. `scripts/test` compiles
//! this without; nothing needs to run.

#![cfg_attr(not(feature = "unstable"), expect(deprecated, reason = "the deprecated names are what is tested"))]

/// Does not compile unless both are one type.
macro_rules! same {
    ($($old:path = $new:path;)*) => {
        $(const _: fn($old) -> $new = |value| value;)*
    };
}

same! {
    orkestra::kernel::Abandoned = orkestra::event::Abandoned;
    orkestra::kernel::Event = orkestra::event::Event;
    orkestra::kernel::Next = orkestra::event::Next;
    orkestra::kernel::NodeStatus = orkestra::event::NodeStatus;
    orkestra::kernel::Outcome = orkestra::event::Outcome;
    orkestra::kernel::PauseReason = orkestra::event::PauseReason;
    orkestra::kernel::RunState = orkestra_core::kernel::RunState;
    orkestra::kernel::RunStatus = orkestra::event::RunStatus;
    orkestra::kernel::SkipReason = orkestra::event::SkipReason;
    orkestra::kernel::StopReason = orkestra::event::StopReason;
    orkestra::kernel::Undo = orkestra::event::Undo;
    orkestra::kernel::UnknownStatus = orkestra::event::UnknownStatus;
    orkestra::journal::CodecError = orkestra_core::journal::CodecError;
    orkestra::journal::Commit = orkestra_core::journal::Commit;
    orkestra::journal::ReplayError = orkestra_core::journal::ReplayError;
    orkestra::journal::Replayer = orkestra_core::journal::Replayer;
    orkestra::journal::Written = orkestra::store::Written;
}

#[test]
fn variants_can_be_matched_and_made_through_an_alias() {
    let status = orkestra::kernel::RunStatus::Running;
    assert!(matches!(status, orkestra::kernel::RunStatus::Running) && status == orkestra::event::RunStatus::Running);
    let decode = orkestra::journal::decode;
    let _: Result<_, orkestra::journal::CodecError> = decode(
        &orkestra::model::RunId::new("r").expect("an id"),
        orkestra::model::Seq(1),
        orkestra::model::Seq(1),
        b"",
    );
}
