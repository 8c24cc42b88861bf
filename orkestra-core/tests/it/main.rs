//! The integration tests of the engine, one binary.

mod data;
mod kernel;
mod projection;
mod runtime;
