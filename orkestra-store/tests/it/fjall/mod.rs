//! Tests of fjall alone: torn and lost ends, damage.

mod damage;
mod torn;
