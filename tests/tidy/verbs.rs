//! Checks `docs/verbs.md`: every public method of the types that users hold has a row, every row has an example that calls it
//! (a doc test of the facade), and every test that the pages name exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::Breach;
use super::source::{Source, end_of_block, is_word};

const PAGE: &str = "docs/verbs.md";

/// The types whose public methods are the verbs, and where they are.
const HOLDERS: &[&str] =
    &["Context", "Step", "WorkflowBuilder", "RunRequest", "Run", "EngineBuilder", "Engine", "Schedules"];
const HOME: &str = "orkestra-core/src/runtime/";

/// A row of the table: `| [`Run::cancel`](#runcancel) | what it does | `its_test` |`.
struct Row {
    line: usize,
    verb: String,
    anchor: String,
    test: String,
}

/// A section of the page: the anchor of its heading, as code hosts generate it, and the code of its examples.
struct Section {
    anchor: String,
    examples: String,
}

/// Wrong rows of the page, and verbs without a row.
pub(crate) fn wrong_rows(page: &str, sources: &[Source]) -> Vec<Breach> {
    let (rows, sections, methods, tests) = (rows(page), sections(page), methods(sources), tests(sources));
    let at = |row: &Row, what: String| Breach { path: PAGE.to_owned(), line: row.line, what };
    let mut breaches = Vec::new();
    for row in &rows {
        let (holder, name) = row.verb.split_once("::").unwrap_or_default();
        if HOLDERS.contains(&holder) && !methods.contains(&row.verb) {
            breaches.push(at(row, format!("there is no public method `{}`", row.verb)));
        }
        if !tests.contains(&row.test) {
            breaches.push(at(row, format!("there is no test `{}`", row.test)));
        }
        match sections.iter().find(|section| section.anchor == row.anchor) {
            None => breaches.push(at(row, format!("there is no section `#{}`", row.anchor))),
            Some(section) if !calls(&section.examples, &row.verb, name) => {
                breaches.push(at(row, format!("the example in `#{}` does not use `{}`", row.anchor, row.verb)));
            }
            Some(_) => {}
        }
    }
    let listed: BTreeSet<_> = rows.iter().map(|row| &row.verb).collect();
    let missing = methods.iter().filter(|method| !listed.contains(method));
    breaches.extend(missing.map(|method| Breach::stale(PAGE, format!("has no row for `{method}`"))));
    breaches
}

/// The tests that a page names in the last column of its tables, and that do not exist.
pub(crate) fn missing_tests(path: &str, page: &str, sources: &[Source]) -> Vec<Breach> {
    let tests = tests(sources);
    let mut breaches = Vec::new();
    for (index, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        for name in quoted(last).filter(|name| !tests.contains(*name)) {
            breaches.push(Breach {
                path: path.to_owned(),
                line: index + 1,
                what: format!("there is no test `{name}`"),
            });
        }
    }
    breaches
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn calls(examples: &str, verb: &str, name: &str) -> bool {
    [format!(".{name}("), format!(".{name}::<"), verb.to_owned()].iter().any(|call| examples.contains(call))
}

fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, line) in page.lines().enumerate() {
        let Some((verb, rest)) = line.strip_prefix("| [`").and_then(|rest| rest.split_once("`](#")) else { continue };
        let Some((anchor, rest)) = rest.split_once(')') else { continue };
        let test = quoted(rest).last().unwrap_or_default().to_owned();
        rows.push(Row { line: index + 1, verb: verb.to_owned(), anchor: anchor.to_owned(), test });
    }
    rows
}

fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fence: Option<bool> = None;
    for line in page.lines() {
        match (fence, line.strip_prefix("```")) {
            // Only blocks that the doc tests run count as examples.
            (None, Some(language)) => fence = Some(language == "rust"),
            (Some(_), Some(_)) => fence = None,
            (Some(true), None) => {
                if let Some(section) = sections.last_mut() {
                    section.examples.push_str(line);
                    section.examples.push('\n');
                }
            }
            (None, None) if line.starts_with("### ") => {
                let anchor = line[4..].to_lowercase();
                let anchor = anchor.chars().filter(|c| is_word(*c) || matches!(c, '-' | ' ')).collect::<String>();
                sections.push(Section { anchor: anchor.replace(' ', "-"), examples: String::new() });
            }
            _ => {}
        }
    }
    sections
}

