//! What is fjall's own: its lost ends, its damage, what is in its directory.

mod damage;
