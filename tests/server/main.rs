//! The server example under test: its real router on a port of its own, the demo model, the local sandbox.

#[path = "../../examples/server/app/mod.rs"]
mod app;

mod accounts;
mod download;
mod live;
mod runs;
mod support;
