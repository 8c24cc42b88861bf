//! What is sled's own: damage, locks, kills and syncs.

mod damage;
mod exclusive;
mod kill;
pub(crate) mod parts;
mod syncs;
