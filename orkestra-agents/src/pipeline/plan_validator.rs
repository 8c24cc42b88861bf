//! The validator of the planner: the plan exists, and the contract is valid JSON.

use async_trait::async_trait;
use orkestra_tools::WorkspaceError;
use serde_json::Value;

use super::{CONTRACT_FILE, PLAN_FILE};
use crate::validate::{ErrorType, Submission, ValidateError, Validator, Verdict, blocking};

/// Accepts a `plan.md` with content; `contract.json` is optional and must be valid JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanValidator;

#[async_trait]
impl Validator for PlanValidator {
    fn checks(&self) -> &str {
        "checks that plan.md says something, and that contract.json is valid JSON if you wrote it"
    }

    async fn validate(&self, work: Submission<'_>) -> Result<Verdict, ValidateError> {
        let plan = read(work, PLAN_FILE).await?.unwrap_or_default();
        if plan.trim().is_empty() {
            let output = format!("{PLAN_FILE} is missing or empty: write the plan with write_file");
            return Ok(work.refused(ErrorType::ValidationFailure, format!("read {PLAN_FILE}"), output));
        }
        let Some(contract) = read(work, CONTRACT_FILE).await? else {
            return Ok(Verdict::Passed {
                notes: vec![format!("{PLAN_FILE} has content; there is no {CONTRACT_FILE}")],
            });
        };
        match serde_json::from_str::<Value>(&contract) {
            Ok(_) => Ok(Verdict::Passed {
                notes: vec![format!("{PLAN_FILE} has content and {CONTRACT_FILE} is valid JSON")],
            }),
            Err(error) => {
                let output = format!("{CONTRACT_FILE} is not valid JSON: {error}");
                Ok(work.refused(ErrorType::SyntaxError, format!("read {CONTRACT_FILE}"), output))
            }
        }
    }
}

async fn read(work: Submission<'_>, path: &'static str) -> Result<Option<String>, ValidateError> {
    let workspace = work.scope.workspace().clone();
    blocking(move || match workspace.read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(WorkspaceError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}
