//! apt's sources, in both forms. Only archives with the suites of the image are used: this machine may run another distribution
//! than the sandbox.

use super::Finder;
use crate::egress::registry::{Ecosystem, Registry};

pub(super) fn find(found: &mut Finder<'_>) {
    let known: Vec<String> = Registry::public().into_iter().flat_map(|registry| registry.suites).collect();
    let mut archives: Vec<(String, Vec<String>)> = Vec::new();
    for text in found.texts(&found.settings.apt) {
        let is_822 = text.lines().any(|line| line.to_ascii_lowercase().starts_with("uris:"));
        for (address, suites) in if is_822 { stanzas(&text) } else { lines(&text) } {
            let suites: Vec<String> = suites.into_iter().filter(|suite| known.contains(suite)).collect();
            match archives.iter_mut().find(|(known, _)| *known == address) {
                Some((_, more)) => more.extend(suites),
                None if suites.is_empty() => {}
                None => archives.push((address, suites)),
            }
        }
    }
    for (address, mut suites) in archives {
        suites.dedup();
        found.add(Registry::new(Ecosystem::Apt, &address).map(|registry| registry.with_suites(suites)));
    }
}

/// `deb [options] address suite component…`
fn lines(text: &str) -> Vec<(String, Vec<String>)> {
    let source = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let words: Vec<&str> = rest.split('#').next()?.split_whitespace().collect();
        let [address, suite, components @ ..] = words.as_slice() else { return None };
        components.contains(&"main").then(|| ((*address).to_owned(), vec![(*suite).to_owned()]))
    };
    text.lines().filter_map(source).collect()
}

/// Stanzas of `Field: value` lines.
fn stanzas(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sources = Vec::new();
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in uncommented.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            let found = stanza.iter().filter_map(|line| line.split_once(':'));
            let mut found = found.filter(|(field, _)| field.trim().eq_ignore_ascii_case(name));
            found
                .next()
                .map(|(_, value)| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let is_off = field("Enabled").first().is_some_and(|value| value == "no");
        let has = |name: &str, word: &str| field(name).iter().any(|value| value == word);
        if !is_off && has("Types", "deb") && has("Components", "main") {
            sources.extend(field("URIs").into_iter().map(|address| (address, field("Suites"))));
        }
    }
    sources
}
