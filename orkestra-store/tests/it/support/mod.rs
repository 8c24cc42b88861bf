//! Helpers shared by the tests.

pub(crate) mod acknowledged;
pub(crate) mod backend;
pub(crate) mod child;
#[cfg(target_os = "linux")]
pub(crate) mod ending;
mod fill;
pub(crate) mod history;
mod parts;

pub(crate) use parts::load;
