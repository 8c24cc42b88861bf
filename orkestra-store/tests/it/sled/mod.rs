//! What is sled's own: damage, locks, kills and syncs.

mod damage;
mod exclusive;
mod gate;
mod kill;
mod lost;
pub(crate) mod parts;
#[cfg(target_os = "linux")]
mod syncs;
