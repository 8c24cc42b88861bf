//! Workflows as users define them: nodes with their code. The journal keeps the [`WorkflowSpec`] of one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{InvalidName, Name, Plan, PlanError, WorkflowSpec};
use crate::projection::Graph;

use super::wiring::WorkflowBuilder;
use crate::runtime::task::code::ErasedTask;

/// A checked workflow and the code of its nodes.
#[derive(Clone)]
pub struct Workflow {
    pub(in crate::runtime) plan: Arc<Plan>,
    pub(in crate::runtime) tasks: HashMap<Name, Arc<dyn ErasedTask>>,
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", self.plan.workflow()).finish_non_exhaustive()
    }
}

/// Why a workflow cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name is invalid.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// The graph is invalid.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// A method that changes the last node, such as `after` or `retry`, was called before the first node.
    #[error("`{0}` was called before the first node; add a node first")]
    NoNode(&'static str),
    /// A node's output type is not the input type of the next one.
    #[error("node `{node}` takes `{takes}`, but gets `{gets}` from {from}")]
    Types {
        /// The node.
        node: Name,
        /// The type of its input.
        takes: String,
        /// The type that it would receive.
        gets: String,
        /// The nodes that the input comes from.
        from: String,
    },
}

impl Workflow {
    /// Starts the definition of a workflow.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// async fn length(_cx: Context, text: String) -> TaskResult<usize> {
    ///     Ok(text.len())
    /// }
    /// async fn show(_cx: Context, length: usize) -> TaskResult<String> {
    ///     Ok(format!("{length} bytes"))
    /// }
    /// let workflow = Workflow::new("measure").node("length", length).node("show", show).after("length").build()?;
    /// assert_eq!(workflow.name().as_str(), "measure");
    ///
    /// let wrong = Workflow::new("measure").node("length", length).node("again", length).after("length").build();
    /// assert_eq!(
    ///     wrong.unwrap_err().to_string(),
    ///     "node `again` takes `alloc::string::String`, but gets `usize` from `length`"
    /// );
    /// # Ok::<(), BuildError>(())
    /// ```
    #[expect(clippy::new_ret_no_self, reason = "the builder is how a workflow begins")]
    pub fn new(name: impl AsRef<str>) -> WorkflowBuilder {
        WorkflowBuilder::new(name.as_ref())
    }

    /// The workflow's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.plan.workflow()
    }

    /// The workflow as a graph: for terminals, as Mermaid, dot or SVG.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph::of_plan(&self.plan)
    }

    /// The workflow as data.
    #[must_use]
    pub fn spec(&self) -> WorkflowSpec {
        self.plan.spec()
    }
}
