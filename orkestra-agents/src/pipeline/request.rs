//! What a caller asks for when it creates a run of the pipeline, and the labels that the run gets.

use std::collections::BTreeMap;

use orkestra_core::prelude::Amount;
use orkestra_tools::Network;

use crate::Error;

/// The label that holds a run's project.
pub const PROJECT_LABEL: &str = "project_id";
/// The label that holds the beginning of a run's objective, for lists.
pub const OBJECTIVE_LABEL: &str = "objective";
/// The label that holds the name of a run's model.
pub const MODEL_LABEL: &str = "model";

const OBJECTIVE_LABEL_CHARACTERS: usize = 200;
const RUN_ID_BYTES_MAX: usize = 100;

/// A request for a run of the pipeline.
#[derive(Debug, Clone, Default)]
pub struct PipelineRequest {
    /// The id of the run: letters, digits, `.`, `_`, `-`. The same id again is the same run; without one the run gets a new
    /// ULID.
    pub id: Option<String>,
    /// What is to be built.
    pub objective: String,
    /// The project to continue: `[a-z0-9][a-z0-9._-]{0,63}`.
    pub project_id: Option<String>,
    /// The model, if it is not the embedder's choice.
    pub model: Option<String>,
    /// The agents; an empty list means all.
    pub tasks: Vec<String>,
    /// Labels that the run can be found by, besides our own.
    pub labels: BTreeMap<String, String>,
    /// What the run may spend, by meter: [`TOKENS_METER`](crate::TOKENS_METER), [`USD_METER`](crate::USD_METER). The run is
    /// paused when a budget is used up. A budget in dollars is refused unless the model and its fallbacks have a price
    /// ([`ModelChoice::with_price`](crate::model::ModelChoice::with_price)) or report their cost
    /// ([`Model::reports_cost`](crate::model::Model::reports_cost)). It does not know the models that
    /// [`OrkestraBuilder::agent`](crate::OrkestraBuilder::agent) gives to single agents.
    pub budgets: BTreeMap<String, Amount>,
    /// The network of its commands, if it is not the embedder's choice ([`OrkestraBuilder::network`](crate::OrkestraBuilder::network)).
    pub network: Option<Network>,
    /// Hosts that its commands may reach with the network [`Network::Registries`], besides the registries and those of the
    /// operator: `example.com`, `example.com:8443` or `*.example.com`, by TLS on port 443 if none is given.
    pub allowed_hosts: Vec<String>,
}

impl PipelineRequest {
    /// The labels of the run.
    pub(super) fn labels(&self, objective: &str, model: &str, project_id: Option<&str>) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(OBJECTIVE_LABEL.to_owned(), objective.chars().take(OBJECTIVE_LABEL_CHARACTERS).collect());
        labels.insert(MODEL_LABEL.to_owned(), model.to_owned());
        labels.extend(project_id.map(|project| (PROJECT_LABEL.to_owned(), project.to_owned())));
        labels
    }
}

/// Checks the id of a run.
pub(super) fn run_id(text: &str) -> Result<String, Error> {
    let first = |one: char| one.is_ascii_alphanumeric();
    let rest = |one: char| first(one) || "._-".contains(one);
    if text.len() <= RUN_ID_BYTES_MAX && text.starts_with(first) && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Error::usage(format!(
        "invalid run id {shown:?}: it must be 1 to {RUN_ID_BYTES_MAX} letters, digits, '.', '_' or '-', and begin with a \
         letter or a digit"
    )))
}
