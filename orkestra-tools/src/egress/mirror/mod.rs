//! What each kind of registry serves: which paths, where they lead, and how links in its answers are changed so that clients
//! come back to the proxy.
//!
//! A mirror is pure: it maps a path to an address ([`Target`]), and the content of an index page to the content to serve. It
//! must never map a path to an address that is neither below the registry's base nor signed by the proxy itself.

mod apt;
mod cargo;
mod npm;
mod pip;

use reqwest::Url;

pub(super) use cargo::{DOWNLOADS, download};

use super::digest::{Digest, FILES, Signer};
use super::registry::{Ecosystem, Registry};

/// What a request is for.
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// An index page. Its content changes, so a cached copy is revalidated when it is no longer fresh.
    Index { accept: &'static str, page: Page },
    /// It never changes.
    File(Option<Digest>),
}

/// What is done to an index page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    AsItIs,
    /// For a client that knows only the older form.
    PipHtml,
    PipJson,
    Npm,
    /// Abbreviated.
    NpmShort,
    CargoConfig,
}

/// A registry with its place on the proxy.
pub(super) struct Mirror<'proxy> {
    pub(super) registry: &'proxy Registry,
    /// The first part of its paths, such as `pip` or `pip-1`.
    pub(super) prefix: &'proxy str,
    /// The proxy's address, as clients in the sandbox see it.
    pub(super) local: &'proxy str,
    pub(super) signer: &'proxy Signer,
}

impl Mirror<'_> {
    /// What a request for this path below the prefix (without a slash before it) is for; `None` when the mirror has no such
    /// path. `accept` is what the client wants.
    pub(super) fn target(&self, path: &str, accept: &str) -> Option<Target> {
        if let Some(signed) = path.strip_prefix(FILES).and_then(|rest| rest.strip_prefix('/')) {
            let (url, digest) = self.signer.open(self.prefix, signed)?;
            return Some(Target { url, kind: Kind::File(digest) });
        }
        let target = match self.registry.ecosystem {
            Ecosystem::Pip => pip::target(self.registry, path, accept),
            Ecosystem::Npm => npm::target(self.registry, path, accept),
            Ecosystem::Cargo => cargo::target(self.registry, path),
            Ecosystem::Apt => apt::target(self.registry, path),
        }?;
        // The last word, whatever a mirror has overlooked.
        let base = &self.registry.base;
        (target.url.origin() == base.origin() && target.url.path().starts_with(base.path())).then_some(target)
    }

    /// The content to serve for an index page that came from `from`, and its type. The error says what is wrong with it.
    pub(super) fn page(
        &self,
        page: Page,
        from: &Url,
        content: Vec<u8>,
        kind: &str,
    ) -> Result<(Vec<u8>, String), String> {
        let same = |content| (content, kind.to_owned());
        match page {
            Page::AsItIs => Ok(same(content)),
            Page::PipHtml | Page::PipJson => pip::page(self, from, &content, kind, page == Page::PipJson),
            Page::Npm | Page::NpmShort => npm::page(self, from, &content, page == Page::NpmShort).map(same),
            Page::CargoConfig => cargo::config(self, &content).map(same),
        }
    }

    /// Where a client gets a file that an index names. `None` for an address that it must not get through the registry.
    fn link(&self, url: &Url, digest: Option<&Digest>) -> Option<String> {
        let is_web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        let has_user = !url.username().is_empty() || url.password().is_some();
        let path = || format!("{}/{}/{}", self.local, self.prefix, self.signer.path(self.prefix, url, digest));
        (is_web && !has_user).then(path)
    }
}

