//! The integration tests of this crate: one binary, one file per subject.

mod agent_loop;
mod ask_once;
mod budget;
mod consent;
mod crash;
mod demo_run;
mod embedding;
mod mcp;
mod model_http;
mod model_local;
mod network;
mod pictures;
mod reference;
mod secrets;
mod support;
mod validators;
