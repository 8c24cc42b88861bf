//! The engine: how it is built, what it answers, and how it shuts down.

pub(super) mod builder;
pub(super) mod closing;
pub(super) mod deadlock;
pub(super) mod grants;
pub(super) mod handle;
pub(super) mod health;
pub(super) mod retention;
pub(super) mod upgrade;
