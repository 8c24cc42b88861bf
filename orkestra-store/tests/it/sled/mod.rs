//! Tests of sled alone: damage, lost ends, interrupted checkpoints, older formats.

mod damage;
mod fallback;
mod formats;
mod freed;
mod lost;
