//! A plan in serialised form, with its growth, for snapshots of runs.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::plan_error::PlanError;
use super::workflow::WorkflowSpec;

/// A plan, grown or not, and the number of its nodes that were declared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FrozenPlan {
    spec: WorkflowSpec,
    declared: usize,
}

impl FrozenPlan {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self { spec: plan.spec(), declared: plan.declared() }
    }

    /// Restores the plan.
    ///
    /// # Errors
    /// [`PlanError`] when the stored form is damaged.
    pub(crate) fn thaw(&self) -> Result<Plan, PlanError> {
        Plan::regrown(&self.spec, self.declared)
    }
}