/// The public methods of the holders, as `Type::method`.
fn methods(sources: &[Source]) -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with(HOME)) {
        for start in (0..source.code.len()).filter(|at| is_item(source, *at, "impl")) {
            let Some(open) = source.code[start..].iter().position(|c| *c == '{').map(|offset| start + offset) else {
                break;
            };
            let head: String = source.code[start..open].iter().collect();
            let Some(holder) = holder(&head) else { continue };
            let end = end_of_block(&source.code, open);
            for at in open..end {
                let keywords = ["pub fn ", "pub async fn ", "pub const fn "];
                if let Some(keyword) = keywords.iter().find(|keyword| source.starts_with(at, keyword)) {
                    let name: String = source.word_at(at + keyword.len()).iter().collect();
                    methods.insert(format!("{holder}::{name}"));
                }
            }
        }
    }
    methods
}

fn is_item(source: &Source, at: usize, keyword: &str) -> bool {
    (at == 0 || source.code[at - 1] == '\n') && source.starts_with(at, keyword)
}

/// The type of an inherent implementation, if it is one of the holders: `impl<'a, F> Step<'a, F>`.
fn holder(head: &str) -> Option<&'static str> {
    if head.contains(" for ") {
        return None;
    }
    let words: Vec<&str> = head.split(|c| !is_word(c)).collect();
    HOLDERS.iter().find(|holder| words.contains(*holder)).copied()
}

/// The names of all functions in test code.
fn tests(sources: &[Source]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources {
        for at in 0..source.code.len() {
            if source.starts_with(at, "fn ") && (at == 0 || !is_word(source.code[at - 1])) && source.is_test(at) {
                tests.insert(source.word_at(at + 3).iter().collect());
            }
        }
    }
    tests
}

/// A page of `docs/`.
pub(crate) fn page(root: &Path, name: &str) -> String {
    std::fs::read_to_string(root.join(name)).expect("the page exists and is readable")
}

#[test]
fn a_wrong_row_and_a_missing_verb_are_found() {
    let runtime = Source::new(
        "orkestra-core/src/runtime/run.rs",
        "impl Run {\n    pub async fn cancel(&self) {}\n    pub fn id(&self) {}\n    fn inner() {}\n}\nimpl Debug for Run {\n}\n",
    );
    let test = Source::new("a/tests/it/b.rs", "fn it_ends() {}\n");
    let sources = [runtime, test];
    let shown = |page: &str| wrong_rows(page, &sources).into_iter().map(|breach| breach.what).collect::<Vec<_>>();
    let example = "### Run::cancel, id\n\n```rust\nrun.cancel().await?;\nrun.id();\n```\n";
    let row = |verb: &str, anchor: &str, test: &str| format!("| [`{verb}`](#{anchor}) | ends it | `{test}` |\n");
    let (cancel, id) = (row("Run::cancel", "runcancel-id", "it_ends"), row("Run::id", "runcancel-id", "it_ends"));
    assert_eq!(shown(&format!("{cancel}{id}{example}")), [] as [String; 0]);
    assert_eq!(shown(&format!("{cancel}{example}")), ["has no row for `Run::id`"]);
    let gone = row("Run::wait", "nowhere", "nobody");
    assert_eq!(
        shown(&format!("{cancel}{id}{gone}{example}")),
        ["there is no public method `Run::wait`", "there is no test `nobody`", "there is no section `#nowhere`"]
    );
    let silent = example.replace("run.id();", "");
    assert_eq!(shown(&format!("{cancel}{id}{silent}")), ["the example in `#runcancel-id` does not use `Run::id`"]);
    let not_run = example.replace("```rust", "```rust,ignore");
    assert_eq!(shown(&format!("{cancel}{id}{not_run}")).len(), 2);
}
