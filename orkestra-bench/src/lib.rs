//! A benchmark of coding agents: ten tasks, or your own, graded without a human.

pub mod contestant;
pub mod result;
pub mod task;
