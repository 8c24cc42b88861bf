//! The vocabulary of the engine as types: ids, times, payloads, policies, workflow definitions and the plans made from
//! them.
//!
//! Plain data and pure functions. Nothing here reads a clock, waits, or knows stores or tasks.

mod amount;
mod condition;
mod data;
mod failure;
mod failure_kind;
mod fingerprint;
mod frozen;
mod graph;
mod id;
mod join;
pub(crate) mod journaled;
mod json_text;
pub mod limits;
mod looks;
mod node;
mod node_check;
mod number;
mod options;
mod payload;
mod plan;
mod plan_error;
mod policy;
mod printable;
mod reference;
mod slot;
mod time;
mod workflow;

pub use amount::Amount;
pub use condition::{Condition, Test};
pub use data::{Place, SpecError, SpecErrorKind};
pub use failure::Failure;
pub use failure_kind::{FailureKind, Retried};
pub use fingerprint::Fingerprint;
pub(crate) use frozen::FrozenPlan;
pub use id::{Epoch, Incarnation, InvalidName, Name, NodeId, RunId, Seq, WorkerId};
pub use join::{Join, OnFailure};
pub use looks::Looks;
pub use node::{NodeKind, NodeSpec};
pub(crate) use node_check::label_mistake;
pub use options::{Fork, Parent, RunOptions};
pub use payload::{Payload, PayloadError};
pub(crate) use plan::PlanSize;
pub use plan::{Plan, PlanNode};
pub use plan_error::PlanError;
pub use policy::Retry;
pub(crate) use printable::printable;
pub use reference::Answers;
pub(crate) use reference::{Blob, KeptAt};
pub use slot::{SlotBy, SlotKey, SlotSpec};
pub use time::Timestamp;
pub use workflow::{Growth, WorkflowSpec};
