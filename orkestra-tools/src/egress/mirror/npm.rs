//! Node packages: documents about a package, whose links to archives are replaced, and the archives.

use reqwest::Url;
use serde_json::Value;

use super::{Kind, Mirror, Page, Target, parts};
use crate::egress::digest::Digest;
use crate::egress::registry::Registry;

const FULL: &str = "application/json";
const SHORT: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

pub(super) fn target(registry: &Registry, path: &str, accept: &str) -> Option<Target> {
    // The one separator that clients encode: between the scope and the name.
    let path = match path.strip_prefix('@').and_then(|rest| rest.split_once("%2f").or_else(|| rest.split_once("%2F"))) {
        Some((scope, name)) if !scope.contains('/') => format!("@{scope}/{name}"),
        _ => path.to_owned(),
    };
    let parts = parts(&path)?;
    let index = |below: String| {
        let (accept, page) = if accept.contains("install-v1") { (SHORT, Page::NpmShort) } else { (FULL, Page::Npm) };
        Some(Target { url: registry.below(&below), kind: Kind::Index { accept, page } })
    };
    let (name, rest) = match parts.as_slice() {
        ["-", "package", .., "dist-tags"] => {
            return Some(Target { url: registry.below(&path), kind: Kind::Index { accept: FULL, page: Page::AsItIs } });
        }
        [scope, name, rest @ ..] if scope.starts_with('@') && scope.len() > 1 && !name.is_empty() => {
            (format!("{scope}%2f{name}"), rest)
        }
        [name, rest @ ..] if !name.is_empty() && *name != "-" && !name.starts_with('@') => ((*name).to_owned(), rest),
        _ => return None,
    };
    match rest {
        [] => index(name),
        ["-", .., file] if std::path::Path::new(file).extension().is_some_and(|kind| kind == "tgz") => {
            Some(Target { url: registry.below(&path), kind: Kind::File(None) })
        }
        [version] if !version.is_empty() && *version != "-" => index(format!("{name}/{version}")),
        _ => None,
    }
}

/// What npm's abbreviated documents say of a version (package-metadata.md of the registry's documentation).
const SHORT_FIELDS: [&str; 20] = [
    "name",
    "version",
    "deprecated",
    "dependencies",
    "acceptDependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bin",
    "directories",
    "dist",
    "engines",
    "os",
    "cpu",
    "libc",
    "funding",
    "_hasShrinkwrap",
];

/// Replaces the address of every version's archive. For a client that asked for an abbreviated document, a full one becomes one:
/// not every mirror knows the form, and reading it takes a fraction of the time.
pub(super) fn page(mirror: &Mirror<'_>, from: &Url, content: &[u8], is_short: bool) -> Result<Vec<u8>, String> {
    let mut document: Value =
        serde_json::from_slice(content).map_err(|error| format!("the registry's answer is not JSON ({error})"))?;
    if !document.is_object() {
        return Err("the registry's answer is not a package document".to_owned());
    }
    replace(mirror, from, &mut document);
    if let Some(versions) = document.get_mut("versions").and_then(Value::as_object_mut) {
        for version in versions.values_mut() {
            replace(mirror, from, version);
            if is_short {
                shorten(version);
            }
        }
        if is_short && let Some(document) = document.as_object_mut() {
            if let Some(modified) = document.get("time").and_then(|time| time.get("modified")).cloned() {
                document.insert("modified".to_owned(), modified);
            }
            document.retain(|field, _| matches!(field.as_str(), "name" | "modified" | "dist-tags" | "versions"));
        }
    }
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

fn shorten(version: &mut Value) {
    let Some(version) = version.as_object_mut() else { return };
    let installs =
        |scripts: &Value| ["preinstall", "install", "postinstall"].iter().any(|name| scripts.get(name).is_some());
    if version.get("scripts").is_some_and(installs) {
        version.insert("hasInstallScript".to_owned(), true.into());
    }
    version.retain(|field, _| field == "hasInstallScript" || SHORT_FIELDS.contains(&field.as_str()));
}

fn replace(mirror: &Mirror<'_>, from: &Url, version: &mut Value) {
    let Some(dist) = version.get_mut("dist") else { return };
    let digest = dist.get("integrity").and_then(Value::as_str).and_then(Digest::from_integrity);
    let Some(Value::String(tarball)) = dist.get_mut("tarball") else { return };
    if let Some(link) = from.join(tarball).ok().and_then(|url| mirror.link(&url, digest.as_ref())) {
        *tarball = link;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mirror;
    use super::*;
    use crate::egress::digest::Signer;
    use crate::egress::registry::Ecosystem;

    #[test]
    fn links_to_archives_lead_to_the_proxy() {
        let registry = Registry::new(Ecosystem::Npm, "https://r.test/npm/").expect("valid");
        let signer = Signer::new([1; 32]);
        let mirror = mirror(&registry, &signer);
        let from = registry.below("x");
        let content = br#"{"name":"x","versions":{
            "1.0.0":{"dist":{"tarball":"https://r.test/npm/x/-/x-1.0.0.tgz","integrity":"sha512-AA=="}},
            "2.0.0":{"dist":{"tarball":"file:///etc/passwd"}},"3.0.0":{},
            "4.0.0":null,"5.0.0":{"readme":"long","scripts":{"install":"x"},"bin":{"a":"b"}}},"readme":"long","time":{"modified":"m"}}"#;
        let read = |is_short| -> Value {
            let page = page(&mirror, &from, content, is_short).expect("a document");
            serde_json::from_slice(&page).expect("JSON")
        };
        let (page, short) = (read(false), read(true));
        assert_eq!(short["versions"]["5.0.0"], serde_json::json!({ "hasInstallScript": true, "bin": { "a": "b" } }));
        assert_eq!((&short["readme"], &short["modified"]), (&Value::Null, &serde_json::json!("m")));
        assert_eq!(
            (&page["readme"], &page["versions"]["5.0.0"]["readme"]),
            (&serde_json::json!("long"), &serde_json::json!("long"))
        );
        assert_eq!(page["versions"]["1.0.0"], short["versions"]["1.0.0"]);
        let link = page["versions"]["1.0.0"]["dist"]["tarball"].as_str().expect("a link");
        let path = link.strip_prefix("http://127.0.0.1:3128/npm/").expect("on the proxy");
        let target = mirror.target(path, "").expect("signed");
        assert_eq!(target.url.as_str(), "https://r.test/npm/x/-/x-1.0.0.tgz");
        assert_eq!(page["versions"]["2.0.0"]["dist"]["tarball"], "file:///etc/passwd", "left, and of no use there");
        for bad in [&b"<html>"[..], b"[]", b"", b"{\"versions\":"] {
            super::page(&mirror, &from, bad, true).expect_err("not a document");
        }
    }
}
