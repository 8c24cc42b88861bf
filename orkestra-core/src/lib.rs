//! placeholder
pub mod journal;
pub mod kernel;
pub mod model;
pub mod store;
