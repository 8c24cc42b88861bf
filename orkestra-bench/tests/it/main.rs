//! Tests of the benchmark from outside.

mod cheats;
mod place;
mod suite;
