//! The events of a run as users see them, with all fields: JSON on the wire, an enum in programs.
//!
//! ```text
//! agents --emit--> the run's journal --feed--> FeedEvent { run_id, seq, ts, event: ProductEvent } --> CLI, server, users
//! ```

mod product;
mod wire;

pub use product::{CustomEvent, ProductEvent, Tokens};
pub use wire::FeedEvent;
