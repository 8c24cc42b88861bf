//! Workflows as users write them: nodes with their code. [`WorkflowSpec`] is what remains of one in the journal.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::model::{InvalidName, Name, NodeKind, NodeSpec, Plan, PlanError, Retry, WorkflowSpec};

use super::task::{ErasedTask, IntoTask, TypeTag};

/// A checked workflow and the code of its nodes.
#[derive(Clone)]
pub struct Workflow {
    pub(super) plan: Arc<Plan>,
    pub(super) tasks: HashMap<Name, Arc<dyn ErasedTask>>,
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
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The graph is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `after`, `retry` or `timeout` before the first node.
    #[error("`{0}` stands before the first node")]
    NoNode(&'static str),
    /// What a node gives is not what the next one takes.
    #[error("node `{node}` takes `{takes}`, but gets `{gets}` from {from}")]
    Types {
        /// The node.
        node: Name,
        /// The type of its input.
        takes: String,
        /// The type that comes.
        gets: String,
        /// The nodes that it comes from.
        from: String,
    },
}

impl Workflow {
    /// Begins a workflow.
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
    pub fn new(name: &str) -> WorkflowBuilder {
        WorkflowBuilder::new(name)
    }

    /// The workflow's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.plan.workflow()
    }

    /// The workflow as data.
    #[must_use]
    pub fn spec(&self) -> WorkflowSpec {
        self.plan.spec()
    }
}

/// A workflow being written. The first mistake is kept and reported by [`WorkflowBuilder::build`].
pub struct WorkflowBuilder {
    name: String,
    version: Option<String>,
    nodes: Vec<Draft>,
    mistake: Option<BuildError>,
}

struct Draft {
    spec: NodeSpec,
    task: Option<Arc<dyn ErasedTask>>,
    output: TypeTag,
}

impl WorkflowBuilder {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), version: None, nodes: Vec::new(), mistake: None }
    }

    /// Gives the workflow a version, for people.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self }
    }

    /// Adds a node that runs `task`: an async function or a [`Task`](super::Task).
    #[must_use]
    pub fn node<Marker>(mut self, name: &str, task: impl IntoTask<Marker>) -> Self {
        let task = task.into_task();
        let output = task.output();
        self.add(name, |name| NodeSpec::task(name.clone(), name), Some(task), output);
        self
    }

    /// Adds a node that waits for the signal of its name; the signal's payload is its output.
    #[must_use]
    pub fn gate<T: DeserializeOwned + 'static>(mut self, name: &str) -> Self {
        self.add(name, |name| NodeSpec::gate(name.clone(), name), None, TypeTag::of::<T>());
        self
    }

    fn add(&mut self, name: &str, spec: fn(Name) -> NodeSpec, task: Option<Arc<dyn ErasedTask>>, output: TypeTag) {
        match Name::new(name) {
            Ok(name) => self.nodes.push(Draft { spec: spec(name), task, output }),
            Err(error) => self.note(error.into()),
        }
    }

    fn note(&mut self, mistake: BuildError) {
        self.mistake.get_or_insert(mistake);
    }

    fn last(&mut self, what: &'static str, change: impl FnOnce(&mut NodeSpec)) {
        match self.nodes.last_mut() {
            Some(draft) => change(&mut draft.spec),
            None => self.note(BuildError::NoNode(what)),
        }
    }

    /// Lets the last node begin when `node` has completed.
    #[must_use]
    pub fn after(mut self, node: &str) -> Self {
        match Name::new(node) {
            Ok(name) => self.last("after", |spec| spec.after.push(name)),
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Lets the last node begin when all of `nodes` have completed; their outputs come as a tuple or list in this order.
    #[must_use]
    pub fn after_all<'a>(self, nodes: impl IntoIterator<Item = &'a str>) -> Self {
        nodes.into_iter().fold(self, Self::after)
    }

    /// Lets the last node be tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.last("retry", |spec| spec.retry = retry);
        self
    }

    /// Limits how long an attempt of the last node may take, from start to close; for a gate, how long it waits.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.last("timeout", |spec| spec.timeout_ms = Some(millis));
        self
    }

    /// Checks everything: names, edges, cycles, types.
    ///
    /// # Errors
    /// [`BuildError`], the first mistake.
    pub fn build(self) -> Result<Workflow, BuildError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let nodes = self.nodes.iter().map(|draft| draft.spec.clone()).collect();
        let plan = Plan::new(&WorkflowSpec { name: Name::new(&self.name)?, version: self.version.clone(), nodes })?;
        for draft in &self.nodes {
            self.check_types(draft, &plan)?;
        }
        let code = |draft: Draft| match (draft.spec.kind, draft.task) {
            (NodeKind::Task(name), Some(task)) => Some((name, task)),
            _ => None,
        };
        let tasks = self.nodes.into_iter().filter_map(code).collect();
        Ok(Workflow { plan: Arc::new(plan), tasks })
    }

    fn check_types(&self, draft: &Draft, plan: &Plan) -> Result<(), BuildError> {
        let Some(takes) = draft.task.as_ref().map(|task| task.input()) else { return Ok(()) };
        let before: Vec<_> = draft.spec.after.iter().filter_map(|name| plan.id(name)).collect();
        let outputs: Vec<_> = before.iter().map(|id| self.nodes[id.index()].output).collect();
        if takes.takes_anything() || outputs.iter().any(TypeTag::takes_anything) {
            return Ok(());
        }
        let gets = match outputs.as_slice() {
            [] => return Ok(()),
            [only] if *only == takes => return Ok(()),
            [only] => only.name().to_owned(),
            several => {
                // The names of tuples and lists are made of their parts' names, which the compiler keeps unique
                // enough: a clash could only let a mismatch pass to where the payload is read.
                let names: Vec<_> = several.iter().map(TypeTag::name).collect();
                let tuple = format!("({})", names.join(", "));
                let list = format!("alloc::vec::Vec<{}>", names[0]);
                let uniform = names.iter().all(|name| *name == names[0]);
                if takes.name() == tuple || (uniform && takes.name() == list) {
                    return Ok(());
                }
                tuple
            }
        };
        let from = draft.spec.after.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Err(BuildError::Types { node: draft.spec.name.clone(), takes: takes.name().to_owned(), gets, from })
    }
}

impl fmt::Debug for WorkflowBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
