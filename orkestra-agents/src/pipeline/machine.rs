//! What this machine is set up with: the package registries that its clients use. The only place that reads settings of other
//! programs.

use std::{collections::BTreeMap, path::Path};

use orkestra_tools::egress::{CachePlace, ClientSettings, EgressOptions, detect};

/// The directory of the cache of registries, below the data directory.
const CACHE: &str = "cache/registries";
/// The namespace of a data directory's cache when the embedder names none.
pub(super) const NAMESPACE_DEFAULT: &str = "default";

/// What the network `registries` lets through on this machine: the registries that its pip, uv, npm, cargo and apt are configured
/// to use, in the files and variables of the user of this process, else the public ones. Answers are cached below the data
/// directory. Runs share them within `namespace`: name a tenant or a user.
///
/// It reads files, which blocks for a moment.
#[must_use]
pub fn egress_of_machine(data: &Path, namespace: &str) -> EgressOptions {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
    let home = variables.get("HOME").cloned().unwrap_or_default();
    let found = detect(&ClientSettings::usual(Path::new(&home), variables));
    for problem in &found.problems {
        tracing::warn!(%problem, "a setting of a package manager cannot be used");
    }
    found.into_options().with_cache(CachePlace::new(data.join(CACHE), namespace))
}
