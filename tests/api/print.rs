//! Prints the public API of a crate, one item a line, from the JSON that rustdoc wrote of it. `scripts/api` calls it.

use std::collections::HashSet;
use std::process::ExitCode;

use public_api::{Builder, PublicApi};

/// Implementations that follow from a type's fields, or that every type has, are left out.
fn api_of(json: &str) -> public_api::Result<PublicApi> {
    let all = Builder::from_rustdoc_json(json);
    all.omit_blanket_impls(true).omit_auto_trait_impls(true).omit_auto_derived_impls(true).build()
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
    let api = match api_of(&json) {
        Ok(api) => api.to_string(),
        Err(error) => {
            eprintln!("cannot read the API from {json}: {error}");
            return ExitCode::FAILURE;
        }
    };
    // An item that is exported twice is printed twice, with all that it can do.
    let mut seen = HashSet::new();
    for line in api.lines().filter(|line| !repeats(line) && seen.insert(*line)) {
        println!("{line}");
    }
    ExitCode::SUCCESS
}
