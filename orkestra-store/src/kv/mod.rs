//! What every embedded backend writes and reads, over a sorted map: keys, values, indexes, and what a group commit changes.
//! Where it is kept and how it becomes durable is none of this room's business.

pub(crate) mod append;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod lately;
pub(crate) mod lease;
pub(crate) mod mark;
pub(crate) mod owner;
pub(crate) mod read;
pub(crate) mod remove;
pub(crate) mod small;
pub(crate) mod threads;
pub(crate) mod value;
