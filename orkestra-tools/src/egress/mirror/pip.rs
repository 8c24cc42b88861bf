//! Python packages: the "simple" index (PEP 503 and 691), whose links to files are replaced, and the files.

use reqwest::Url;
use serde_json::{Value, json};

use super::{Kind, Mirror, Page, Target};
use crate::egress::digest::Digest;
use crate::egress::registry::Registry;

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const JSON_OR_HTML: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
const HTML: &str = "text/html";

pub(super) fn target(registry: &Registry, path: &str, accept: &str) -> Option<Target> {
    let name = path.strip_prefix("simple/")?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 256 || name.bytes().all(|byte| byte == b'.') || !name.bytes().all(is_name) {
        return None;
    }
    let (accept, page) =
        if accept.contains("simple.v1+json") { (JSON_OR_HTML, Page::PipJson) } else { (HTML, Page::PipHtml) };
    Some(Target { url: registry.below(&format!("{name}/")), kind: Kind::Index { accept, page } })
}

/// Replaces every link to a file. A page in HTML becomes one in JSON for clients that know it, which read that in a fraction of
/// the time.
pub(super) fn page(
    mirror: &Mirror<'_>,
    from: &Url,
    content: &[u8],
    kind: &str,
    wants_json: bool,
) -> Result<(Vec<u8>, String), String> {
    let is_html = kind.contains("html");
    if !is_html && !kind.contains("json") {
        return Err(format!("the registry's answer is `{kind}`, not a package index"));
    }
    if is_html {
        let text = String::from_utf8_lossy(content);
        return Ok(if wants_json {
            (json_of_html(mirror, from, &text).to_string().into_bytes(), JSON.to_owned())
        } else {
            (html_page(mirror, from, &text).into_bytes(), kind.to_owned())
        });
    }
    Ok((json_page(mirror, from, content)?, kind.to_owned()))
}

fn json_page(mirror: &Mirror<'_>, from: &Url, content: &[u8]) -> Result<Vec<u8>, String> {
    let mut document: Value =
        serde_json::from_slice(content).map_err(|error| format!("the registry's answer is not JSON ({error})"))?;
    let files = document.get_mut("files").and_then(Value::as_array_mut);
    for file in files.ok_or("the registry's answer lists no files")? {
        let digest = file.pointer("/hashes/sha256").and_then(Value::as_str).and_then(Digest::sha256);
        let Some(Value::String(address)) = file.get_mut("url") else { continue };
        if let Some(link) = from.join(address).ok().and_then(|url| mirror.link(&url, digest.as_ref())) {
            *address = link;
        }
    }
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

/// One `<a …>text`, and what lies before it.
struct Anchor<'page> {
    before: &'page str,
    tag: &'page str,
    text: &'page str,
}

/// The anchors of a page, and what follows the last.
fn anchors(page: &str) -> (Vec<Anchor<'_>>, &str) {
    let is_anchor = |three: &[u8]| matches!(three, [b'<', b'a' | b'A', space] if space.is_ascii_whitespace());
    let (mut anchors, mut rest) = (Vec::new(), page);
    while let Some(start) = rest.as_bytes().windows(3).position(is_anchor) {
        let (before, after) = rest.split_at(start);
        let (tag, after) = after.split_at(end_of_tag(after));
        anchors.push(Anchor { before, tag, text: after.split('<').next().unwrap_or_default() });
        rest = after;
    }
    (anchors, rest)
}

/// Copies the page and replaces the value of `href` in each anchor. Everything else stays as it is.
fn html_page(mirror: &Mirror<'_>, from: &Url, text: &str) -> String {
    let (anchors, rest) = anchors(text);
    let mut page = String::with_capacity(text.len() * 2);
    for Anchor { before, tag, .. } in anchors {
        page.push_str(before);
        let link = attribute(tag, "href").and_then(|range| Some((link(mirror, from, &tag[range.clone()])?, range)));
        match link {
            Some((link, range)) => {
                let escaped = link.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#x27;");
                page.extend([&tag[..range.start], &escaped, &tag[range.end..]]);
            }
            None => page.push_str(tag),
        }
    }
    page.push_str(rest);
    page
}

/// The same page as PEP 691 wants it.
fn json_of_html(mirror: &Mirror<'_>, from: &Url, text: &str) -> Value {
    let file = |Anchor { tag, text, .. }: Anchor<'_>| {
        let value = |name: &str| attribute(tag, name).map(|range| unescaped(&tag[range]));
        let address = value("href")?;
        let url = from.join(address.trim()).ok()?;
        let link = link(mirror, from, &tag[attribute(tag, "href")?])?;
        let (link, _) = link.split_once('#').unwrap_or((&link, ""));
        let hash = |text: &str| text.split_once('=').map(|(name, digits)| json!({ name: digits }));
        let name = unescaped(text.trim());
        let name = if name.is_empty() { url.path().rsplit('/').next()?.to_owned() } else { name };
        let mut file = json!({ "filename": name, "url": link, "hashes": url.fragment().and_then(hash).unwrap_or_else(|| json!({})) });
        if let Some(python) = value("data-requires-python") {
            file["requires-python"] = python.into();
        }
        if let Some(reason) = value("data-yanked") {
            file["yanked"] = if reason.is_empty() { true.into() } else { reason.into() };
        }
        if let Some(metadata) = value("data-core-metadata").or_else(|| value("data-dist-info-metadata")) {
            let metadata = hash(&metadata).unwrap_or(Value::Bool(metadata == "true"));
            file["core-metadata"] = metadata.clone();
            file["dist-info-metadata"] = metadata;
        }
        Some(file)
    };
    let files: Vec<Value> = anchors(text).0.into_iter().filter_map(file).collect();
    let name = from.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    json!({ "meta": { "api-version": "1.0" }, "name": name, "files": files })
}

