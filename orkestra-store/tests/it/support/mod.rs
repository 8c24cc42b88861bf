//! What the tests share.

pub(crate) mod backend;
pub(crate) mod child;
mod parts;

pub(crate) use parts::load;
