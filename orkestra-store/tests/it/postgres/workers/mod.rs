//! Many workers on one database: processes in separate network namespaces, which are killed, disconnected, suspended
//! and shut down under load. Times are checked here, because a lease is a promise about time.

mod course;
mod load;
mod network;
mod scene;
mod witness;
mod worker;

pub(crate) use worker::work;
