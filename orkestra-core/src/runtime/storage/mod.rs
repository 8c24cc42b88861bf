//! Writing to and reading from the store: commits, journals, large payloads.

pub(super) mod blobs;
pub(super) mod committer;
pub(super) mod load;
