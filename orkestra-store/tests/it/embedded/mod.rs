//! Tests of all embedded backends: exclusive access, kills, syncs, failures, callers that go away.

mod exclusive;
#[cfg(target_os = "linux")]
mod failing;
#[cfg(target_os = "linux")]
mod full;
mod kill;
mod polling;
mod release;
#[cfg(target_os = "linux")]
mod syncs;
