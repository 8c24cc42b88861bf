//! The test kit of Orkestra: conformance tests for stores, fault injection for workflows, and a simulator of the engine.
//!
//! - [`store`]: the conformance suite, one function per sentence of the contract of
//!   [`Store`](orkestra_core::store::Store). To test your own store, implement [`store::StoreFixture`].
//! - [`differential`]: makes the same random calls on two stores and compares their answers.
//! - [`FaultyStore`]: a store wrapper that fails as requested.
//! - [`Harness`]: crashes the process of your workflow at every write, fails each of its nodes, and interrupts every attempt;
//!   [`run`] and [`VirtualClock`] give tests virtual time.
//! - [`sim`]: the simulator, which makes whole worlds (engines, a store, clocks, clients) from a seed.
//! - [`journal_text`]: a run's journal as readable text.
//! - [`fuzz`]: fuzz targets, for fuzzers and for ordinary tests.
//! - `postgres` (feature `postgres`, Unix): a temporary Postgres server.
//! - [`sample`]: real runs with real journals, without an engine.
//!
//! Nothing here reads a clock or uses real randomness, except for the directory of that server: the same seed gives the same
//! result.

mod chance;
#[doc(hidden)]
pub mod compensating;
pub mod differential;
mod faulty;
pub mod fuzz;
pub mod harness;
#[cfg(all(feature = "postgres", unix))]
pub mod postgres;
pub mod sample;
pub mod sim;
pub mod store;
mod text;
mod virtual_time;

pub use chance::Chance;
pub use faulty::{Fault, FaultyStore, Mishap};
pub use harness::{Counter, Harness};
pub use text::journal_text;
pub use virtual_time::{VirtualClock, run};
