//! The web tools and the guarded client, against real servers on loopback.

mod client;
mod server;
