//! Sparse indexes of crates. The index's `config.json` says where crates are; ours says `_dl`, with the checksum in the path.

use reqwest::Url;
use serde_json::{Value, json};

use super::{Kind, Mirror, Page, Target, parts};
use crate::egress::digest::Digest;
use crate::egress::registry::Registry;

/// The first part of the path of a crate's file.
pub(in crate::egress) const DOWNLOADS: &str = "_dl";

pub(super) fn target(registry: &Registry, path: &str) -> Option<Target> {
    let rest = path.strip_prefix("index/")?;
    parts(rest)?;
    let page = match rest {
        "" => return None,
        "config.json" => Page::CargoConfig,
        _ => Page::AsItIs,
    };
    Some(Target { url: registry.below(rest), kind: Kind::Index { accept: "*/*", page } })
}

/// Only where crates are: what publishes or searches is left out, and so is that the registry wants to know who asks.
pub(super) fn config(mirror: &Mirror<'_>, content: &[u8]) -> Result<Vec<u8>, String> {
    download_address(content).ok_or("the registry's config.json does not say where crates are")?;
    let place = format!("{}/{}/{DOWNLOADS}/{{crate}}/{{version}}/{{sha256-checksum}}", mirror.local, mirror.prefix);
    Ok(json!({ "dl": place }).to_string().into_bytes())
}

fn download_address(config: &[u8]) -> Option<String> {
    let config: Value = serde_json::from_slice(config).ok()?;
    config.get("dl")?.as_str().map(str::to_owned)
}

/// Where the file of a crate is, for a path below [`DOWNLOADS`] and the index's own `config.json`.
pub(in crate::egress) fn download(config: &[u8], path: &str) -> Option<Target> {
    let parts = parts(path)?;
    let [name, version, checksum] = parts.as_slice() else { return None };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+');
    if name.is_empty() || !name.chars().all(is_name) || !version.chars().all(is_version) {
        return None;
    }
    let digest = Digest::sha256(checksum)?;
    let dl = download_address(config)?;
    let filled = [
        ("{crate}", (*name).to_owned()),
        ("{version}", (*version).to_owned()),
        ("{prefix}", prefix(name)),
        ("{lowerprefix}", prefix(&name.to_lowercase())),
        ("{sha256-checksum}", (*checksum).to_owned()),
    ];
    let has_marker = filled.iter().any(|(marker, _)| dl.contains(marker));
    let filled = filled.iter().fold(dl.clone(), |text, (marker, value)| text.replace(marker, value));
    let address = if has_marker { filled } else { format!("{dl}/{name}/{version}/download") };
    Some(Target { url: Url::parse(&address).ok()?, kind: Kind::File(Some(digest)) })
}

/// The directories of a crate's index file.
fn prefix(name: &str) -> String {
    match name.len() {
        1 | 2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_crates_are_as_cargo_computes_them() {
        let sha = "ab".repeat(32);
        for (dl, name, expected) in [
            ("https://c.test/crates", "serde", Some("https://c.test/crates/serde/1.0.0/download")),
            (
                "https://c.test/{prefix}/{crate}-{version}.crate",
                "Serde",
                Some("https://c.test/Se/rd/Serde-1.0.0.crate"),
            ),
            ("https://c.test/{lowerprefix}/{crate}", "SER", Some("https://c.test/3/s/SER")),
            ("https://c.test/{sha256-checksum}", "a", Some(&*format!("https://c.test/{sha}"))),
            ("https://c.test/crates", "..", None),
            ("https://c.test/crates", "a%2fb", None),
            ("https://c.test/crates", "", None),
        ] {
            let config = json!({ "dl": dl, "auth-required": true }).to_string();
            let target = download(config.as_bytes(), &format!("{name}/1.0.0/{sha}"));
            assert_eq!(target.map(|target| target.url.to_string()).as_deref(), expected, "{dl} {name}");
        }
        assert!(download(br#"{"dl": "https://c.test"}"#, "serde/1.0.0").is_none(), "no checksum");
    }
}
