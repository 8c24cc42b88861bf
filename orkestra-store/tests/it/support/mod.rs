//! What the tests share.

pub(crate) mod backend;
pub(crate) mod child;
#[cfg(target_os = "linux")]
pub(crate) mod ending;
mod fill;
mod parts;
pub(crate) mod told;

pub(crate) use parts::load;
