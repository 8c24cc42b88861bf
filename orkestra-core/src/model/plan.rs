//! The validated graph of a run: without cycles, duplicates or unknown names.
//!
//! A plan only grows: nodes are appended, and a node's place never changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fingerprint::Fingerprint;
use super::graph::{Cycle, Graph};
use super::id::{Name, NodeId};
use super::join::Join;
use super::limits::{EDGES_MAX, NODE_LIMITS_MAX, NODES_MAX};
use super::node::NodeSpec;
use super::plan_error::PlanError;
use super::workflow::{Growth, WorkflowSpec};

/// The frozen graph of a workflow, or the grown one of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    workflow: Name,
    version: Option<String>,
    nodes: Vec<PlanNode>,
    places: HashMap<Name, NodeId>,
    graph: Graph,
    /// How many nodes were declared; the rest were added by growth.
    declared: usize,
    fingerprint: OnceLock<Fingerprint>,
}

/// A node in its plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanNode {
    /// The node's definition, including edges added by growth.
    pub spec: NodeSpec,
    /// The nodes before it, in order of declaration.
    pub after: Vec<NodeId>,
}

/// The maximum size of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanSize {
    nodes: usize,
    edges: usize,
}

impl PlanSize {
    /// For the work of a run.
    pub(crate) const WORK: Self = Self { nodes: NODES_MAX, edges: EDGES_MAX };
    /// With compensation: one node and one edge more for each node, so that even the largest run can be compensated.
    pub(crate) const WITH_COMPENSATION: Self = Self { nodes: 2 * NODES_MAX, edges: EDGES_MAX + NODES_MAX };
}

impl Plan {
    /// Checks `spec` and freezes it.
    ///
    /// # Errors
    /// [`PlanError`], the first problem found; a cycle is named in full.
    pub fn new(spec: &WorkflowSpec) -> Result<Self, PlanError> {
        // IMPORTANT: this check comes first. The others recurse as deep as conditions nest.
        spec.nodes.iter().try_for_each(NodeSpec::check)?;
        Self::read(spec)
    }

    /// Makes a plan from a journal. Skips the checks that older versions lacked: what was once accepted must stay
    /// readable.
    fn read(spec: &WorkflowSpec) -> Result<Self, PlanError> {
        let plan = Self::built(spec, spec.nodes.len(), PlanSize::WORK)?;
        plan.nodes.iter().try_for_each(|node| check_node(&node.spec))?;
        plan.acyclic()
    }

    /// A plan with growth, from all of its nodes; the first `declared` of them were declared.
    pub(super) fn regrown(spec: &WorkflowSpec, declared: usize) -> Result<Self, PlanError> {
        Self::built(spec, declared.min(spec.nodes.len()), PlanSize::WITH_COMPENSATION)?.acyclic()
    }

    pub(super) const fn declared(&self) -> usize {
        self.declared
    }

    fn built(spec: &WorkflowSpec, declared: usize, size: PlanSize) -> Result<Self, PlanError> {
        if spec.nodes.is_empty() {
            return Err(PlanError::Empty(spec.name.clone()));
        }
        let mut plan = Self {
            workflow: spec.name.clone(),
            version: spec.version.clone(),
            nodes: Vec::with_capacity(spec.nodes.len()),
            places: HashMap::with_capacity(spec.nodes.len()),
            graph: Graph::default(),
            declared,
            fingerprint: OnceLock::new(),
        };
        plan.append(&spec.nodes, &[], size)?;
        Ok(plan)
    }

    fn acyclic(self) -> Result<Self, PlanError> {
        let name = |id: NodeId| self.node(id).spec.name.clone();
        match self.graph.check() {
            Ok(()) => Ok(self),
            Err(Cycle(nodes)) => Err(PlanError::Cycle(nodes.into_iter().map(name).collect())),
        }
    }

