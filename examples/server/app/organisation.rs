//! An organisation, which owns runs. Every run has its owner's id as a label.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::secret::random_hex;

/// The label with the organisation of a run.
pub(crate) const ORGANISATION_LABEL: &str = "organisation";

/// The id of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OrganisationId(String);

impl OrganisationId {
    /// A new random id.
    pub(crate) fn fresh() -> Result<Self, ApiError> {
        Ok(Self(format!("org_{}", random_hex::<12>()?)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
