//! The kit on the store of `orkestra-core`, and the kit itself.

mod faulty;
mod fuzz;
mod harness;
mod memory;
mod sim;
mod text;
mod verbs;
mod wrapper;
