//! The paths of a file and where they begin: in the crate, in an outer module, or in another crate.

use super::source::{Source, is_word};

/// The beginning of one path, in a `use` or in the code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PathStart {
    /// Position in [`Source::code`].
    pub(crate) position: usize,
    /// The first word: `crate`, `super`, `self`, a crate, or a local name.
    pub(crate) root: String,
    /// How many `super` there are.
    pub(crate) supers: usize,
    /// The word after `crate` or the last `super`; `*` for a glob.
    pub(crate) next: String,
}

/// Every path of the file. `use a::{b, c::d}` begins once, with `a`; `use crate::{b, c::d}` begins twice, with `b` and `c`.
pub(crate) fn paths(source: &Source) -> Vec<PathStart> {
    let mut found = Vec::new();
    let mut position = 0;
    while position < source.code.len() {
        let word: String = source.word_at(position).iter().collect();
        if word.is_empty() {
            position += 1;
            continue;
        }
        let after = position + word.chars().count();
        if word == "use" && source.code.get(after).is_some_and(|c| c.is_whitespace()) && !follows(source, position, '+')
        {
            read_tree(source, source.skip_blanks(after), Reader::start(), &mut found);
            position =
                source.code[after..].iter().position(|c| *c == ';').map_or(source.code.len(), |offset| after + offset);
            continue;
        }
        let is_path = source.starts_with(source.skip_blanks(after), "::");
        if is_path && !continues_a_path(source, position) {
            read_tree(source, position, Reader::start(), &mut found);
        }
        position = after;
    }
    found
}

#[derive(Clone)]
struct Reader {
    root: Option<String>,
    supers: usize,
}

impl Reader {
    fn start() -> Self {
        Self { root: None, supers: 0 }
    }
}

/// Reads one path, or a whole tree of them, that begins at `position`.
fn read_tree(source: &Source, position: usize, reader: Reader, found: &mut Vec<PathStart>) {
    let position = source.skip_blanks(position);
    if source.starts_with(position, "::") {
        return read_tree(source, position + 2, reader, found);
    }
    if source.starts_with(position, "{") {
        for member in members(source, position) {
            read_tree(source, member, reader.clone(), found);
        }
        return;
    }
    let mut word: String = source.word_at(position).iter().collect();
    if word.is_empty() && source.starts_with(position, "*") {
        word.push('*');
    }
    let after = source.skip_blanks(position + word.chars().count());
    let goes_on = source.starts_with(after, "::");
    match (reader.root.as_deref(), word.as_str()) {
        (None | Some("super"), "super") if goes_on => {
            let reader = Reader { root: Some(word), supers: reader.supers + 1 };
            read_tree(source, after + 2, reader, found);
        }
        (None, "crate") if goes_on => {
            read_tree(source, after + 2, Reader { root: Some(word), supers: 0 }, found);
        }
        (None, _) => found.push(PathStart { position, root: word, supers: 0, next: String::new() }),
        (Some(root), _) => {
            found.push(PathStart { position, root: root.to_owned(), supers: reader.supers, next: word });
        }
    }
}

/// Where the members of a `{...}` group begin.
pub(crate) fn members(source: &Source, open: usize) -> Vec<usize> {
    let (mut depth, mut starts) = (0_usize, vec![open + 1]);
    for (offset, c) in source.code[open..].iter().enumerate() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => starts.push(open + offset + 1),
            _ => {}
        }
    }
    // A trailing comma begins no member.
    starts.retain(|start| !source.starts_with(source.skip_blanks(*start), "}"));
    starts
}

/// Whether the last thing before `position` is this character.
fn follows(source: &Source, position: usize, what: char) -> bool {
    source.code[..position].iter().rev().find(|c| !c.is_whitespace()) == Some(&what)
}

/// Whether the word at `position` comes after `name::`, `>::` or a dot. A leading `::` begins a path.
fn continues_a_path(source: &Source, position: usize) -> bool {
    let before: Vec<char> =
        source.code[..position].iter().rev().filter(|c| !c.is_whitespace()).take(3).copied().collect();
    match before.as_slice() {
        [':', ':', c, ..] => is_word(*c) || *c == '>',
        ['.', c, ..] => *c != '.',
        _ => false,
    }
}

#[test]
fn every_way_to_name_something_is_found() {
    let cases = [
        ("use tokio::sync::{Mutex, mpsc};", "tokio"),
        ("use ::tokio::time;", "tokio"),
        ("use tokio as t;", "tokio"),
        ("use {sled::Db, std::fmt};", "sled std"),
        ("fn f() { tokio::spawn(async {}); }", "tokio"),
        ("#[tokio::test] fn f() {}", "tokio"),
        ("fn f(g: &petgraph::Graph<A, B>) -> serde_json::Value {}", "petgraph serde_json"),
        ("use crate::model::{Id, Seq}; pub(crate) use super::state::State;", "crate:model super1:state"),
        ("use crate::{kernel::{apply, decide}, model, *,};", "crate:kernel crate:model crate:*"),
        ("let x = crate::runtime::now() + super::super::store::y();", "crate:runtime super2:store"),
        ("use super::{super::runtime::Engine, a};", "super2:runtime super1:a"),
        ("let x = crate::sled::open(self::sled::y, a.sled, <T as X>::sled::z);", "crate:sled self"),
        ("// use tokio::x\nlet s = \"tokio::spawn\";", ""),
    ];
    for (text, expected) in cases {
        let found: Vec<String> = paths(&Source::new("a.rs", text)).iter().map(shown).collect();
        assert_eq!(found.join(" "), expected, "of {text}");
    }
}

#[cfg(test)]
fn shown(path: &PathStart) -> String {
    match path.root.as_str() {
        "crate" => format!("crate:{}", path.next),
        "super" => format!("super{}:{}", path.supers, path.next),
        other => other.to_owned(),
    }
}
