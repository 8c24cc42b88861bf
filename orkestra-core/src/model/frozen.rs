//! A plan written down together with what it has grown: for snapshots of runs.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::plan_error::PlanError;
use super::workflow::WorkflowSpec;

/// A plan, grown or not, and how much of it was declared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FrozenPlan {
    spec: WorkflowSpec,
    declared: usize,
}

impl FrozenPlan {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self { spec: plan.spec(), declared: plan.declared() }
    }

    /// The plan again.
    ///
    /// # Errors
    /// When it is none: it was damaged.
    pub(crate) fn thaw(&self) -> Result<Plan, PlanError> {
        Plan::regrown(&self.spec, self.declared)
    }
}
