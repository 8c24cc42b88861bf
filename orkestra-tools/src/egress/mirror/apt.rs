//! Debian archives: `dists/` changes and is signed, `pool/` does not, and what is named by its hash is compared with it.

use super::{Kind, Page, Target, parts};
use crate::egress::digest::Digest;
use crate::egress::registry::Registry;

pub(super) fn target(registry: &Registry, path: &str) -> Option<Target> {
    let parts = parts(path)?;
    let kind = match parts.as_slice() {
        ["dists", .., "by-hash", "SHA256", hash] => Kind::File(Some(Digest::sha256(hash)?)),
        ["dists", _, ..] => Kind::Index { accept: "*/*", page: Page::AsItIs },
        ["pool", _, ..] => Kind::File(None),
        _ => return None,
    };
    Some(Target { url: registry.below(path), kind })
}
