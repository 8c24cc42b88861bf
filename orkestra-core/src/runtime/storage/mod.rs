//! What is written to the store and read from it: commits, journals, large payloads.

pub(super) mod blobs;
pub(super) mod committer;
pub(super) mod load;
