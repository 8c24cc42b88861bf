//! What is sled's own: its damage, its lost ends, cut checkpoints, older formats.

mod damage;
mod fallback;
mod formats;
mod freed;
mod lost;
