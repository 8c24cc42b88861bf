//! The pipeline planner -> backend and frontend -> qa, as an ordinary workflow.
//!
//! ```text
//! planner --> backend --.
//!        \--> frontend --+--> qa
//! ```
//! A run may select agents: their order stays, the planner always runs, and qa waits for the selected agents before it.
//!
//! ```text
//! roles      which agents there are: duty, tools, validator       job         the input of a run
//! graph      in which order they run                              briefing    the brief and the model of an agent
//! orkestra   the facade that creates and watches runs             sandbox_choice  where commands run
//! machine    what this machine is set up with                 desk        the tools of a run
//! ```

mod briefing;
mod desk;
mod graph;
mod job;
mod machine;
mod only_paths;
mod orkestra;
mod plan_validator;
mod request;
mod roles;
mod sandbox_choice;

pub use desk::every_tool;
pub use graph::{PIPELINE, select};
pub use job::Job;
pub use machine::egress_of_machine;
pub use orkestra::{Orkestra, OrkestraBuilder};
pub use plan_validator::PlanValidator;
pub use request::{MODEL_LABEL, OBJECTIVE_LABEL, PROJECT_LABEL, PipelineRequest};
pub use sandbox_choice::SandboxChoice;

/// The file in which the planner writes the plan.
pub const PLAN_FILE: &str = "plan.md";
/// The file in which the planner writes the contract between the parts.
pub const CONTRACT_FILE: &str = "contract.json";
/// Every agent of the pipeline, in order.
pub const AGENTS: [&str; 4] = [PLANNER, BACKEND, FRONTEND, QA];

const PLANNER: &str = "planner";
const BACKEND: &str = "backend";
const FRONTEND: &str = "frontend";
const QA: &str = "qa";
