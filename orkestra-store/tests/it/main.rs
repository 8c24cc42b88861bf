//! Tests of the backends: the common contract, the embedded ones, each backend alone, and moving runs between them.

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
