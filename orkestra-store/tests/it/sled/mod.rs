//! What is sled's own: its damage, its lost ends.

mod damage;
mod lost;
