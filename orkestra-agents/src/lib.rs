//! Agents on the durable engine: models, the agent loop, validators, and the pipeline planner -> backend and
//! frontend -> qa.

mod error;
pub mod model;
mod prompt;

pub use error::{Error, ErrorKind};
