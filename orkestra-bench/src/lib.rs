//! A benchmark of coding agents: ten tasks, or your own, graded without a human.

pub mod benchmark;
pub mod contestant;
pub mod delivery;
pub mod grade;
pub mod limits;
pub mod proof;
pub mod result;
pub mod task;
