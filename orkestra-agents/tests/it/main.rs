//! The integration tests of this crate: one binary, one file per subject.

mod model_http;
mod model_local;
mod support;
