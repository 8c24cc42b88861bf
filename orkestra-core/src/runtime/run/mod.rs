//! A run as its caller sees it: how it is started, its handle, its events.

pub(super) mod events;
pub(super) mod follow;
pub(super) mod handle;
mod published;
pub(super) mod request;
mod view;
