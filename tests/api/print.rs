//! Prints the public API of a crate, one item a line, from the JSON that rustdoc wrote of it. `scripts/api` calls it.

use std::collections::HashSet;
use std::process::ExitCode;

use public_api::Builder;

/// The lines of the API. Implementations that every type has are always left out.
fn lines(json: &str, with_auto_traits: bool, with_derives: bool) -> public_api::Result<Vec<String>> {
    let all = Builder::from_rustdoc_json(json).omit_blanket_impls(true);
    let api = all.omit_auto_trait_impls(!with_auto_traits).omit_auto_derived_impls(!with_derives).build()?;
    Ok(api.to_string().lines().map(str::to_owned).collect())
}

/// Auto traits that the snapshot tells of where a type lacks them, or has them on a condition. The others say nothing that programs
/// rely on.
const AUTO: [&str; 3] = ["core::marker::Send for ", "core::marker::Sync for ", "core::marker::Unpin for "];

fn lacks_an_auto_trait(line: &str) -> bool {
    let conditional = line.contains(" where ") || line.starts_with("impl !");
    conditional && AUTO.iter().any(|of| line.contains(of))
}

/// `impl Clone for a::B` as trait and type; nothing for an implementation with parameters.
fn derived(line: &str) -> Option<(&str, &str)> {
    let (of, name) = line.strip_prefix("impl ")?.split_once(" for ")?;
    let short = if of.contains('<') { of } else { of.rsplit("::").next().unwrap_or(of) };
    Some((short, name))
}

/// The API, one item a line. What a type derives is one line.
fn api_of(json: &str) -> public_api::Result<Vec<String>> {
    // In the order of the whole. A method of a derived implementation may read like one that is written out.
    let mut written = lines(json, false, false)?.into_iter().peekable();
    let with_derives: HashSet<_> = lines(json, false, true)?.into_iter().collect();
    let mut api: Vec<String> = Vec::new();
    // The last type that derives something, and where its line is.
    let mut open: Option<(String, usize)> = None;
    let mut known = HashSet::new();
    for line in lines(json, true, true)? {
        if written.next_if_eq(&line).is_some() {
            api.push(line);
        } else if !line.starts_with("impl")
            || line.contains("::StructuralPartialEq for ")
            || !known.insert(line.clone())
        {
            // A method of a derived implementation, a mark of the compiler, or a type that is exported twice.
        } else if !with_derives.contains(&line) {
            api.extend(Some(line).filter(|line| lacks_an_auto_trait(line)));
        } else if let Some((of, name)) = derived(&line) {
            match &open {
                Some((before, place)) if before == name => {
                    api[*place] = api[*place].replacen(" for ", &format!(" + {of} for "), 1);
                }
                _ => {
                    open = Some((name.to_owned(), api.len()));
                    api.push(format!("impl {of} for {name}"));
                }
            }
        } else {
            api.push(line);
        }
    }
    assert_eq!(written.next(), None, "the two lists differ in their order");
    // An item that is exported twice is printed twice, with all that it can do.
    let mut seen = HashSet::new();
    api.retain(|line| !repeats(line) && seen.insert(line.clone()));
    Ok(api)
}

/// Whether the line is a part of an item of the prelude: it is the item's, wherever that is defined.
fn repeats(line: &str) -> bool {
    let Some((_, name)) = line.split_once("::prelude::") else { return false };
    name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').starts_with("::")
}

fn main() -> ExitCode {
    let Some(json) = std::env::args().nth(1) else {
        eprintln!("usage: orkestra-api FILE.json");
        return ExitCode::from(2);
    };
    match api_of(&json) {
        Ok(api) => {
            for line in api {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot read the API from {json}: {error}");
            ExitCode::FAILURE
        }
    }
}
