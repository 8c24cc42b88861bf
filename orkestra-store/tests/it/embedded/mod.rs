//! What embedded backends have in common: one process at a time, kills, syncs, callers that go away.

mod exclusive;
mod gate;
mod kill;
#[cfg(target_os = "linux")]
mod syncs;
