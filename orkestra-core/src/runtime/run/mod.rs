//! A run from the caller's side: the request that starts it, its handle, its events.

pub(super) mod events;
pub(super) mod follow;
pub(super) mod handle;
mod published;
pub(super) mod request;
mod view;