    /// Checks whether `growth` fits. `started` returns whether a node has started. Costs what the growth touches and
    /// what comes after it, not the size of the plan.
    ///
    /// # Errors
    /// [`PlanError`] when it does not fit. The plan is unchanged.
    pub(crate) fn check_growth(
        &self,
        growth: &Growth,
        size: PlanSize,
        started: impl Fn(NodeId) -> bool,
    ) -> Result<(), PlanError> {
        if let Some((_, after)) = growth.edges.iter().find(|(_, after)| self.id(after).is_some_and(&started)) {
            return Err(PlanError::Started(after.clone()));
        }
        if self.nodes.len() + growth.nodes.len() > size.nodes {
            return Err(PlanError::TooLarge);
        }
        let mut new = HashMap::with_capacity(growth.nodes.len());
        for (node, place) in growth.nodes.iter().zip(self.nodes.len()..) {
            let id = NodeId(u32::try_from(place).expect("NODES_MAX fits"));
            if self.id(&node.name).is_some() || new.insert(&node.name, id).is_some() {
                return Err(PlanError::DuplicateNode(node.name.clone()));
            }
        }
        growth.nodes.iter().try_for_each(check_node)?;
        let place = |name: &Name| self.id(name).or_else(|| new.get(name).copied());
        let is_new = |id: NodeId| id.index() >= self.nodes.len();
        let mut edges = BTreeSet::new();
        for (before, after) in all_edges(&growth.nodes, &growth.edges) {
            let unknown = |unknown: &Name| PlanError::UnknownNode { node: after.clone(), unknown: unknown.clone() };
            let from = place(before).ok_or_else(|| unknown(before))?;
            let to = place(after).ok_or_else(|| unknown(after))?;
            if is_new(from) || is_new(to) || !self.graph.has_edge(from, to) {
                edges.insert((from, to));
            }
        }
        if self.graph.edges() + edges.len() > size.edges {
            return Err(PlanError::TooLarge);
        }
        let name = |id: NodeId| match id.index().checked_sub(self.nodes.len()) {
            Some(place) => growth.nodes[place].name.clone(),
            None => self.node(id).spec.name.clone(),
        };
        self.graph.check_with(&edges).map_err(|Cycle(nodes)| PlanError::Cycle(nodes.into_iter().map(name).collect()))
    }

    /// Adds a growth that [`check_growth`](Self::check_growth) accepted.
    ///
    /// # Errors
    /// [`PlanError`] when the growth does not fit. The plan must not be used afterwards.
    pub(crate) fn grow(&mut self, growth: &Growth, size: PlanSize) -> Result<(), PlanError> {
        self.fingerprint = OnceLock::new();
        self.append(&growth.nodes, &growth.edges, size)
    }

    fn append(&mut self, nodes: &[NodeSpec], edges: &[(Name, Name)], size: PlanSize) -> Result<(), PlanError> {
        if self.nodes.len() + nodes.len() > size.nodes {
            return Err(PlanError::TooLarge);
        }
        for spec in nodes {
            let id = self.graph.add_node();
            if self.places.insert(spec.name.clone(), id).is_some() {
                return Err(PlanError::DuplicateNode(spec.name.clone()));
            }
            let spec = NodeSpec { after: Vec::with_capacity(spec.after.len()), ..spec.clone() };
            self.nodes.push(PlanNode { spec, after: Vec::new() });
        }
        for (before, after) in all_edges(nodes, edges) {
            self.connect(before, after, size)?;
        }
        Ok(())
    }

    fn connect(&mut self, before: &Name, after: &Name, size: PlanSize) -> Result<(), PlanError> {
        let unknown = |unknown: &Name| PlanError::UnknownNode { node: after.clone(), unknown: unknown.clone() };
        let from = self.id(before).ok_or_else(|| unknown(before))?;
        let to = self.id(after).ok_or_else(|| unknown(after))?;
        let new = self.graph.add_edge(from, to);
        if self.graph.edges() > size.edges {
            return Err(PlanError::TooLarge);
        }
        if new {
            let node = &mut self.nodes[to.index()];
            node.after.push(from);
            node.spec.after.push(before.clone());
        }
        Ok(())
    }