/// The address on the proxy for one in a page, with the same fragment.
fn link(mirror: &Mirror<'_>, from: &Url, escaped: &str) -> Option<String> {
    let url = from.join(unescaped(escaped).trim()).ok()?;
    let digest = url.fragment().and_then(Digest::from_fragment);
    let link = mirror.link(&url, digest.as_ref())?;
    let fragment = url.fragment().map_or_else(String::new, |fragment| format!("#{fragment}"));
    Some(format!("{link}{fragment}"))
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let known = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    known.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The index after the `>` that ends a tag, outside of quotes.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    for (index, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return index + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// Where the value of an attribute is, if it is in quotes.
fn attribute(tag: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let bytes = tag.as_bytes();
    let mut from = 0;
    while let Some(found) =
        bytes[from..].windows(name.len()).position(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    {
        let start = from + found;
        from = start + name.len();
        let is_begin = start > 0 && bytes[start - 1].is_ascii_whitespace();
        let rest = tag[from..].trim_start();
        let Some(value) = rest.strip_prefix('=').map(str::trim_start).filter(|_| is_begin) else { continue };
        let begin = tag.len() - value.len() + 1;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        return Some(begin..begin + tag[begin..].find(quote)?);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::mirror;
    use super::*;
    use crate::egress::digest::Signer;
    use crate::egress::registry::Ecosystem;

    #[test]
    fn links_of_both_forms_lead_to_the_proxy_and_back() {
        let registry = Registry::new(Ecosystem::Pip, "https://r.test/simple/").expect("valid");
        let signer = Signer::new([1; 32]);
        let mirror = mirror(&registry, &signer);
        let from = registry.below("x/");
        let sha = "ab".repeat(32);
        let html = format!(
            "<!DOCTYPE html><html><body>\n<a href=\"../../files/x-1.whl#sha256={sha}\" data-requires-python=\"&gt;=3.8\">x</a>\
             <A data-x='>' HREF = 'https://f.test/x-2.whl?a=1&amp;b=2'>y</A><a name=\"href\">z</a><a href=x"
        );
        let (served, _) = page(&mirror, &from, html.as_bytes(), "text/html; charset=utf-8", false).expect("a page");
        let served = String::from_utf8(served).expect("text");
        let mut links = Vec::new();
        for link in served.split("http://127.0.0.1:3128/pip/").skip(1) {
            let link = link.split(['"', '\'', '#']).next().expect("a link");
            let target = mirror.target(link, "").expect("signed");
            links.push((target.url.to_string(), matches!(target.kind, Kind::File(Some(_)))));
        }
        let expected = [("https://r.test/files/x-1.whl", true), ("https://f.test/x-2.whl?a=1&b=2", false)];
        assert_eq!(links, expected.map(|(url, checked)| (url.to_owned(), checked)));
        assert!(served.contains(&format!("#sha256={sha}\" data-requires-python=\"&gt;=3.8\">x</a>")), "{served}");
        assert!(served.ends_with("<a name=\"href\">z</a><a href=x"), "{served}");

        let (made, kind) = page(&mirror, &from, html.as_bytes(), "text/html", true).expect("a page");
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        assert_eq!((kind.as_str(), made["files"].as_array().map(Vec::len)), (JSON, Some(2)));
        let first = &made["files"][0];
        assert_eq!((&first["filename"], &first["requires-python"]), (&json!("x"), &json!(">=3.8")));
        assert_eq!(first["hashes"]["sha256"], json!(sha));

        let given = format!(r#"{{"files":[{{"url":"/files/x-1.whl","hashes":{{"sha256":"{sha}"}}}},{{"url":7}}]}}"#);
        let (served, kind) = page(&mirror, &from, given.as_bytes(), JSON, true).expect("a page");
        let served: Value = serde_json::from_slice(&served).expect("JSON");
        for link in [&first["url"], &served["files"][0]["url"]] {
            let path =
                link.as_str().and_then(|link| link.strip_prefix("http://127.0.0.1:3128/pip/")).expect("on the proxy");
            assert!(path.ends_with("/x-1.whl"), "{path}");
            assert_eq!(mirror.target(path, "").expect("signed").url.as_str(), "https://r.test/files/x-1.whl");
        }
        assert_eq!(kind, JSON);
        page(&mirror, &from, b"x", "text/plain", true).expect_err("not an index");
        page(&mirror, &from, b"{}", "application/json", true).expect_err("no files");
    }
}