/// The parts of a path, if it is one that a package can have: no empty part (except the last, after a slash), no `.` or `..`,
/// also encoded, no control character, and nothing encoded that would be a separator.
fn parts(path: &str) -> Option<Vec<&str>> {
    if path.len() > 1024 {
        return None;
    }
    let parts: Vec<&str> = path.split('/').collect();
    let last = parts.len() - 1;
    let is_clean = |(index, part): (usize, &&str)| {
        let known = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;=:@%^".contains(&byte));
        let Some(decoded) = super::registry::percent_decoded(part) else { return false };
        let separates = |c: char| matches!(c, '/' | '\\' | '?' | '#' | '%') || c.is_control();
        known
            && !matches!(decoded.as_str(), "." | "..")
            && !decoded.contains(separates)
            && (!part.is_empty() || index == last)
    };
    parts.iter().enumerate().all(is_clean).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn mirror<'a>(registry: &'a Registry, signer: &'a Signer) -> Mirror<'a> {
        Mirror { registry, prefix: registry.ecosystem.name(), local: "http://127.0.0.1:3128", signer }
    }

    /// Where a path leads: the address, `index` or `file`.
    fn leads(registry: &Registry, path: &str) -> Option<String> {
        let signer = Signer::new([1; 32]);
        let target = mirror(registry, &signer).target(path, "")?;
        let kind = match target.kind {
            Kind::Index { .. } => "index",
            Kind::File(None) => "file",
            Kind::File(Some(_)) => "checked file",
        };
        Some(format!("{kind} {}", target.url))
    }

    #[test]
    fn paths_lead_below_the_registry_or_nowhere() {
        use Ecosystem::{Apt, Cargo, Npm, Pip};
        let sha = "ab".repeat(32);
        for (ecosystem, path, expected) in [
            (Pip, "simple/requests/", Some("index https://r.test/base/requests/")),
            (Pip, "simple/requests", Some("index https://r.test/base/requests/")),
            (Pip, "simple/", None),
            (Pip, "simple/../x/", None),
            (Pip, "simple/a/b/", None),
            (Pip, "simple/%2e%2e/", None),
            (Npm, "react", Some("index https://r.test/base/react")),
            (Npm, "@types%2fnode", Some("index https://r.test/base/@types%2fnode")),
            (Npm, "@types/node", Some("index https://r.test/base/@types%2fnode")),
            (Npm, "react/19.0.0", Some("index https://r.test/base/react/19.0.0")),
            (Npm, "react/-/react-19.0.0.tgz", Some("file https://r.test/base/react/-/react-19.0.0.tgz")),
            (Npm, "@types/node/-/node-1.tgz", Some("file https://r.test/base/@types/node/-/node-1.tgz")),
            (Npm, "@types%2fnode/-/node-1.tgz", Some("file https://r.test/base/@types/node/-/node-1.tgz")),
            (Npm, "-/package/react/dist-tags", Some("index https://r.test/base/-/package/react/dist-tags")),
            (Npm, "-/whoami", None),
            (Npm, "-/npm/v1/tokens", None),
            (Npm, "@a%2f..%2fb", None),
            (Npm, "..%2fx", None),
            (Npm, "", None),
            (Cargo, "index/config.json", Some("index https://r.test/base/config.json")),
            (Cargo, "index/se/rd/serde", Some("index https://r.test/base/se/rd/serde")),
            (Cargo, "index/se/rd/../serde", None),
            (Cargo, "me", None),
            (Apt, "dists/bookworm/InRelease", Some("index https://r.test/base/dists/bookworm/InRelease")),
            (
                Apt,
                "pool/main/c/curl/curl_7.88.1-10+deb12u5_amd64.deb",
                Some("file https://r.test/base/pool/main/c/curl/curl_7.88.1-10+deb12u5_amd64.deb"),
            ),
            (
                Apt,
                &format!("dists/b/by-hash/SHA256/{sha}"),
                Some(&*format!("checked file https://r.test/base/dists/b/by-hash/SHA256/{sha}")),
            ),
            (Apt, "pool/%2e%2E/%2e%2e/x.deb", None),
            (Apt, "pool/a%5c..%5cb.deb", None),
            (Apt, "pool//x", None),
            (Apt, "secret/x.deb", None),
            (Apt, "_f/0/-/https/evil.test/x", None),
        ] {
            let registry = Registry::new(ecosystem, "https://r.test/base/").expect("valid");
            assert_eq!(leads(&registry, path).as_deref(), expected, "{ecosystem:?} {path}");
        }
    }
}
