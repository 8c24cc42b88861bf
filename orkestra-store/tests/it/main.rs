//! The backends: the contract they share, what embedded ones have in common, and what is each one's own. What moves between
//! them.

mod conformance;
mod embedded;
mod engines;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(all(feature = "postgres", unix))]
mod postgres;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod replay;
#[cfg(feature = "sled")]
mod sled;
mod support;
mod transfer;
