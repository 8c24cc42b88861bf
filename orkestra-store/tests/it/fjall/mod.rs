//! What is fjall's own: its torn and lost ends, its damage, what is in its directory.

mod damage;
mod torn;
