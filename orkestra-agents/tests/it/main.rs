//! The integration tests of this crate: one binary, one file per subject.

mod agent_loop;
mod budget;
mod crash;
mod demo_run;
mod model_http;
mod model_local;
mod support;
mod validators;
