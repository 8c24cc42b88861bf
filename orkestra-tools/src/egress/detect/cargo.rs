//! cargo's `config.toml` and `credentials.toml`: the source that replaces crates.io. Reads the plain form of tables and strings
//! that cargo documents, which is all that a source needs; no dotted keys, no inline tables.

use std::collections::BTreeMap;

use super::{Finder, pair};
use crate::egress::registry::{Credentials, Ecosystem, Registry};

pub(super) fn find(found: &mut Finder<'_>) {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for text in found.texts(&found.settings.cargo) {
        read(&text, &mut settings);
    }
    let mut name = "crates-io".to_owned();
    // A replacement may be replaced; cargo follows it as well.
    for _ in 0..8 {
        match settings.get(&format!("source.{name}.replace-with")) {
            Some(next) => name.clone_from(next),
            None => break,
        }
    }
    let address =
        settings.get(&format!("source.{name}.registry")).or_else(|| settings.get(&format!("registries.{name}.index")));
    let Some(address) = address.filter(|_| name != "crates-io") else { return };
    if !address.starts_with("sparse+") {
        found.problem(format!(
            "cargo's source `{name}` is not a sparse index, so the public one is used; give sparse+https://…"
        ));
        return;
    }
    let token = found.variable(&format!("CARGO_REGISTRIES_{}_TOKEN", name.to_uppercase().replace('-', "_")));
    let token = token.or_else(|| settings.get(&format!("registries.{name}.token")).cloned());
    let registry = Registry::new(Ecosystem::Cargo, address).map(|registry| match token {
        Some(token) => registry.with_credentials(Credentials::Raw(token)),
        None => registry,
    });
    found.add(registry);
}

fn read(text: &str, settings: &mut BTreeMap<String, String>) {
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.split(']').next().unwrap_or_default().replace(['"', '\''], "").trim().to_owned();
        } else if let Some((key, _)) = pair(line) {
            let value = line.split_once('=').map_or("", |(_, value)| value.trim());
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let inside = quote.and_then(|quote| value[1..].split(quote).next());
            if let Some(inside) = inside {
                settings.insert(format!("{table}.{}", key.trim_matches('"')), inside.to_owned());
            }
        }
    }
}
