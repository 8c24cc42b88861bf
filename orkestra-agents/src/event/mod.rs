//! What the product tells the world of a run: every event with its fields, as JSON on the wire and as an enum in programs.
//!
//! ```text
//! agents --emit--> the run's journal --feed--> FeedEvent { run_id, seq, ts, event: ProductEvent } --> CLI, server, users
//! ```

mod product;
mod wire;

pub use product::{CustomEvent, ProductEvent, Tokens};
pub use wire::FeedEvent;
