//! Cuts the power while a store writes, on real file systems: everything acknowledged under `Fsync` must be there when
//! the machine comes back.
//!
//! ```text
//! test -> part `cut`, in its own namespaces, so that nothing stays mounted however it ends:
//!           memory -> outer xfs -> image file -> ext4 or xfs -> store <- part `churn` writes, reports acknowledgements
//!                        | at a random moment the image is cloned: one instant, nothing is synced before
//!                        v
//!                     copy -> mounted (its journal is recovered) -> part `judge` opens the store and compares
//! ```
//!
//! The copy contains what the inner file system has handed to its disk, synced or not; everything else is lost. The
//! outer xfs is used for its clones: they are of one instant, even during a sync, and cheap.
//!
//! Some copies are written to and cut again, even while they are opened: a failure during recovery.
//!
//! For Postgres, a server's data is on the image, and another server is started on the copy.
//!
//! - `ORKESTRA_LONG=1`: 500 cuts of each embedded backend on each file system instead of 25, 50 of Postgres instead of
//!   3.
//! - `ORKESTRA_POWER_CUTS=N`: this number of cuts.
//! - `ORKESTRA_POWER_SEED=N`: another seed. Moments are random all the same: the same seed writes the same data, but is
//!   cut at other moments.
//! - `ORKESTRA_POWER_COUNT=1`: a loss does not end the test. Losses are printed and counted, to measure how often one
//!   is found.
//!
//! A copy with a loss is kept, together with the reports, and its path is printed, unless losses are counted.

mod churn;
mod cut;
mod disk;
mod judge;
mod life;
mod moment;
#[cfg(feature = "postgres")]
mod postgres;
mod tests;

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
        other => panic!("unknown part `{other}`"),
    }
}
