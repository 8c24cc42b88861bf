//! The wings of `orkestra-core/src/runtime`: few, with few imports between them, and no long circle of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Breach;
use super::paths::{members, paths};
use super::source::Source;

const RUNTIME: &str = "orkestra-core/src/runtime/";
const MAP: &str = "orkestra-core/src/runtime/mod.rs";

/// How many wings a newcomer can hold in mind.
const WINGS_MAX: usize = 20;
/// How many pairs of wings may have an import from one to the other.
const IMPORTS_MAX: usize = 80;
/// How many wings may import each other in a circle: `shared` begins drivers, which own runs, which are told of by `shared`.
const CIRCLE_MAX: usize = 3;

/// Which wing imports which others.
type Imports = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn wings(sources: &[Source]) -> Vec<Breach> {
    let imports = imports(sources);
    let pairs: usize = imports.values().map(BTreeSet::len).sum();
    let circle = longest_circle(&imports);
    let mut breaches = Vec::new();
    let mut expect = |most: usize, is: usize, what: String| {
        if is > most {
            breaches.push(Breach::stale(MAP, format!("{is} {what}, of at most {most}")));
        }
    };
    expect(WINGS_MAX, imports.len(), "wings".into());
    expect(IMPORTS_MAX, pairs, "imports between wings".into());
    expect(CIRCLE_MAX, circle.len(), format!("wings import each other in a circle ({})", circle.join(" -> ")));
    breaches
}

fn imports(sources: &[Source]) -> Imports {
    let inside = |source: &Source| source.path.strip_prefix(RUNTIME).filter(|path| *path != "mod.rs").map(parts);
    let mut imports: Imports =
        sources.iter().filter_map(inside).map(|parts| (parts[0].clone(), BTreeSet::new())).collect();
    let wings: BTreeSet<String> = imports.keys().cloned().collect();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        let Some(parts) = inside(source) else { continue };
        for path in paths(source).iter().filter(|path| !source.is_test(path.position)) {
            let from_top = path.root == "super" && path.supers == parts.len();
            let targets = match path.root.as_str() {
                "crate" if path.next == "runtime" => words_after(source, path.position + path.next.len()),
                _ if from_top => vec![path.next.clone()],
                _ => Vec::new(),
            };
            let others = targets.into_iter().filter(|target| wings.contains(target) && *target != parts[0]);
            imports.entry(parts[0].clone()).or_default().extend(others);
        }
    }
    imports
}

/// The module of a file below the runtime, in words.
fn parts(path: &str) -> Vec<String> {
    path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").map(str::to_owned).collect()
}

/// The words that follow `::` at this place: one, or those that a group begins with.
fn words_after(source: &Source, position: usize) -> Vec<String> {
    let position = source.skip_blanks(position);
    if !source.starts_with(position, "::") {
        return Vec::new();
    }
    let next = source.skip_blanks(position + 2);
    let starts = if source.starts_with(next, "{") { members(source, next) } else { vec![next] };
    starts.into_iter().map(|start| source.word_at(source.skip_blanks(start)).iter().collect()).collect()
}

fn longest_circle(imports: &Imports) -> Vec<&str> {
    let mut longest = Vec::new();
    for start in imports.keys() {
        walk(imports, &mut vec![start], &mut longest);
    }
    longest
}

/// Follows the imports from the last of `way`. Each circle is found once, from its first wing in the alphabet.
fn walk<'a>(imports: &'a Imports, way: &mut Vec<&'a str>, longest: &mut Vec<&'a str>) {
    let (start, last) = (way[0], way[way.len() - 1]);
    for next in imports.get(last).into_iter().flatten() {
        if next == start && way.len() > longest.len() {
            longest.clone_from(way);
        }
        if next.as_str() > start && !way.contains(&next.as_str()) {
            way.push(next);
            walk(imports, way, longest);
            way.pop();
        }
    }
}

#[test]
fn a_long_circle_and_too_many_imports_are_found() {
    let file = |name: &str, text: &str| Source::new(&format!("{RUNTIME}{name}.rs"), text);
    let circle = [
        file("a", "use super::b::B;"),
        file("b/mod", "use crate::runtime::c::C;"),
        file("c/x", "fn f() { super::super::d::g(); }"),
        file("d/y/z", "use crate::runtime::{a::A, d::D};"),
    ];
    let told: Vec<_> = wings(&circle).into_iter().map(|breach| breach.what).collect();
    assert_eq!(told, ["4 wings import each other in a circle (a -> b -> c -> d), of at most 3"]);
    assert!(wings(&circle[..3]).is_empty());
    let many: Vec<_> = (0..21).map(|number| file(&format!("w{number}"), "")).collect();
    assert_eq!(wings(&many)[0].what, "21 wings, of at most 20");
}

#[test]
fn the_wings_of_this_repository_are_read() {
    let imports = imports(&super::tree());
    assert!(imports["driver"].contains("task") && imports["engine"].contains("run"), "{imports:?}");
}
