//! The modules at the top of `orkestra-core/src/runtime`: how many there are, the imports between them, and their cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::Breach;
use super::paths::{members, paths};
use super::source::Source;

const RUNTIME: &str = "orkestra-core/src/runtime/";
const MAP: &str = "orkestra-core/src/runtime/mod.rs";

/// The most modules: what a newcomer can keep in mind.
const MODULES_MAX: usize = 20;
/// The most pairs of modules of which the first imports the second.
const IMPORTS_MAX: usize = 80;
/// The most modules in one cycle: `shared` starts drivers, a driver owns its run, and ownership uses `shared`.
const CYCLE_MAX: usize = 3;

/// Each module with the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn modules(sources: &[Source]) -> Vec<Breach> {
    let imports = imports(sources);
    let pairs: usize = imports.values().map(BTreeSet::len).sum();
    let cycle = longest_cycle(&imports);
    let mut breaches = Vec::new();
    let mut expect = |most: usize, is: usize, what: String| {
        if is > most {
            breaches.push(Breach::stale(MAP, format!("{is} {what}, of at most {most}")));
        }
    };
    expect(MODULES_MAX, imports.len(), "modules".into());
    expect(IMPORTS_MAX, pairs, "imports between modules".into());
    expect(CYCLE_MAX, cycle.len(), format!("modules import each other in a cycle ({})", cycle.join(" -> ")));
    breaches
}

fn imports(sources: &[Source]) -> Imports {
    let inside = |source: &Source| source.path.strip_prefix(RUNTIME).filter(|path| *path != "mod.rs").map(parts);
    let mut imports: Imports =
        sources.iter().filter_map(inside).map(|parts| (parts[0].clone(), BTreeSet::new())).collect();
    let names: BTreeSet<String> = imports.keys().cloned().collect();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        let Some(parts) = inside(source) else { continue };
        for path in paths(source).iter().filter(|path| !source.is_test(path.position)) {
            let from_top = path.root == "super" && path.supers == parts.len();
            let targets = match path.root.as_str() {
                "crate" if path.next == "runtime" => words_after(source, path.position + path.next.len()),
                _ if from_top => vec![path.next.clone()],
                _ => Vec::new(),
            };
            let others = targets.into_iter().filter(|target| names.contains(target) && *target != parts[0]);
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

fn longest_cycle(imports: &Imports) -> Vec<&str> {
    let mut longest = Vec::new();
    for start in imports.keys() {
        walk(imports, &mut vec![start], &mut longest);
    }
    longest
}

/// Follows the imports of the last module of `path`. Each cycle is found once, from its alphabetically first module.
fn walk<'a>(imports: &'a Imports, path: &mut Vec<&'a str>, longest: &mut Vec<&'a str>) {
    let (start, last) = (path[0], path[path.len() - 1]);
    for next in imports.get(last).into_iter().flatten() {
        if next == start && path.len() > longest.len() {
            longest.clone_from(path);
        }
        if next.as_str() > start && !path.contains(&next.as_str()) {
            path.push(next);
            walk(imports, path, longest);
            path.pop();
        }
    }
}

#[test]
fn a_long_cycle_and_too_many_modules_are_found() {
    let file = |name: &str, text: &str| Source::new(&format!("{RUNTIME}{name}.rs"), text);
    let cycle = [
        file("a", "use super::b::B;"),
        file("b/mod", "use crate::runtime::c::C;"),
        file("c/x", "fn f() { super::super::d::g(); }"),
        file("d/y/z", "use crate::runtime::{a::A, d::D};"),
    ];
    let found: Vec<_> = modules(&cycle).into_iter().map(|breach| breach.what).collect();
    assert_eq!(found, ["4 modules import each other in a cycle (a -> b -> c -> d), of at most 3"]);
    assert!(modules(&cycle[..3]).is_empty());
    let many: Vec<_> = (0..21).map(|number| file(&format!("w{number}"), "")).collect();
    assert_eq!(modules(&many)[0].what, "21 modules, of at most 20");
}

#[test]
fn the_modules_of_this_repository_are_read() {
    let imports = imports(&super::tree());
    assert!(imports["driver"].contains("task") && imports["engine"].contains("run"), "{imports:?}");
}
