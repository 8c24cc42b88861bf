//! Public structs with public fields, and public enums, are `#[non_exhaustive]`: a field or a variant can then be added without
//! breaking a program outside. A struct with one unnamed field is what that field is, and does not grow. Those that are not are listed here, and docs/decisions/0011 gives the reasons.

use super::Breach;
use super::source::{Source, end_of_block, is_word};

const CRATES: &[&str] = &[
    "orkestra-core/src/",
    "orkestra-store/src/",
    "orkestra-testkit/src/",
    "orkestra-agents/src/",
    "orkestra-tools/src/",
];

/// Why a type is not `#[non_exhaustive]`, and the types.
pub(crate) const FIXED: &[(&str, &[&str])] = &[
    (
        "users write it, with the rest from `default()` or a constructor",
        &[
            "DueQuery",
            "Failure",
            "Growth",
            "Job",
            "ModelSpec",
            "NodeSpec",
            "Parent",
            "Patience",
            "PipelineRequest",
            "Price",
            "Retention",
            "Retry",
            "RunOptions",
            "RunQuery",
            "Schedule",
            "Settings",
            "SlotSpec",
            "WorkflowSpec",
        ],
    ),
    (
        "a store or a wrapper of one makes it",
        &[
            "Append",
            "Claimed",
            "Due",
            "DueCursor",
            "Lease",
            "Letter",
            "ListCursor",
            "Page",
            "Renewed",
            "RunRecord",
            "Snapshot",
            "Versioned",
            "Written",
        ],
    ),
    (
        "a model, a tool, a sandbox or a validator makes it or is given it",
        &[
            "Arguments",
            "AssistantMessage",
            "CommandResult",
            "Message",
            "Reply",
            "Request",
            "Submission",
            "ToolCall",
            "ToolDefinition",
            "ToolMessage",
            "ToolOutput",
            "Usage",
            "Verdict",
        ],
    ),
    ("a program that drives the kernel makes it", &["Commit", "Fork", "Input"]),
    ("a program that emits events makes it", &["CustomEvent", "FeedEvent", "Tokens"]),
    ("it is whole as it is", &["Effect", "NodeInput", "ShownStatus", "Span", "Winner"]),
    ("its readers decide on every variant", &["Event", "ProductEvent", "Pulse"]),
];

/// Types that are neither `#[non_exhaustive]` nor listed, and entries that name no such type.
pub(crate) fn undecided(sources: &[Source], fixed: &[(&str, &[&str])]) -> Vec<Breach> {
    let mut listed: Vec<&str> = fixed.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| CRATES.iter().any(|of| source.path.starts_with(of))) {
        for (position, name) in growing(source) {
            match listed.iter().position(|of| **of == name) {
                Some(place) => drop(listed.swap_remove(place)),
                None => breaches.push(Breach::at(
                    source,
                    position,
                    format!("`{name}` may not grow: make it #[non_exhaustive], or give the reason in FIXED and docs/decisions/0011"),
                )),
            }
        }
    }
    let stale = listed.into_iter().map(|name| format!("FIXED lists `{name}`, which may grow or is gone"));
    breaches.extend(stale.map(|what| Breach::stale("tests/tidy/growth.rs", what)));
    breaches
}

/// Public enums, and public structs with public fields, that are exhaustive: where they are, and their names.
fn growing(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for position in 0..source.code.len() {
        let is_enum = source.starts_with(position, "pub enum ");
        if !is_enum && !source.starts_with(position, "pub struct ") || source.is_test(position) {
            continue;
        }
        let name = position + if is_enum { "pub enum ".len() } else { "pub struct ".len() };
        let body = source.code[name..].iter().position(|c| matches!(c, '{' | '(' | ';')).map(|offset| name + offset);
        let Some(open) = body.filter(|open| source.code[*open] != ';') else { continue };
        let before = source.code[..position].iter().rposition(|c| matches!(c, ';' | '{' | '}')).unwrap_or(0);
        let attributes: String = source.code[before..position].iter().collect();
        if !attributes.contains("#[non_exhaustive]") && (is_enum || may_grow(source, open)) {
            found.push((position, source.word_at(name).iter().collect()));
        }
    }
    found
}

/// Whether the struct whose fields begin at `open` has a public field, and may get another one.
fn may_grow(source: &Source, open: usize) -> bool {
    let is_named = source.code[open] == '{';
    let fields = open..if is_named { end_of_block(&source.code, open) } else { end_of_tuple(&source.code, open) };
    let is_single = !is_named && commas(&source.code[fields.clone()]) == 0;
    let is_public = |at| source.starts_with(at, "pub ") && !is_word(source.code[at - 1]);
    !is_single && fields.into_iter().any(is_public)
}

/// The place of the parenthesis that closes the one at `open`.
fn end_of_tuple(code: &[char], open: usize) -> usize {
    let mut depth = 0_usize;
    let end = (open..code.len()).find(|at| {
        match code[*at] {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.unwrap_or(code.len())
}

/// How many fields follow another one in `(A, B<C, D>`: the commas of a tuple outside of brackets.
fn commas(fields: &[char]) -> usize {
    let mut depth = 0_i32;
    let mut count = 0;
    for (at, c) in fields.iter().enumerate() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if fields[at - 1] == '-' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            // A comma after the last field.
            ',' if depth == 1 && !fields[at + 1..].iter().all(|c| c.is_whitespace()) => count += 1,
            _ => {}
        }
    }
    count
}

#[test]
fn a_type_that_may_not_grow_is_found() {
    let found = |text: &str, fixed: &[&str]| -> Vec<String> {
        let breaches = undecided(&[Source::new("orkestra-core/src/a.rs", text)], &[("for a reason", fixed)]);
        breaches
            .iter()
            .map(|breach| format!("{}: {}", breach.line, breach.what.split('`').nth(1).unwrap_or("")))
            .collect()
    };
    let text = "pub struct A { pub a: u8 }\n#[derive(Debug)]\npub enum B<T> { One(T) }\n";
    assert_eq!(found("pub struct A(pub u8, pub u8);\npub struct B(pub (u8, u8), [u8; 2]);\n", &[]), ["1: A", "2: B"]);
    assert_eq!(found(text, &[]), ["1: A", "3: B"]);
    assert_eq!(found(text, &["A", "B"]), [] as [&str; 0]);
    assert_eq!(found(text, &["A", "B", "C"]), ["1: C"], "C is gone");
    let fine = "#[non_exhaustive]\n#[derive(Debug)]\npub struct A { pub a: u8 }\npub struct B { a: u8, pub(crate) b: u8 }\n\
                pub struct C(pub u8);\npub struct G(u8, pub(crate) u8);\npub struct H(pub BTreeMap<u8, fn(u8, u8) -> u8>,);\npub(crate) struct D { pub a: u8 }\nstruct E { pub a: u8 }\npub struct F;\n";
    assert_eq!(found(fine, &[]), [] as [&str; 0]);
}
