//! The power fails while a store writes, on file systems as they are: what was acknowledged under `Fsync` is there when the
//! machine comes back.
//!
//! ```text
//! test -> part `cut`, in namespaces of its own, so that nothing stays mounted however it ends:
//!           memory -> outer xfs -> image file -> ext4 or xfs -> store <- part `churn` writes, tells what is acknowledged
//!                        | at a random moment the image is cloned: one instant, nothing is synced before
//!                        v
//!                     copy -> mounted (its journal is recovered) -> part `judge` opens the store and compares
//! ```
//!
//! What the inner file system has given to its disk by then is in the copy, synced or not; what it has not given is lost. The
//! outer xfs is there for its clones: they are of one instant, also within a sync, and cost next to nothing.
//!
//! Some copies are written to and cut again, from the moment in which they are opened on: a failure while a store recovers.
//!
//! Postgres is asked the same: there a server's data lies on the image, and another server is started on the copy.
//!
//! - `ORKESTRA_LONG=1`: 500 cuts of each embedded backend on each file system instead of 25, 50 of Postgres instead of 3.
//! - `ORKESTRA_POWER_CUTS=N`: so many instead.
//! - `ORKESTRA_POWER_SEED=N`: another course. Moments are of chance all the same: the same seed writes the same, and is cut
//!   elsewhere.
//! - `ORKESTRA_POWER_COUNT=1`: a loss does not end the test. It counts them and prints each, to measure how often something
//!   is found.
//!
//! A copy that does not hold what it must is kept, unless losses are counted, with what was acknowledged beside it; its path is printed.

mod churn;
mod cut;
mod disk;
mod judge;
mod life;
mod moment;
#[cfg(feature = "postgres")]
mod postgres;
mod stand;

/// Plays one of the parts of child processes.
pub(crate) async fn play(part: &str, words: &[&str]) {
    match part {
        "churn" => churn::churn(words).await,
        "judge" => judge::judge(words).await,
        "cut" => cut::cut(words),
        #[cfg(feature = "postgres")]
        "churn-postgres" => postgres::churn(words).await,
        #[cfg(feature = "postgres")]
        "cut-postgres" => postgres::cut(words).await,
        other => panic!("`{other}` is no part"),
    }
}
