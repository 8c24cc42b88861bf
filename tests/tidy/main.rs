//! The tidy test: rules of this repository that neither the compiler nor clippy checks. Every breach is printed with its file and
//! line. Each rule has tests of its own, on small snippets that break it, next to its code.

mod agents;
mod arrows;
mod growth;
mod homes;
mod layers;
mod lengths;
mod modules;
mod paths;
mod phrases;
mod source;
mod verbs;

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

    /// An entry of a rule's own table that is no longer needed.
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

/// Attributes that hide a defect.
fn hiding_attributes(sources: &[Source]) -> Vec<Breach> {
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
    assert_none("attributes", &hiding_attributes(&tree()));
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
fn layers_of_the_core_import_only_from_the_layers_before_them() {
    let names = names_of_core_dependencies(&arrows::dependencies(&root()));
    // The rules use these names: if one were renamed, its rule would check nothing.
    for known in ["petgraph", "tokio", "tracing"] {
        assert!(names.iter().any(|name| name == known), "orkestra-core no longer depends on {known}");
    }
    assert_none("layers", &layers::imports(&tree(), &names));
}

#[test]
fn modules_of_the_runtime_are_few_and_have_no_long_cycle() {
    assert_none("modules", &modules::modules(&tree()));
}

#[test]
fn an_agent_knows_nothing_of_the_pipeline() {
    let sources = tree();
    assert!(sources.iter().any(|source| source.path == "orkestra-agents/src/agent/mod.rs"), "agent/ has moved");
    assert_none("agent/ and pipeline/", &agents::knows_the_pipeline(&sources));
}

#[test]
fn third_party_crates_stay_in_their_files() {
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
fn the_page_of_verbs_is_true() {
    assert_none("docs/verbs.md", &verbs::wrong_rows(&verbs::page(&root(), "docs/verbs.md"), &tree()));
}

#[test]
fn the_tests_that_pages_name_are_there() {
    for name in ["docs/limits.md", "docs/stuck.md"] {
        let page = verbs::page(&root(), name);
        assert_none(name, &verbs::missing_tests(name, &page, &tree()));
    }
}

#[test]
fn a_file_without_docs_and_a_hiding_attribute_are_found() {
    let bare = Source::new(
        "a/src/b.rs",
        "// about\n#[allow(dead_code)]\n#[ignore]\n#![ allow(x)]\n#[expect(y, reason = \"z\")]\n",
    );
    let sources = [bare];
    assert_eq!(without_docs(&sources).len(), 1);
    let lines: Vec<usize> = hiding_attributes(&sources).iter().map(|breach| breach.line).collect();
    assert_eq!(lines, [2, 3, 4]);
    let fine = [Source::new("a/src/b.rs", "//! About.\n\n// #[allow(x)]\n#[test]\n#[allowed]\nfn f() {}\n")];
    assert!(without_docs(&fine).is_empty() && hiding_attributes(&fine).is_empty());
}
