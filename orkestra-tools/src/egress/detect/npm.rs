//! npm's `.npmrc` files and variables.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Finder, pair};
use crate::egress::registry::{Credentials, Ecosystem, Registry};

pub(super) fn find(found: &mut Finder<'_>) {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for text in found.texts(&found.settings.npm) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some((key, value)) = pair(line) {
                settings.insert(key.to_owned(), expanded(found, value));
            }
        }
    }
    for name in ["registry", "cafile", "https-proxy", "proxy"] {
        if let Some(value) = found.variable(&format!("npm_config_{}", name.replace('-', "_"))) {
            settings.insert(name.to_owned(), value);
        }
    }
    let registries = settings.iter().filter_map(|(key, value)| match key.as_str() {
        "registry" => Some((None, value)),
        scope => {
            scope.strip_suffix(":registry").filter(|scope| scope.starts_with('@')).map(|scope| (Some(scope), value))
        }
    });
    let mut registries: Vec<_> = registries.collect();
    registries.sort();
    for (scope, address) in registries {
        let registry = Registry::new(Ecosystem::Npm, address).map(|registry| {
            let credentials = registry.credentials.clone().or_else(|| credentials(&settings, &registry));
            Registry { credentials, scope: scope.map(str::to_owned), ..registry }
        });
        found.add(registry);
    }
    found.certificates(settings.get("cafile").cloned());
    let proxy = settings.get("https-proxy").or_else(|| settings.get("proxy"));
    let proxy = proxy.filter(|proxy| !matches!(proxy.as_str(), "" | "null" | "false" | "true")).cloned();
    found.found.proxy = found.found.proxy.take().or(proxy);
}

/// `${NAME}` is a variable; one that is not set stays as it is.
fn expanded(found: &Finder<'_>, value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        match after.split_once('}') {
            Some((name, after)) => {
                text.push_str(&found.variable(name.trim_end_matches('?')).unwrap_or_else(|| format!("${{{name}}}")));
                rest = after;
            }
            None => {
                text.push_str("${");
                rest = after;
            }
        }
    }
    text + rest
}

/// Settings of a registry are under its address without the scheme, or under a directory above.
fn credentials(settings: &BTreeMap<String, String>, registry: &Registry) -> Option<Credentials> {
    let (_, address) = registry.url().split_once(':')?;
    let mut place = address;
    while place.len() > 2 {
        let get = |name: &str| {
            let bare = place.trim_end_matches('/');
            settings.get(&format!("{bare}/:{name}")).or_else(|| settings.get(&format!("{bare}:{name}"))).cloned()
        };
        if let Some(token) = get("_authToken") {
            return Some(Credentials::Bearer(token));
        }
        if let Some(both) = get("_auth") {
            return Some(Credentials::Raw(format!("Basic {both}")));
        }
        if let (Some(user), Some(password)) = (get("username"), get("_password")) {
            let password = BASE64_STANDARD.decode(password).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
            return Some(Credentials::Basic { user, password });
        }
        place = &place[..place.trim_end_matches('/').rfind('/')?];
    }
    None
}
