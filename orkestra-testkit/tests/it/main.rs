//! Tests of the test kit, and of the in-memory store of `orkestra-core` with it.

mod faulty;
mod fuzz;
mod harness;
mod memory;
mod sim;
mod text;
mod verbs;
mod wrapper;
