//! What an agent passes to the nodes after it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The output of an agent's node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentOutput {
    /// The agent.
    pub agent: String,
    /// The files that it wrote with its tools, in all attempts, in the order in which they were first written.
    pub files_written: Vec<String>,
    /// Its own summary of its work.
    pub summary: String,
    /// The checks that the validator made.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Every file that this agent and those before it wrote.
    pub files: Vec<String>,
    /// The summaries of this agent and those before it, by agent.
    #[serde(default)]
    pub summaries: Vec<(String, String)>,
}

impl AgentOutput {
    /// The outputs in a node's input or in a run's output: one, a list of them, or an object of them by node. Other values,
    /// such as the input of a run, are ignored.
    #[must_use]
    pub fn all_in(value: &Value) -> Vec<Self> {
        if let Ok(output) = serde_json::from_value::<Self>(value.clone()) {
            return vec![output];
        }
        match value {
            Value::Array(values) => values.iter().flat_map(Self::all_in).collect(),
            Value::Object(values) => values.values().flat_map(Self::all_in).collect(),
            _ => Vec::new(),
        }
    }

    /// Every file of several outputs, sorted, each once.
    #[must_use]
    pub fn files_of(outputs: &[Self]) -> Vec<String> {
        let files: BTreeSet<&String> = outputs.iter().flat_map(|output| &output.files).collect();
        files.into_iter().cloned().collect()
    }

    /// The summaries in several outputs, without repetitions.
    pub(crate) fn summaries_of(outputs: &[Self]) -> Vec<(String, String)> {
        let mut summaries: Vec<(String, String)> = Vec::new();
        for summary in outputs.iter().flat_map(|output| &output.summaries) {
            if !summaries.contains(summary) {
                summaries.push(summary.clone());
            }
        }
        summaries
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_are_found_in_every_shape_and_other_values_are_ignored() {
        let one = json!({"agent": "writer", "files_written": ["a"], "summary": "done", "files": ["a", "outline.md"]});
        let two = json!({"agent": "tester", "files_written": [], "summary": "tested", "files": ["b", "a"]});
        assert_eq!(AgentOutput::all_in(&one).len(), 1);
        let outputs = AgentOutput::all_in(&json!({"writer": one, "tester": two}));
        assert_eq!(outputs.len(), 2);
        assert_eq!(AgentOutput::files_of(&outputs), ["a", "b", "outline.md"]);
        assert_eq!(AgentOutput::all_in(&json!([one, two])).len(), 2);
        assert!(AgentOutput::all_in(&json!({"objective": "x", "tasks": ["a"]})).is_empty());
    }
}
