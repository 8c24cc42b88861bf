//! A run's ordered commits and their form on disk.

mod codec;
mod commit;
mod letter;
mod replay;

pub use codec::{CodecError, FORMAT_VERSION, decode, encode};
pub use commit::{Commit, Written};
pub use letter::{LETTER_VERSION, decode_letter, encode_letter};
pub use replay::{ReplayError, Replayer};
