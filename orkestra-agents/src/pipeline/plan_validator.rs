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
        let plan = match read(work, PLAN_FILE).await? {
            Ok(plan) => plan.unwrap_or_default(),
            Err(output) => return Ok(work.refused(ErrorType::ValidationFailure, format!("read {PLAN_FILE}"), output)),
        };
        if plan.trim().is_empty() {
            let output = format!("{PLAN_FILE} is missing or empty: write the plan with write_file");
            return Ok(work.refused(ErrorType::ValidationFailure, format!("read {PLAN_FILE}"), output));
        }
        let contract = match read(work, CONTRACT_FILE).await? {
            Ok(Some(contract)) => contract,
            Ok(None) => {
                return Ok(Verdict::Passed {
                    notes: vec![format!("{PLAN_FILE} has content; there is no {CONTRACT_FILE}")],
                });
            }
            Err(output) => {
                return Ok(work.refused(ErrorType::ValidationFailure, format!("read {CONTRACT_FILE}"), output));
            }
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

/// The content of a file; `None` if it does not exist. An error says why it cannot be read.
async fn read(work: Submission<'_>, path: &'static str) -> Result<Result<Option<String>, String>, ValidateError> {
    let workspace = work.scope.workspace().clone();
    blocking(move || match workspace.read(path) {
        Ok(bytes) => Ok(Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))),
        Err(WorkspaceError::NotFound(_)) => Ok(Ok(None)),
        Err(error) if error.is_for_model() => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    })
    .await
}
