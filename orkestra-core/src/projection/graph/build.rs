//! Builds graphs from a plan, from the state of a run, and from the events that added nodes.

use std::collections::{HashMap, HashSet};

use crate::kernel::{Change, Event, NodeChange, NodeStatus, RunState, StepState};
use crate::model::{Growth, Name, NodeId, Plan, PlanError, WorkflowSpec};

use super::label::{of_run, of_spec, of_state, report};
use super::{Graph, GraphEdge, GraphKind, GraphNode, GraphRun};

impl Graph {
    /// The graph of a workflow, without a run.
    ///
    /// # Errors
    /// [`PlanError`] when the workflow is not a valid plan.
    pub fn of_spec(spec: &WorkflowSpec) -> Result<Self, PlanError> {
        Plan::new(spec).map(|plan| Self::of_plan(&plan))
    }

    /// The graph of a plan, without a run.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        GraphFold::default().draw(plan, None)
    }

    /// The graph of a run in its current state. A state does not know which task added a node, nor the reports of
    /// tasks: see [`GraphFold`].
    #[must_use]
    pub fn of(state: &RunState) -> Self {
        GraphFold::default().draw(state.plan(), Some(state))
    }
}

/// Collects what a run's graph needs from events, because the state does not keep it: which task added which nodes and
/// edges, and the last report of each node.
#[derive(Clone, Debug, Default)]
pub struct GraphFold {
    grown: HashMap<Name, Name>,
    edges: HashSet<(Name, Name)>,
    reports: HashMap<Name, String>,
}

impl GraphFold {
    /// Adds the next event.
    pub fn add(&mut self, event: &Event) {
        let row = event.consequence();
        // Compensating nodes are added by no task.
        if let (Some(node), Some(growth)) = (row.node, row.growth) {
            self.grow(node, growth);
        }
        if let (Some(node), Change::Node(NodeChange::Reported { kind, payload })) = (row.node, row.change) {
            self.reports.insert(node.clone(), report(kind, payload));
        }
    }

    fn grow(&mut self, by: &Name, growth: &Growth) {
        for node in &growth.nodes {
            self.grown.insert(node.name.clone(), by.clone());
            self.edges.extend(node.after.iter().map(|before| (before.clone(), node.name.clone())));
        }
        self.edges.extend(growth.edges.iter().cloned());
    }

    /// The graph of the run in its current state, with everything collected so far.
    #[must_use]
    pub fn graph(&self, state: &RunState) -> Graph {
        self.draw(state.plan(), Some(state))
    }

    fn draw(&self, plan: &Plan, state: Option<&RunState>) -> Graph {
        let run = state.map(|state| GraphRun {
            id: state.id().clone(),
            status: state.status(),
            labels: of_run(state),
            updated_at: state.updated_at(),
            last: state.last(),
        });
        Graph {
            workflow: plan.workflow().clone(),
            version: plan.version().map(str::to_owned),
            run,
            nodes: plan.ids().map(|id| self.node(plan, state, id)).collect(),
            edges: plan.ids().flat_map(|to| self.edges_to(plan, to)).collect(),
        }
    }

    fn node(&self, plan: &Plan, state: Option<&RunState>, id: NodeId) -> GraphNode {
        let spec = &plan.node(id).spec;
        let node = state.map(|state| (state, state.node(id)));
        let mut labels = node.map(|(state, _)| of_state(state, id)).unwrap_or_default();
        let under_way = node.is_none_or(|(_, node)| !node.status.is_final());
        labels.extend(under_way.then(|| of_spec(spec)).into_iter().flatten());
        let running = node.is_some_and(|(_, node)| node.status == NodeStatus::Running);
        labels.extend(self.reports.get(&spec.name).filter(|_| running).cloned());
        GraphNode {
            name: spec.name.clone(),
            kind: GraphKind::from(&spec.kind),
            status: node.map(|(_, node)| node.status),
            attempt: node.map_or(0, |(_, node)| node.attempt),
            grown_by: self.grown.get(&spec.name).cloned(),
            undoes: state.filter(|state| state.is_undo(id)).and_then(|_| undone_by(plan, &spec.name)),
            children: state.map(|state| children(state, id)).unwrap_or_default(),
            labels,
        }
    }

    fn edges_to(&self, plan: &Plan, to: NodeId) -> impl Iterator<Item = GraphEdge> {
        let node = plan.node(to);
        let edge = |(from, name): (&NodeId, &Name)| GraphEdge {
            from: from.index(),
            to: to.index(),
            grown: !self.edges.is_empty() && self.edges.contains(&(name.clone(), node.spec.name.clone())),
        };
        node.after.iter().zip(&node.spec.after).map(edge).collect::<Vec<_>>().into_iter()
    }
}

/// The node that `name` compensates: its name follows `undo:`, or its number when the name was too long.
fn undone_by(plan: &Plan, name: &Name) -> Option<Name> {
    let rest = name.strip_prefix("undo:")?;
    let by_number = || rest.split_once(':').and_then(|(number, _)| number.parse().ok()).map(NodeId);
    let id = plan.id(rest).or_else(by_number).filter(|id| id.index() < plan.nodes().len())?;
    Some(plan.node(id).spec.name.clone())
}

fn children(state: &RunState, id: NodeId) -> Vec<crate::model::RunId> {
    let node = state.node(id);
    let steps = node.waits.keys().flatten().filter_map(|key| node.steps.get(key));
    let child = |step: &StepState| match step {
        StepState::Child(child) => Some(child.run.clone()),
        _ => None,
    };
    steps.filter_map(child).collect()
}
