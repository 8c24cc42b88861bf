//! The proof kit: what shows that a store keeps its contract, and what makes stores fail on purpose.
//!
//! - [`store`]: the conformance suite, one function per sentence of the contract of
//!   [`Store`](orkestra_core::store::Store). Whoever writes a store gives it a [`store::StoreFixture`].
//! - [`differential`]: random calls on two stores, whose answers must be the same.
//! - [`FaultyStore`]: a store that fails when it is told to.
//! - [`Harness`]: what becomes of your own workflow when its process dies at every moment, when each of its nodes fails, when
//!   every attempt is interrupted; [`run`] and [`VirtualClock`] give tests virtual time.
//! - [`sim`]: the simulator, whole worlds made from a number.
//! - [`journal_text`]: a run's journal as text, for people.
//! - [`fuzz`]: hostile bytes, for fuzzers and for tests without one.
//! - `postgres` (feature `postgres`, Unix): a throw-away Postgres server.
//! - [`sample`]: real runs with real journals, without an engine.
//!
//! Nothing here reads a clock or draws chance, but for where that server lives: the same seed does the same.

mod chance;
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
