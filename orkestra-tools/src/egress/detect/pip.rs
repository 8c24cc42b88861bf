//! pip's `pip.conf` and variables, and uv's variables.

use super::{Finder, pair};
use crate::egress::registry::{Ecosystem, Registry};

#[derive(Default)]
struct Settings {
    index: Option<String>,
    extra: Vec<String>,
    certificates: Option<String>,
    proxy: Option<String>,
}

pub(super) fn find(found: &mut Finder<'_>) {
    let mut settings = Settings::default();
    for text in found.texts(&found.settings.pip) {
        read(&text, &mut settings);
    }
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let first = |names: &[&str]| names.iter().find_map(|name| found.variable(name));
    settings.index = first(&["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"]).or(settings.index);
    settings.extra = first(&["PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"]).map_or(settings.extra, words);
    settings.certificates = found.variable("PIP_CERT").or(settings.certificates);
    settings.proxy = found.variable("PIP_PROXY").or(settings.proxy);
    match settings.index {
        Some(index) => found.add(Registry::new(Ecosystem::Pip, &index)),
        None if settings.extra.is_empty() => {}
        // Others come second to the main one, which is then the public one.
        None => {
            let public = Registry::public().into_iter().find(|one| one.ecosystem == Ecosystem::Pip);
            found.found.registries.extend(public);
        }
    }
    for index in settings.extra {
        found.add(Registry::new(Ecosystem::Pip, &index));
    }
    found.certificates(settings.certificates);
    found.found.proxy = settings.proxy;
}

fn read(text: &str, settings: &mut Settings) {
    let (mut section, mut key) = (String::new(), String::new());
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[') {
            section = name.trim_end_matches(']').trim().to_ascii_lowercase();
            key.clear();
            continue;
        }
        if !matches!(section.as_str(), "global" | "install") {
            continue;
        }
        let is_continued = line.starts_with(char::is_whitespace) && !key.is_empty();
        let value = match pair(trimmed) {
            Some((name, value)) if !is_continued => {
                key = name.to_ascii_lowercase().replace('_', "-");
                if key == "extra-index-url" {
                    settings.extra.clear();
                }
                value
            }
            _ => trimmed,
        };
        let one = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match key.as_str() {
            "index-url" => settings.index = one().or(settings.index.take()),
            "extra-index-url" => settings.extra.extend(value.split_whitespace().map(str::to_owned)),
            "cert" => settings.certificates = one(),
            "proxy" => settings.proxy = one(),
            _ => {}
        }
    }
}
