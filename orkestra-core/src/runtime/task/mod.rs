//! What a task is given, and one call of it: context, steps, waits.

pub(super) mod activity;
pub(super) mod call;
pub(super) mod child;
pub(super) mod code;
pub(super) mod context;
pub(super) mod given;
pub(super) mod invocation;
pub(super) mod keys;
pub(super) mod maps;
pub(super) mod message;
pub(super) mod outbox;
pub(super) mod root;
pub(super) mod sides;
pub(super) mod step;
pub(super) mod waits;
