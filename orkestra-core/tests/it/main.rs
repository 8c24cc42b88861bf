//! The integration tests of the engine, one binary.

mod data;
mod errors;
mod kernel;
mod projection;
mod runtime;
mod stored;
