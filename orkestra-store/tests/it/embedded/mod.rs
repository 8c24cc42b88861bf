//! What embedded backends have in common: one process at a time, kills, syncs, callers that go away.

mod exclusive;
#[cfg(target_os = "linux")]
mod failing;
#[cfg(target_os = "linux")]
mod full;
mod gate;
mod kill;
mod release;
#[cfg(target_os = "linux")]
mod syncs;
