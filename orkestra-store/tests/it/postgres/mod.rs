//! Tests of the Postgres backend. Each test uses its own schema.

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
