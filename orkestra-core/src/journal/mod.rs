//! A run's ordered commits and their form on disk.

mod codec;
mod commit;
mod replay;

pub use codec::{CodecError, FORMAT_VERSION, decode, encode};
pub use commit::{Commit, Written};
pub use replay::{ReplayError, Replayer};
