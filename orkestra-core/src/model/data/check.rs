//! Checks of a whole workflow (unknown names, cycles, ranges), with the place of the mistake in the text.

use std::collections::HashMap;

use crate::model::id::Name;
use crate::model::node::NodeSpec;
use crate::model::plan::Plan;
use crate::model::plan_error::PlanError;
use crate::model::workflow::WorkflowSpec;

use super::error::{Mistake, SpecErrorKind, Step};
use super::located::Located;

/// Returns the first mistake of `spec`, which was read from `tree`.
pub(super) fn check(spec: &WorkflowSpec, tree: &Located<'_>) -> Result<(), Mistake> {
    for (index, node) in spec.nodes.iter().enumerate() {
        check_retry(node, tree, index)?;
    }
    let Err(error) = Plan::new(spec) else { return Ok(()) };
    Err(Finder { spec, tree }.find(error))
}

/// The engine clamps a retry policy that is out of range. In a text that is a mistake, and its author should know.
fn check_retry(node: &NodeSpec, tree: &Located<'_>, index: usize) -> Result<(), Mistake> {
    let Some((path, what)) = node.retry.mistake() else { return Ok(()) };
    let field = path.trim_start_matches("retry.");
    let written = tree.get("nodes").and_then(|nodes| nodes.items().get(index)?.get("retry"));
    let at = written.map_or(tree.at, |retry| retry.get(field).map_or(retry.at, |value| value.at));
    let mistake = Mistake::new(SpecErrorKind::Form, what, at).within(Step::Key(field.to_owned()));
    Err(mistake.within(Step::Key("retry".to_owned())).in_node(index))
}

/// Finds the place of a plan's mistake in the text.
struct Finder<'a> {
    spec: &'a WorkflowSpec,
    tree: &'a Located<'a>,
}

impl Finder<'_> {
    fn find(&self, error: PlanError) -> Mistake {
        let what = match &error {
            PlanError::Cycle(_) => "the workflow has a cycle".to_owned(),
            other => other.to_string(),
        };
        let (index, at, cycle) = match &error {
            PlanError::DuplicateNode(name) => {
                let second = self.indices(name).nth(1);
                (second, self.field(second, "name"), Vec::new())
            }
            PlanError::UnknownNode { node, unknown } => {
                let index = self.indices(node).next();
                (index, self.edge(index, unknown), Vec::new())
            }
            PlanError::Cycle(names) => {
                let cycle = self.cycle(names);
                (self.index(&names[0]), cycle[0].1, cycle)
            }
            PlanError::Condition { node, .. } => self.at_field(node, &["when"]),
            PlanError::Field { node, field, .. } => {
                self.at_field(node, &[field.split_once('.').map_or(*field, |(field, _)| field)])
            }
            PlanError::Join { node, .. } => self.at_field(node, &["join"]),
            PlanError::TooManyLimits(node) => self.at_field(node, &["limits"]),
            PlanError::ZeroTimeout(node) => {
                self.at_zero(node, &["timeout_ms", "total_timeout_ms", "heartbeat_timeout_ms", "compensate_timeout_ms"])
            }
            _ => (None, self.tree.get("nodes").map_or(self.tree.at, |nodes| nodes.at), Vec::new()),
        };
        let mistake = Mistake::new(SpecErrorKind::Plan(error), what, at).with_cycle(cycle);
        match index {
            Some(index) => mistake.in_node(index),
            None => mistake,
        }
    }

    fn indices<'b>(&'b self, name: &'b Name) -> impl Iterator<Item = usize> + 'b {
        self.spec.nodes.iter().enumerate().filter(move |(_, node)| node.name == *name).map(|(index, _)| index)
    }

    fn index(&self, name: &Name) -> Option<usize> {
        self.indices(name).next()
    }

    fn written(&self, index: Option<usize>) -> &Located<'_> {
        index.and_then(|index| self.tree.get("nodes")?.items().get(index)).unwrap_or(self.tree)
    }

    fn field(&self, index: Option<usize>, field: &str) -> usize {
        let node = self.written(index);
        node.get(field).map_or(node.at, |value| value.at)
    }

    /// The entry of `after` that names `before`.
    fn edge(&self, index: Option<usize>, before: &Name) -> usize {
        let node = self.written(index);
        let entry = node.get("after").and_then(|after| after.items().iter().find(|item| item.text() == Some(before)));
        entry.map_or(node.at, |entry| entry.at)
    }

    fn at_field(&self, node: &Name, fields: &[&str]) -> (Option<usize>, usize, Vec<(Name, usize)>) {
        let index = self.index(node);
        (index, self.field(index, fields[0]), Vec::new())
    }

    fn at_zero(&self, node: &Name, fields: &[&str]) -> (Option<usize>, usize, Vec<(Name, usize)>) {
        let index = self.index(node);
        let written = self.written(index);
        let zero = |field: &&&str| written.get(field).is_some_and(|value| &*value.to_json() == "0");
        let field = fields.iter().find(zero).unwrap_or(&fields[0]);
        (index, self.field(index, field), Vec::new())
    }

    /// Each node of the cycle with the position of its `after` entry for the node before it.
    fn cycle(&self, names: &[Name]) -> Vec<(Name, usize)> {
        let indices: HashMap<&Name, usize> =
            self.spec.nodes.iter().enumerate().map(|(index, node)| (&node.name, index)).collect();
        let before = names.iter().cycle().skip(names.len() - 1);
        let place = |(name, before): (&Name, &Name)| (name.clone(), self.edge(indices.get(name).copied(), before));
        names.iter().zip(before).map(place).collect()
    }
}
