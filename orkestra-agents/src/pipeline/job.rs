//! The job of a run of the pipeline: the run's input, as stored in its journal.

use serde::{Deserialize, Serialize};

use crate::{Error, model::ModelSpec, workplace::SandboxSpec};

/// The longest objective, in bytes: it is in every prompt.
const OBJECTIVE_BYTES_MAX: usize = 32 * 1024;
/// The longest project id, in bytes: it is part of a directory's name.
const PROJECT_ID_BYTES_MAX: usize = 64;

/// The input of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What is to be built.
    pub objective: String,
    /// The project whose workspace the run uses; without one it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The model, chosen when the run was created; a resumed run uses the same one.
    pub model: ModelSpec,
    /// Where its commands run and what they reach; a resumed run does not change it. Its fields are the job's: `sandbox`,
    /// `network` and so on.
    #[serde(flatten)]
    pub sandbox: SandboxSpec,
    /// The agents, in order.
    pub tasks: Vec<String>,
}

/// Checks an objective and trims it.
pub(crate) fn objective(text: &str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::usage("the objective is empty: say what is to be built"));
    }
    if text.len() > OBJECTIVE_BYTES_MAX {
        return Err(Error::usage(format!(
            "the objective is longer than {OBJECTIVE_BYTES_MAX} bytes; shorten it, or put the details into a file of the project"
        )));
    }
    Ok(text.to_owned())
}

/// Checks a project id: `[a-z0-9][a-z0-9._-]{0,63}`.
pub(crate) fn project_id(text: &str) -> Result<String, Error> {
    let first = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit();
    let rest = |one: char| first(one) || "._-".contains(one);
    if text.len() <= PROJECT_ID_BYTES_MAX && text.starts_with(first) && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Error::usage(format!(
        "invalid project id {shown:?}: it must be 1 to {PROJECT_ID_BYTES_MAX} of a-z, 0-9, '.', '_' or '-', and begin with a letter \
         or a digit"
    )))
}

#[cfg(test)]
mod tests {
    use orkestra_tools::Network;
    use serde_json::json;

    use super::*;
    use crate::workplace::SandboxKind;

    #[test]
    fn a_job_of_an_older_version_is_read() {
        let old = json!({"objective": "x", "model": {"name": "demo"}, "sandbox": "docker", "tasks": ["qa"]});
        let job: Job = serde_json::from_value(old.clone()).expect("it can be read");
        assert_eq!((job.sandbox.kind, job.sandbox.network_used()), (SandboxKind::Docker, Network::None));
        assert_eq!(serde_json::to_value(&job).expect("JSON"), old);
        let spec =
            job.sandbox.with_runtime("runsc").with_network(Network::Registries).with_allowed_hosts(["a.example"]);
        let new = json!({"objective": "x", "model": {"name": "demo"}, "tasks": ["qa"], "sandbox": "docker",
            "runtime": "runsc", "network": "registries", "allowed_hosts": ["a.example"]});
        let job = Job { sandbox: spec, ..serde_json::from_value(old).expect("it can be read") };
        assert_eq!(serde_json::to_value(&job).expect("JSON"), new);
        assert_eq!(serde_json::from_value::<Job>(new).expect("it reads back"), job);
    }

    #[test]
    fn a_project_id_is_a_safe_name_of_a_directory() {
        for good in ["a", "my-blog", "0.1_x", &"a".repeat(64)] {
            assert_eq!(project_id(good).expect("it is valid"), good);
        }
        for bad in ["", "-a", ".a", "..", "A", "a/b", "a b", "ä", &"a".repeat(65)] {
            let error = project_id(bad).expect_err("it is invalid");
            assert_eq!(error.kind(), crate::ErrorKind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn an_objective_is_trimmed_and_limited() {
        assert_eq!(objective("  Build it \n").expect("it is valid"), "Build it");
        assert!(objective(" \n\t").is_err());
        assert!(objective(&"x".repeat(OBJECTIVE_BYTES_MAX + 1)).is_err());
    }
}
