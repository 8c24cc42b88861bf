//! Engines on every store: two at once, and one after another.

mod again;
mod clocks;
mod ground;
mod pairs;
mod queue;
