//! The journal: a run's commits in order, and their form on disk.

mod codec;
mod commit;
mod letter;
mod replay;
mod snapshot;

pub use codec::{CodecError, FORMAT_VERSION, check_written, decode, encode};
pub use commit::{Commit, Written};
pub use letter::{LETTER_VERSION, decode_letter, encode_letter};
pub use replay::{ReplayError, Replayer};
pub use snapshot::{SNAPSHOT_BYTES_MAX, STATE_VERSION, decode_snapshot, encode_snapshot};
