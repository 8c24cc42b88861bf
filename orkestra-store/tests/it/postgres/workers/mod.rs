//! Many workers on one database: processes of their own, each in a network namespace of its own, killed, cut off, stopped
//! and shut down under load. Times are part of what is shown here: a lease is a promise about them.

mod course;
mod load;
mod network;
mod scene;
mod witness;
mod worker;

pub(crate) use worker::work;
