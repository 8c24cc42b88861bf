//! The code that an engine knows: workflows, and the tasks behind their nodes. It never changes once the engine runs.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kernel::RunState;
use crate::model::{Growth, Name, NodeKind, NodeSpec, Plan};

use crate::runtime::task::code::ErasedTask;

/// The registered workflows and tasks of an engine.
#[derive(Default)]
pub(in crate::runtime) struct Registry {
    pub(in crate::runtime) plans: HashMap<Name, Arc<Plan>>,
    /// Tasks that any workflow may name.
    pub(in crate::runtime) tasks: HashMap<Name, Arc<dyn ErasedTask>>,
    /// Tasks that belong to one workflow.
    pub(in crate::runtime) workflow_tasks: HashMap<Name, HashMap<Name, Arc<dyn ErasedTask>>>,
}

impl Registry {
    /// The registered workflow of this name.
    pub(in crate::runtime) fn plan(&self, workflow: &str) -> Option<Arc<Plan>> {
        self.plans.get(workflow).cloned()
    }

    /// The code of a task: the workflow's own, or one registered for all.
    pub(in crate::runtime) fn task(&self, workflow: &Name, task: &Name) -> Option<Arc<dyn ErasedTask>> {
        let own = self.workflow_tasks.get(workflow).and_then(|tasks| tasks.get(task));
        own.or_else(|| self.tasks.get(task)).cloned()
    }

    /// A task that the plan names and that is not registered.
    pub(in crate::runtime) fn missing_task(&self, plan: &Plan) -> Option<Name> {
        let nodes = plan.nodes().iter().map(|node| &node.spec);
        self.missing(plan.workflow(), nodes)
    }

    /// A task that a growth of the run names and that is not registered.
    pub(in crate::runtime) fn missing_growth_task(&self, state: &RunState, growth: &Growth) -> Option<Name> {
        self.missing(state.plan().workflow(), growth.nodes.iter())
    }

    fn missing<'a>(&self, workflow: &Name, mut nodes: impl Iterator<Item = &'a NodeSpec>) -> Option<Name> {
        nodes.find_map(|node| {
            let task = match &node.kind {
                NodeKind::Task(task) => Some(task),
                NodeKind::Gate(_) => None,
            };
            task.into_iter().chain(&node.compensate).find(|task| self.task(workflow, task).is_none()).cloned()
        })
    }
}