    /// The workflow's name.
    #[must_use]
    pub const fn workflow(&self) -> &Name {
        &self.workflow
    }

    /// The workflow's version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// All nodes, in order of place.
    #[must_use]
    pub fn nodes(&self) -> &[PlanNode] {
        &self.nodes
    }

    /// The node at `id`.
    ///
    /// # Panics
    /// If `id` belongs to another plan.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &PlanNode {
        &self.nodes[id.index()]
    }

    /// The place of the node named `name`.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NodeId> {
        self.places.get(name).copied()
    }

    /// The places of all nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.ids_from(0)
    }

    /// The places of the nodes from place `first` on.
    pub(crate) fn ids_from(&self, first: usize) -> impl Iterator<Item = NodeId> + use<> {
        let [first, count] = [first, self.nodes.len()].map(|place| u32::try_from(place).expect("NODES_MAX fits"));
        (first..count).map(NodeId)
    }

    /// The nodes right after `id`.
    pub fn dependents(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.dependents(id)
    }

    /// The number of nodes right before `id`.
    #[must_use]
    pub fn in_degree(&self, id: NodeId) -> usize {
        self.graph.in_degree(id)
    }

    /// The nodes that no other node comes after. Their outputs are the run's output.
    pub fn sinks(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ids().filter(|&id| self.graph.dependents(id).next().is_none())
    }

    /// Whether the node was added while the run was live.
    #[must_use]
    pub fn is_grown(&self, id: NodeId) -> bool {
        id.index() >= self.declared
    }

    /// Whether nodes were added while the run was live.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.nodes.len() > self.declared
    }

    /// The digest of the plan in its current form. Computed once per form.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| self.digest())
    }

    fn digest(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        let nodes: Vec<_> = self.nodes.iter().map(|node| &node.spec).collect();
        let whole = serde_json::to_vec(&(&self.workflow, &self.version, nodes)).expect("plain data serialises");
        digest.update(whole);
        Fingerprint(digest.finalize().into())
    }

    /// The plan as a workflow definition, including growth.
    #[must_use]
    pub fn spec(&self) -> WorkflowSpec {
        let nodes = self.nodes.iter().map(|node| node.spec.clone()).collect();
        WorkflowSpec { name: self.workflow.clone(), version: self.version.clone(), nodes }
    }
}

/// Checks that a node's condition, join and limits fit its other fields.
fn check_node(node: &NodeSpec) -> Result<(), PlanError> {
    let name = || node.name.clone();
    if let Some(of) = node.when.iter().flat_map(|when| when.nodes()).find(|of| !node.after.contains(of)) {
        return Err(PlanError::Condition { node: name(), of: of.clone() });
    }
    match node.join {
        Join::AtLeast(wants) if wants > node.after.len() || wants == 0 => {
            return Err(PlanError::Join { node: name(), wants, has: node.after.len() });
        }
        _ => {}
    }
    if node.limits.len() > NODE_LIMITS_MAX {
        return Err(PlanError::TooManyLimits(name()));
    }
    let of_attempts = [node.timeout_ms, node.total_timeout_ms, node.heartbeat_timeout_ms];
    if of_attempts.contains(&Some(0)) || node.compensate_timeout_ms == Some(0) {
        return Err(PlanError::ZeroTimeout(name()));
    }
    Ok(())
}

/// The edges that the nodes declare, followed by `edges`.
fn all_edges<'a>(nodes: &'a [NodeSpec], edges: &'a [(Name, Name)]) -> impl Iterator<Item = (&'a Name, &'a Name)> {
    let declared = nodes.iter().flat_map(|node| node.after.iter().map(move |before| (before, &node.name)));
    declared.chain(edges.iter().map(|(before, after)| (before, after)))
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.spec().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec = WorkflowSpec::deserialize(deserializer)?;
        Self::read(&spec).map_err(serde::de::Error::custom)
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.spec() == other.spec()
    }
}
