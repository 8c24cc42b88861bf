//! Tests of the benchmark from outside.

mod place;
mod suite;
