//! What several test files need.

pub(crate) mod http;
pub(crate) mod product;
pub(crate) mod writer;
