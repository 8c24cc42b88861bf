//! The proxy as a sandbox sees it, with a registry of the test's own behind it.

mod mirrors;
mod model;
mod support;
mod tunnels;
