//! The words of the engine as types: ids, times, payloads, policies, the workflow definition and the plan made from it.
//!
//! Plain data and pure functions. Nothing here may read a clock, wait, or know that stores and tasks exist.

mod failure;
mod graph;
mod id;
pub mod limits;
mod payload;
mod plan;
mod policy;
mod time;
mod workflow;

pub use failure::Failure;
pub use id::{Epoch, InvalidName, Name, NodeId, RunId, Seq, WorkerId};
pub use payload::{Payload, PayloadError};
pub use plan::{Fingerprint, Plan, PlanError, PlanNode};
pub use policy::Retry;
pub use time::Timestamp;
pub use workflow::{Growth, NodeKind, NodeSpec, WorkflowSpec};
