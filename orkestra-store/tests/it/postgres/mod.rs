//! What is shown of the Postgres backend alone. Each test has a schema of its own.

mod conformance;
mod crash;
mod engines;
mod hostile;
mod options;
mod proxy;
mod races;
mod round_trips;
mod support;
mod transfer;
mod workers;

pub(crate) use support::Database;
pub(crate) use workers::work;
