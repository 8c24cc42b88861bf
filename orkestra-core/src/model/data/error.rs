//! The error for text that is not a valid workflow, with its place.

use std::fmt;

use serde::de;

use crate::model::id::Name;
use crate::model::limits::DATA_BYTES_MAX;
use crate::model::plan_error::PlanError;
use crate::model::printable::printable;

use super::located::Located;

/// How much of a mistake is shown, in characters: a quoted value may be as long as the text.
const SHOWN_CHARS_MAX: usize = 500;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
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

/// Why a text is not a valid workflow: the first mistake found. Its `Display` is one line of printable characters.
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

/// The sort of mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecErrorKind {
    /// The text is too long or nests too deep, as it stands or after its aliases are expanded.
    TooLarge,
    /// It is not valid JSON or YAML.
    Syntax,
    /// A field is unknown or missing, or a value has the wrong type or is out of range.
    Form,
    /// It has the form of a workflow, but no plan can be made from it.
    Plan(PlanError),
}

impl SpecError {
    pub(super) fn too_large(bytes: usize) -> Self {
        let what =
            format!("cannot read the workflow: the text has {bytes} bytes, more than the {DATA_BYTES_MAX} allowed");
        Self(Box::new(Parts { kind: SpecErrorKind::TooLarge, what, place: None, node: None, cycle: Vec::new() }))
    }

    /// The sort of mistake.
    #[must_use]
    pub fn kind(&self) -> &SpecErrorKind {
        &self.0.kind
    }

    /// The place of the mistake; `None` when the text was too large to be parsed.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    /// The node that the mistake is in: its name, or its position (`number 3`) when it has no valid name.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// All nodes of a cycle, each with the place of its `after` entry. Each node comes after the one before it in this
    /// list, and the first after the last. Empty when the mistake is not a cycle.
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
            // A `PlanError` names the node itself.
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

/// A mistake while it is being reported: places are byte positions, and nodes are steps on the path to the value.
#[derive(Debug)]
pub(super) struct Mistake(Box<Found>);

#[derive(Debug)]
struct Found {
    kind: SpecErrorKind,
    what: String,
    at: Option<usize>,
    /// The path to the value, last step first.
    path: Vec<Step>,
    cycle: Vec<(Name, usize)>,
}

#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

impl Mistake {
    pub(super) fn new(kind: SpecErrorKind, what: impl Into<String>, at: usize) -> Self {
        Self(Box::new(Found { kind, what: what.into(), at: Some(at), path: Vec::new(), cycle: Vec::new() }))
    }

    /// Sets the position unless it is known.
    pub(super) fn or_at(mut self, at: usize) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    /// Adds one step towards the root.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// Places the mistake in node `index`, counted from 0.
    pub(super) fn in_node(self, index: usize) -> Self {
        self.within(Step::Item(index)).within(Step::Key("nodes".to_owned()))
    }

    pub(super) fn with_cycle(mut self, cycle: Vec<(Name, usize)>) -> Self {
        self.0.cycle = cycle;
        self
    }

    /// Turns the mistake into the public error. `tree` is the document, if it could be parsed.
    pub(super) fn in_text(self, text: &str, tree: Option<&Located<'_>>) -> SpecError {
        let Found { kind, what, at, path, cycle } = *self.0;
        let mut path: Vec<_> = path.into_iter().rev().collect();
        let mut node = None;
        if let [Step::Key(nodes), Step::Item(index), ..] = path.as_slice()
            && nodes == "nodes"
        {
            let name = tree.and_then(|tree| tree.get("nodes")?.items().get(*index)?.get("name")?.text());
            let known = name.filter(|name| Name::new(name).is_ok());
            node = Some(known.map_or_else(|| format!("number {}", index + 1), str::to_owned));
            path.drain(..2);
        }
        let field = show(&path);
        let what = if field.is_empty() { what } else { format!("`{field}`: {what}") };
        let place = |at: usize| Place::of(text, at);
        let cycle = cycle.into_iter().map(|(node, at)| (node, place(at))).collect();
        SpecError(Box::new(Parts { kind, what: printable(&what, SHOWN_CHARS_MAX), place: at.map(place), node, cycle }))
    }
}

fn show(path: &[Step]) -> String {
    let mut shown = String::new();
    for step in path {
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
        Self(Box::new(Found { kind: SpecErrorKind::Form, what, at: None, path: Vec::new(), cycle: Vec::new() }))
    }
}

impl std::error::Error for Mistake {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}
