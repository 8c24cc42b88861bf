//! The former names of items of the suite, kept for one release.

use super::{StoreFixture, SuiteReport, TestResult};

/// The former name of [`TestResult`].
#[deprecated(since = "0.1.0", note = "renamed to `TestResult`")]
pub type Verdict = TestResult;

/// The former name of [`SuiteReport`].
#[deprecated(since = "0.1.0", note = "renamed to `SuiteReport`")]
pub type Report = SuiteReport;

macro_rules! renamed {
    ($($old:ident => $new:ident, $note:literal;)*) => {
        $(
            #[doc = concat!("The former name of [`", stringify!($new), "`](super::", stringify!($new), ").")]
            ///
            /// # Errors
            /// [`Breach`](super::Breach).
            #[deprecated(since = "0.1.0", note = $note)]
            pub async fn $old<F: StoreFixture>(fixture: &F) -> TestResult {
                super::$new(fixture).await
            }
        )*
    };
}

renamed! {
    append_4_the_epochs_of_a_journal_fence_nobody => append_4_the_epochs_of_a_journal_do_not_fence,
        "renamed to `append_4_the_epochs_of_a_journal_do_not_fence`";
    claim_3_fences_whoever_held_it_before => claim_3_fences_the_previous_owner,
        "renamed to `claim_3_fences_the_previous_owner`";
    due_1_holds_runs_whose_lease_has_run_out => due_1_lists_runs_whose_lease_has_expired,
        "renamed to `due_1_lists_runs_whose_lease_has_expired`";
    lease_2_is_none_when_nobody_holds_the_run => lease_2_is_none_when_no_engine_holds_the_run,
        "renamed to `lease_2_is_none_when_no_engine_holds_the_run`";
    list_pages_stay_good_when_runs_come_and_go => list_cursors_stay_valid_when_runs_change,
        "renamed to `list_cursors_stay_valid_when_runs_change`";
    send_4_is_heard => send_4_notifies_listeners, "renamed to `send_4_notifies_listeners`";
}
