//! The brief: what a run asks of an agent.

use std::collections::BTreeSet;

use orkestra_core::prelude::{Context, TaskResult};
use serde_json::Value;

use crate::{
    agent::{AgentOutput, prompt::SECTIONS},
    workplace::SandboxSpec,
};

/// The field of a run's input that holds the objective.
const OBJECTIVE_FIELD: &str = "objective";
/// The section with what the tasks before the agent returned.
const INPUT: &str = "input";

/// What a run asks of an agent, and where the agent works on it.
///
/// An agent makes its brief with [`Brief::of_run`] unless [`Agent::with_brief`](crate::Agent::with_brief) says otherwise.
/// It is made anew for each attempt, so it must depend on the run and on the node's input alone.
///
/// ```
/// use orkestra_agents::{Brief, SandboxKind};
///
/// let brief = Brief::new("Translate the manual")
///     .with_section("glossary", "run: der Lauf")
///     .with_file("manual", "manual.md")
///     .with_sandbox(SandboxKind::Local);
/// assert_eq!(brief.objective, "Translate the manual");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Brief {
    /// What the agent works towards.
    pub objective: String,
    /// The project whose workspace the agent uses; without one the run has its own.
    pub project_id: Option<String>,
    /// The names of the run's agents, for the prompt.
    pub agents: Vec<String>,
    /// Sections of the prompt: a name and a text each.
    pub sections: Vec<(String, String)>,
    /// Files that are quoted in the prompt when they exist: the name of the section and the path in the workspace.
    pub files: Vec<(String, String)>,
    /// Files that the validator must find in the workspace.
    pub wanted: Vec<String>,
    /// What users of the run should know. Reported by the first attempt of each agent that has no agent before it.
    pub notices: Vec<String>,
    /// Where the agent's commands run; `None` is the default of its workplaces.
    pub sandbox: Option<SandboxSpec>,
}

impl Brief {
    /// A brief with an objective and nothing else.
    pub fn new(objective: impl Into<String>) -> Self {
        Self { objective: objective.into(), ..Self::default() }
    }

    /// The default brief. The objective is the run's input, or its field `objective`. What tasks before the agent returned
    /// is the section `input`; what agents returned is not in it, because the prompt has their summaries.
    ///
    /// # Errors
    /// When the run's input cannot be read.
    pub fn of_run(cx: &Context, input: &Value) -> TaskResult<Self> {
        let run_input: Value = cx.run_input()?;
        let objective = match run_input.get(OBJECTIVE_FIELD).unwrap_or(&run_input) {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let brief = Self::new(objective);
        Ok(match without_outputs(input) {
            Some(rest) if *input != run_input => brief.with_section(INPUT, text_of(&rest)),
            _ => brief,
        })
    }

    /// Uses the workspace of a project instead of the run's own.
    #[must_use]
    pub fn with_project_id(mut self, project_id: impl Into<String>) -> Self {
        self.project_id = Some(project_id.into());
        self
    }

    /// Names the run's agents in the prompt.
    #[must_use]
    pub fn with_agents(mut self, agents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.agents = agents.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a section to the prompt. The names of sections and quoted files must differ from each other and from `objective`,
    /// `agents`, `debug_info`, `existing_files`, `work_so_far` and `files`; otherwise the agent fails.
    #[must_use]
    pub fn with_section(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.sections.push((name.into(), text.into()));
        self
    }

    /// Quotes a file of the workspace in the prompt, as the section `name`, as in [`Brief::with_section`].
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.files.push((name.into(), path.into()));
        self
    }

    /// The files that the validator must find.
    #[must_use]
    pub fn with_wanted(mut self, files: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.wanted = files.into_iter().map(Into::into).collect();
        self
    }

    /// Adds something that users of the run should know.
    #[must_use]
    pub fn with_notice(mut self, notice: impl Into<String>) -> Self {
        self.notices.push(notice.into());
        self
    }

    /// Where the agent's commands run, and what they reach.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: impl Into<SandboxSpec>) -> Self {
        self.sandbox = Some(sandbox.into());
        self
    }

    /// Checks that no two sections of the prompt have the same name: one would hide the other.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut taken: BTreeSet<&str> = SECTIONS.into();
        // NOTE: the step result has the quoted files by their sections, beside `files`.
        taken.insert("files");
        for (name, _) in self.files.iter().chain(&self.sections) {
            if !taken.insert(name) {
                return Err(format!(
                    "cannot add the section {name:?} to the prompt: the name is taken; use another one"
                ));
            }
        }
        Ok(())
    }
}

/// `input` without the outputs of agents; `None` when nothing is left.
fn without_outputs(input: &Value) -> Option<Value> {
    let is_output = |value: &Value| serde_json::from_value::<AgentOutput>(value.clone()).is_ok();
    match input {
        Value::Null => None,
        value if is_output(value) => None,
        Value::Object(fields) => {
            let rest = fields.iter().filter(|(_, value)| !is_output(value));
            let rest: serde_json::Map<_, _> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        other => Some(other.clone()),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_of_agents_are_left_out_of_the_input() {
        let output = json!({"agent": "writer", "files_written": [], "summary": "done", "files": []});
        assert_eq!(without_outputs(&output), None);
        assert_eq!(without_outputs(&json!({"write": output, "count": 7})), Some(json!({"count": 7})));
        assert_eq!(without_outputs(&json!({"write": output})), None);
        assert_eq!(without_outputs(&json!("text")), Some(json!("text")));
        assert_eq!(without_outputs(&Value::Null), None);
    }

    #[test]
    fn no_two_sections_have_the_same_name() {
        let brief = || Brief::new("Write").with_file("outline", "outline.md").with_section("glossary", "…");
        assert_eq!(brief().with_file("terms", "terms.json").with_section("input", "7").check(), Ok(()));
        for taken in
            ["outline", "glossary", "files", "objective", "agents", "debug_info", "existing_files", "work_so_far"]
        {
            let refused =
                Err(format!("cannot add the section {taken:?} to the prompt: the name is taken; use another one"));
            assert_eq!(brief().with_file(taken, "a.md").check(), refused);
            assert_eq!(brief().with_section(taken, "text").check(), refused);
        }
    }
}
