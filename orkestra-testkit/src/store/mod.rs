//! The conformance suite for stores: one function per sentence of the contract of [`Store`].
//!
//! A function named `append_N_…` tests sentence N of `append`, and so on for the other methods. Its error says what it saw and
//! what it expected. [`suite`] runs all of them.
//!
//! ```
//! use orkestra_testkit::store::{MemoryFixture, suite};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! suite(&MemoryFixture).await.assert_passed();
//! # }
//! ```

mod append;
mod blob;
mod due;
mod find;
mod inbox;
mod lease;
mod read;
mod remove;
mod renamed;
mod report;
mod small;
mod snapshot;

use std::sync::Arc;

use async_trait::async_trait;

use orkestra_core::store::{MemoryStore, Store};

pub use append::*;
pub use blob::*;
pub use due::*;
pub use find::*;
pub use inbox::*;
pub use lease::*;
pub use read::*;
pub use remove::*;
pub use renamed::*;
pub use report::{Breach, SuiteReport};
pub use small::*;
pub use snapshot::*;

/// How to create a store for a test. Each test starts with its own place.
#[async_trait]
pub trait StoreFixture: Send + Sync {
    /// Where a store keeps its data, such as a directory or a database. Dropping it should delete the data.
    type Place: Send + Sync;

    /// A new, empty place.
    async fn place(&self) -> Self::Place;

    /// Opens the store in `place`, for the first time or again after all earlier handles were dropped. All acknowledged
    /// writes must be there. Panics when the store cannot be opened.
    async fn open(&self, place: &Self::Place) -> Arc<dyn Store>;
}

/// The fixture of [`MemoryStore`]. Reopening it only drops its leases.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFixture;

#[async_trait]
impl StoreFixture for MemoryFixture {
    type Place = MemoryStore;

    async fn place(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open(&self, place: &MemoryStore) -> Arc<dyn Store> {
        place.drop_leases();
        Arc::new(place.clone())
    }
}

/// The result of a test of the suite.
pub type TestResult = Result<(), Breach>;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// Runs every test of the suite on stores of `fixture`.
        pub async fn suite<F: StoreFixture>(fixture: &F) -> SuiteReport {
            let mut report = SuiteReport::default();
            $(report.add(stringify!($name), $name(fixture).await);)*
            report
        }
    };
}

tests![
    append_1_all_events_of_a_commit_are_there_or_none,
    append_2_ok_means_durable,
    append_3_a_commit_that_does_not_follow_is_a_conflict,
    append_3_commits_before_it_in_the_batch_count,
    append_4_an_older_epoch_is_fenced,
    append_4_the_epochs_of_a_journal_do_not_fence,
    append_5_a_repeated_commit_is_there_already,
    append_5_a_repeat_changes_no_record,
    append_8_record_and_indexes_change_with_their_commit,
    append_8_nothing_changes_with_a_refused_commit,
    append_9_a_refused_commit_fails_no_other,
    append_10_invalid_commits_are_refused,
    append_answers_in_the_order_of_a_large_batch,
    append_takes_commits_of_any_size,
    append_an_empty_batch_has_no_answers,
    read_begins_with_the_commit_that_holds_the_position,
    read_of_nothing_is_empty,
    read_keeps_runs_with_similar_ids_apart,
    list_is_newest_first_and_paged,
    list_is_filtered,
    list_of_several_statuses,
    pager_walks_all_runs,
    list_of_a_range_of_creation_times,
    list_cursors_stay_valid_when_runs_change,
    due_is_earliest_first_and_names_the_next,
    due_1_leaves_out_held_runs,
    due_1_lists_runs_whose_lease_has_expired,
    due_2_is_paged_by_cursor,
    due_is_there_after_reopening,
    claim_1_gives_ever_higher_epochs,
    claim_1_epochs_never_come_back,
    claim_2_excludes_other_workers,
    claim_3_takes_over_what_has_run_out,
    claim_3_fences_the_previous_owner,
    renew_1_is_refused_when_the_lease_is_lost,
    renew_2_holds_the_run,
    release_of_an_old_lease_changes_nothing,
    claim_answers_many_at_once,
    claim_4_of_many_at_once_each_run_goes_to_one,
    release_all_frees_the_runs_of_one_worker,
    lease_1_is_the_one_that_is_held,
    lease_2_is_none_when_no_engine_holds_the_run,
    send_1_is_durable_and_in_order,
    send_1_letters_go_with_their_run,
    send_2_is_refused,
    send_3_makes_the_run_due,
    send_3_records_written_meanwhile_count_later,
    send_4_notifies_listeners,
    append_8_takes_letters_with_its_commit,
    snapshot_is_replaced,
    snapshot_goes_with_its_run,
    blob_1_is_durable,
    blob_2_is_replaced,
    blob_3_goes_with_its_run,
    blob_keys_are_those_of_the_run_in_order,
    delete_removes_all_of_a_run,
    delete_makes_room_for_a_new_run,
    delete_of_nothing_is_fine,
    small_values_are_compared_and_set,
    small_values_of_any_size_survive,
    small_keys_are_found_by_prefix,
    small_writes_of_many_at_once_are_all_counted,
];
