//! What is wrong with a text that should be a workflow, and where.

use std::fmt;

use serde::de;

use crate::model::id::Name;
use crate::model::limits::DATA_BYTES_MAX;
use crate::model::plan_error::PlanError;
use crate::model::printable::printable;

use super::located::Located;

/// How much of a mistake is shown: what was found may be as long as the text.
const SHOWN_CHARS_MAX: usize = 500;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in it, counted from 1.
    pub column: usize,
}

impl Place {
    fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        Self { line, column }
    }
}

/// Why a text is no workflow: the first mistake found. Shows as one line of printable characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    kind: SpecErrorKind,
    what: String,
    place: Option<Place>,
    node: Option<String>,
    cycle: Vec<(Name, Place)>,
}

/// What sort of mistake it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecErrorKind {
    /// The text, or what its aliases stand for, is larger or deeper than is read.
    TooLarge,
    /// It is no JSON, or no YAML.
    Syntax,
    /// It has an unknown field, a value of the wrong type or out of range, or lacks something.
    Form,
    /// It looks like a workflow, and no run could follow it.
    Plan(PlanError),
}

impl SpecError {
    pub(super) fn too_large(bytes: usize) -> Self {
        let what = format!("the text has {bytes} bytes, and at most {DATA_BYTES_MAX} are read");
        Self(Box::new(Parts { kind: SpecErrorKind::TooLarge, what, place: None, node: None, cycle: Vec::new() }))
    }

    /// What sort of mistake it is.
    #[must_use]
    pub fn kind(&self) -> &SpecErrorKind {
        &self.0.kind
    }

    /// Where it is; nowhere when the text was too large to be looked at.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    /// The node that it is in: its name, or which one it is (`number 3`) when it has none.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// All nodes of a cycle, each with the place where it says what it comes after; each comes after the one before it
    /// here, and the first after the last. Empty when there is none.
    #[must_use]
    pub fn cycle(&self) -> &[(Name, Place)] {
        &self.0.cycle
    }
}

impl std::error::Error for SpecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            SpecErrorKind::Plan(mistake) => Some(mistake),
            SpecErrorKind::TooLarge | SpecErrorKind::Syntax | SpecErrorKind::Form => None,
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { kind, what, place, node, cycle } = &*self.0;
        if let Some(Place { line, column }) = place {
            write!(f, "line {line}, column {column}")?;
            // What a plan says of a mistake names the node already.
            match node.as_ref().filter(|_| !matches!(kind, SpecErrorKind::Plan(_))) {
                Some(node) if Name::new(node).is_ok() => write!(f, ", node `{node}`: ")?,
                Some(number) => write!(f, ", node {number}: ")?,
                None => f.write_str(": ")?,
            }
        }
        f.write_str(what)?;
        for (place, (node, at)) in cycle.iter().chain(cycle.first()).enumerate() {
            write!(f, "{}`{node}` (line {})", if place == 0 { ": " } else { " -> " }, at.line)?;
        }
        Ok(())
    }
}

/// A mistake as it is found: places are positions in the text, nodes are steps on the way to the value.
#[derive(Debug)]
pub(super) struct Mistake(Box<Found>);

#[derive(Debug)]
struct Found {
    kind: SpecErrorKind,
    what: String,
    at: Option<usize>,
    /// The way to the value, its last step first.
    way: Vec<Step>,
    cycle: Vec<(Name, usize)>,
}

#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

impl Mistake {
    pub(super) fn new(kind: SpecErrorKind, what: impl Into<String>, at: usize) -> Self {
        Self(Box::new(Found { kind, what: what.into(), at: Some(at), way: Vec::new(), cycle: Vec::new() }))
    }

    /// The same, at `at` when nobody has said where it is.
    pub(super) fn or_at(mut self, at: usize) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    /// The same, one step further from the root.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.way.push(step);
        self
    }

    /// The same in the node number `index`, counted from 0.
    pub(super) fn in_node(self, index: usize) -> Self {
        self.within(Step::Item(index)).within(Step::Key("nodes".to_owned()))
    }

    pub(super) fn with_cycle(mut self, cycle: Vec<(Name, usize)>) -> Self {
        self.0.cycle = cycle;
        self
    }

    /// The mistake for people; `tree` is the document, if it could be read.
    pub(super) fn in_text(self, text: &str, tree: Option<&Located<'_>>) -> SpecError {
        let Found { kind, what, at, way, cycle } = *self.0;
        let mut way: Vec<_> = way.into_iter().rev().collect();
        let mut node = None;
        if let [Step::Key(nodes), Step::Item(index), ..] = way.as_slice()
            && nodes == "nodes"
        {
            let name = tree.and_then(|tree| tree.get("nodes")?.items().get(*index)?.get("name")?.text());
            let known = name.filter(|name| Name::new(name).is_ok());
            node = Some(known.map_or_else(|| format!("number {}", index + 1), str::to_owned));
            way.drain(..2);
        }
        let field = show(&way);
        let what = if field.is_empty() { what } else { format!("`{field}`: {what}") };
        let place = |at: usize| Place::of(text, at);
        let cycle = cycle.into_iter().map(|(node, at)| (node, place(at))).collect();
        SpecError(Box::new(Parts { kind, what: printable(&what, SHOWN_CHARS_MAX), place: at.map(place), node, cycle }))
    }
}

fn show(way: &[Step]) -> String {
    let mut shown = String::new();
    for step in way {
        match step {
            Step::Key(key) if shown.is_empty() => shown.push_str(key),
            Step::Key(key) => shown.extend([".", key]),
            Step::Item(index) => shown.push_str(&format!("[{index}]")),
        }
    }
    shown
}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let what = message.to_string();
        Self(Box::new(Found { kind: SpecErrorKind::Form, what, at: None, way: Vec::new(), cycle: Vec::new() }))
    }
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}
