//! The tidy test: what the compiler and clippy cannot see of the repository's order. Every breach is printed with its file
//! and line. Each rule is tested itself, on small snippets that break it, beside its code.

mod arrows;
mod growth;
mod homes;
mod lengths;
mod paths;
mod rooms;
mod source;
mod verbs;
mod wings;

use std::path::{Path, PathBuf};

use source::Source;

/// One place where the repository breaks a rule.
struct Breach {
    path: String,
    line: usize,
    what: String,
}

impl Breach {
    fn new(source: &Source, line: usize, what: String) -> Self {
        Self { path: source.path.clone(), line, what }
    }

    fn at(source: &Source, position: usize, what: String) -> Self {
        Self::new(source, source.line_of(position), what)
    }

    /// An entry of a rule's own table that is no longer true.
    fn stale(path: &str, what: String) -> Self {
        Self { path: path.to_owned(), line: 1, what }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn tree() -> Vec<Source> {
    let sources = source::read_tree(&root());
    assert!(sources.iter().any(|source| source.path == "tests/tidy/main.rs"), "the walk misses this very file");
    sources
}

fn assert_none(rule: &str, breaches: &[Breach]) {
    for breach in breaches {
        eprintln!("{}:{}: {}", breach.path, breach.line, breach.what);
    }
    assert!(breaches.is_empty(), "{rule}: {} breaches, listed above", breaches.len());
}

/// The first line of every file says what it is.
fn without_docs(sources: &[Source]) -> Vec<Breach> {
    let bare = sources.iter().filter(|source| !source.text.starts_with("//!"));
    bare.map(|source| Breach::new(source, 1, "does not begin with `//!`".to_owned())).collect()
}

/// Attributes that hide a defect instead of naming it.
fn hushing_attributes(sources: &[Source]) -> Vec<Breach> {
    let banned = [
        ("allow(", "`allow` outlives its reason: use `#[expect(lint, reason = \"...\")]`"),
        ("ignore", "a test that does not run proves nothing"),
        ("should_panic", "passes on any panic: assert the error itself"),
    ];
    let mut breaches = Vec::new();
    for source in sources {
        for position in 0..source.code.len() {
            let start = ["#[", "#!["].iter().find(|start| source.starts_with(position, start));
            let Some(start) = start else { continue };
            let name = source.skip_blanks(position + start.len());
            for (attribute, why) in banned.iter().filter(|(attribute, _)| source.starts_with(name, attribute)) {
                let attribute = attribute.trim_end_matches('(');
                breaches.push(Breach::at(source, position, format!("`{start}{attribute}`: {why}")));
            }
        }
    }
    breaches
}

fn names_of_core_dependencies(dependencies: &[arrows::Dependency]) -> Vec<String> {
    let core = dependencies.iter().filter(|dependency| dependency.from == "orkestra-core");
    core.map(|dependency| dependency.to.replace('-', "_")).collect()
}

#[test]
fn every_file_begins_with_what_it_is() {
    assert_none("`//!` on each file", &without_docs(&tree()));
}

#[test]
fn no_attribute_hides_a_defect() {
    assert_none("attributes", &hushing_attributes(&tree()));
}

#[test]
fn files_are_short() {
    assert_none("file lengths", &lengths::files(&tree(), lengths::LONG_FILES));
}

#[test]
fn functions_are_short() {
    assert_none("function lengths", &lengths::functions(&tree(), lengths::LONG_FUNCTIONS));
}

#[test]
fn rooms_of_the_core_import_only_from_their_right() {
    let names = names_of_core_dependencies(&arrows::dependencies(&root()));
    // The rules look for these by name: renamed or gone, they would guard nothing.
    for known in ["petgraph", "tokio", "tracing"] {
        assert!(names.iter().any(|name| name == known), "orkestra-core no longer depends on {known}");
    }
    assert_none("rooms", &rooms::imports(&tree(), &names));
}

#[test]
fn the_wings_of_the_runtime_are_few_and_in_order() {
    assert_none("wings", &wings::wings(&tree()));
}

#[test]
fn third_party_crates_stay_at_home() {
    assert_none("homes", &homes::strays(&tree(), homes::HOMES));
}

#[test]
fn crates_depend_in_one_direction() {
    let dependencies = arrows::dependencies(Path::new(&root()));
    assert!(dependencies.iter().any(|dependency| dependency.from == "orkestra-core"), "cargo metadata misses the core");
    assert_none("arrows", &arrows::wrong_arrows(&dependencies));
}

#[test]
fn public_types_say_whether_they_may_grow() {
    assert_none("growth", &growth::undecided(&tree(), growth::FIXED));
}

#[test]
fn the_page_of_verbs_tells_the_truth() {
    assert_none("docs/verbs.md", &verbs::lies(&verbs::page(&root(), "docs/verbs.md"), &tree()));
}

#[test]
fn the_tests_of_bad_input_are_there() {
    let page = verbs::page(&root(), "docs/limits.md");
    assert_none("docs/limits.md", &verbs::missing_tests("docs/limits.md", &page, &tree()));
}

#[test]
fn a_file_without_docs_and_a_hushing_attribute_are_found() {
    let bare = Source::new(
        "a/src/b.rs",
        "// about\n#[allow(dead_code)]\n#[ignore]\n#![ allow(x)]\n#[expect(y, reason = \"z\")]\n",
    );
    let sources = [bare];
    assert_eq!(without_docs(&sources).len(), 1);
    let lines: Vec<usize> = hushing_attributes(&sources).iter().map(|breach| breach.line).collect();
    assert_eq!(lines, [2, 3, 4]);
    let fine = [Source::new("a/src/b.rs", "//! About.\n\n// #[allow(x)]\n#[test]\n#[allowed]\nfn f() {}\n")];
    assert!(without_docs(&fine).is_empty() && hushing_attributes(&fine).is_empty());
}
