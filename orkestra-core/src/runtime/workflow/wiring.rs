//! The builder of workflows in Rust: nodes with their code and options, checked by `build`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::model::{Condition, Join, Name, NodeKind, NodeSpec, OnFailure, Plan, Retry, SlotBy, SlotSpec, WorkflowSpec};

use super::definition::{BuildError, Workflow};
use crate::runtime::task::code::{ErasedTask, IntoTask, TypeTag};

/// Builds a workflow. The first mistake is kept and returned by [`WorkflowBuilder::build`].
pub struct WorkflowBuilder {
    name: String,
    version: Option<String>,
    nodes: Vec<Draft>,
    undo: HashMap<Name, Arc<dyn ErasedTask>>,
    mistake: Option<BuildError>,
}

struct Draft {
    spec: NodeSpec,
    task: Option<Arc<dyn ErasedTask>>,
    output: TypeTag,
}

impl WorkflowBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), version: None, nodes: Vec::new(), undo: HashMap::new(), mistake: None }
    }

    /// Sets the workflow's version. The upgrade report lists live runs that began with another one.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self }
    }

    /// Adds a node that runs `task`: an async function or a [`Task`](crate::Task).
    #[must_use]
    pub fn node<Marker>(mut self, name: impl AsRef<str>, task: impl IntoTask<Marker>) -> Self {
        let task = task.into_task();
        let output = task.output();
        let takes = task.input().short_name();
        self.add(name.as_ref(), |name| NodeSpec::task(name.clone(), name), Some(task), output);
        if let Some(draft) = self.nodes.last_mut() {
            draft.spec.takes = takes;
        }
        self
    }

    /// Adds a node that waits for the signal of the same name; the signal's payload is its output.
    #[must_use]
    pub fn gate<T: DeserializeOwned + 'static>(mut self, name: impl AsRef<str>) -> Self {
        self.add(name.as_ref(), |name| NodeSpec::gate(name.clone(), name), None, TypeTag::of::<T>());
        self
    }

    fn add(&mut self, name: &str, spec: fn(Name) -> NodeSpec, task: Option<Arc<dyn ErasedTask>>, output: TypeTag) {
        match Name::new(name) {
            Ok(name) => {
                let spec = NodeSpec { gives: output.short_name(), ..spec(name) };
                self.nodes.push(Draft { spec, task, output });
            }
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

    /// Starts the last node only after `node` has completed.
    #[must_use]
    pub fn after(mut self, node: impl AsRef<str>) -> Self {
        match Name::new(node) {
            Ok(name) => self.last("after", |spec| spec.after.push(name)),
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Starts the last node only after all of `nodes` have completed; it receives their outputs as a tuple or list in
    /// this order.
    #[must_use]
    pub fn after_all<Node: AsRef<str>>(self, nodes: impl IntoIterator<Item = Node>) -> Self {
        nodes.into_iter().fold(self, Self::after)
    }

    /// Sets how the last node is retried.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.last("retry", |spec| spec.retry = retry);
        self
    }

    /// Limits the time of one attempt of the last node, from start to end; for a gate, how long it waits.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.last("timeout", |spec| spec.timeout_ms = Some(millis(timeout)));
        self
    }

    /// Limits the total time of all attempts of the last node, including the delays between them.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.last("total_timeout", |spec| spec.total_timeout_ms = Some(millis(timeout)));
        self
    }

    /// Limits how long an attempt of the last node may go without a step, a wait, progress or a
    /// [`heartbeat`](crate::Context::heartbeat).
    #[must_use]
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.last("heartbeat_timeout", |spec| spec.heartbeat_timeout_ms = Some(millis(timeout)));
        self
    }

    /// Runs the last node only if `condition` holds; otherwise it is skipped, and so are the nodes that need it.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.last("when", |spec| spec.when = Some(condition));
        self
    }

    /// Sets which of its predecessors the last node waits for. Default: all.
    #[must_use]
    pub fn join(mut self, join: Join) -> Self {
        self.last("join", |spec| spec.join = join);
        self
    }

    /// Sets what happens when the last node has failed for good. Default: the run fails.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.last("on_failure", |spec| spec.on_failure = on_failure);
        self
    }

    /// Sets the task that compensates the last node if the node has completed and the run fails, is cancelled or times
    /// out. Nodes are compensated one after the other, in reverse order of completion. The task receives the node's
    /// output and is tried up to five times.
    #[must_use]
    pub fn compensate<Marker>(mut self, task: impl IntoTask<Marker>) -> Self {
        let Some(draft) = self.nodes.last_mut() else {
            self.note(BuildError::NoNode("compensate"));
            return self;
        };
        match Name::new(format!("undo:{}", draft.spec.name)) {
            Ok(name) => {
                draft.spec.compensate = Some(name.clone());
                self.undo.insert(name, task.into_task());
            }
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Sets how compensation of the last node is retried. Default: up to five attempts.
    #[must_use]
    pub fn compensate_retry(mut self, retry: Retry) -> Self {
        self.last("compensate_retry", |spec| spec.compensate_retry = Some(retry));
        self
    }

    /// Limits the time of one attempt to compensate the last node. Without a limit, a task that hangs keeps the run
    /// alive, even past its deadline, until the run is terminated.
    #[must_use]
    pub fn compensate_timeout(mut self, timeout: Duration) -> Self {
        self.last("compensate_timeout", |spec| spec.compensate_timeout_ms = Some(millis(timeout)));
        self
    }

    /// Sets the last node's priority among nodes that could start: higher goes first. Default: 0.
    #[must_use]
    pub fn node_priority(mut self, priority: i32) -> Self {
        self.last("node_priority", |spec| spec.priority = priority);
        self
    }

    /// Puts the last node's attempts under a limit of the engine, shared by all runs.
    #[must_use]
    pub fn limit(self, limit: impl AsRef<str>) -> Self {
        self.under(limit.as_ref(), None)
    }

    /// Puts the last node's attempts under a limit of the engine that counts each key separately.
    #[must_use]
    pub fn limit_by(self, limit: impl AsRef<str>, by: SlotBy) -> Self {
        self.under(limit.as_ref(), Some(by))
    }

    fn under(mut self, limit: &str, by: Option<SlotBy>) -> Self {
        match Name::new(limit) {
            Ok(limit) => self.last("limit", |spec| spec.limits.push(SlotSpec { limit, by })),
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Sets the version of the last node's code. The upgrade report lists live runs that began with another one.
    #[must_use]
    pub fn node_version(mut self, version: &str) -> Self {
        self.last("node_version", |spec| spec.version = Some(version.to_owned()));
        self
    }

    /// Checks the workflow: names, edges, cycles and types.
    ///
    /// # Errors
    /// The first mistake, as a [`BuildError`].
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
        let tasks = self.nodes.into_iter().filter_map(code).chain(self.undo).collect();
        Ok(Workflow { plan: Arc::new(plan), tasks })
    }

    fn check_types(&self, draft: &Draft, plan: &Plan) -> Result<(), BuildError> {
        let Some(takes) = draft.task.as_ref().map(|task| task.input()) else { return Ok(()) };
        let before: Vec<_> = draft.spec.after.iter().filter_map(|name| plan.id(name)).collect();
        let outputs: Vec<_> = before.iter().map(|id| self.nodes[id.index()].output).collect();
        if draft.spec.join != Join::All {
            // The input is one of the outputs, or a list with gaps: checked when it is read.
            return Ok(());
        }
        if takes.takes_anything() || outputs.iter().any(TypeTag::takes_anything) {
            return Ok(());
        }
        let gets = match outputs.as_slice() {
            [] => return Ok(()),
            [only] if *only == takes => return Ok(()),
            [only] => only.name().to_owned(),
            several => {
                // The names of tuples and lists are derived from the names of their parts, which are not quite unique.
                // A clash only lets a mismatch pass until the payload is read.
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
