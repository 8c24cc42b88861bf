//! The integration tests of this crate: one binary, one file per subject.

mod agent_loop;
mod budget;
mod consent;
mod crash;
mod demo_run;
mod embedding;
mod model_http;
mod model_local;
mod network;
mod pictures;
mod secrets;
mod support;
mod validators;
