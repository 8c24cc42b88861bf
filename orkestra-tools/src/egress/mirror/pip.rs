//! Python packages: the "simple" index (PEP 503 and 691), whose links to files are replaced, and the files.

use reqwest::Url;
use serde_json::Value;

use super::{Kind, Mirror, Page, Target};
use crate::egress::digest::Digest;
use crate::egress::registry::Registry;

const JSON: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
const HTML: &str = "text/html";

pub(super) fn target(registry: &Registry, path: &str, accept: &str) -> Option<Target> {
    let name = path.strip_prefix("simple/")?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 256 || name.bytes().all(|byte| byte == b'.') || !name.bytes().all(is_name) {
        return None;
    }
    let accept = if accept.contains("simple.v1+json") { JSON } else { HTML };
    Some(Target { url: registry.below(&format!("{name}/")), kind: Kind::Index { accept, page: Page::Pip } })
}

/// Replaces every link to a file.
pub(super) fn page(mirror: &Mirror<'_>, from: &Url, content: &[u8], kind: &str) -> Result<Vec<u8>, String> {
    if kind.contains("json") {
        json_page(mirror, from, content)
    } else if kind.contains("html") {
        let text = String::from_utf8_lossy(content);
        Ok(html_page(mirror, from, &text).into_bytes())
    } else {
        Err(format!("the registry's answer is `{kind}`, not a package index"))
    }
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

/// Copies the page and replaces the value of `href` in each `<a …>`. Everything else stays as it is.
fn html_page(mirror: &Mirror<'_>, from: &Url, text: &str) -> String {
    let mut page = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(start) = anchor(rest) {
        let (before, anchor) = rest.split_at(start);
        page.push_str(before);
        let end = end_of_tag(anchor);
        let (tag, after) = anchor.split_at(end);
        match href(tag) {
            Some(range) => {
                let link = link(mirror, from, &tag[range.clone()]);
                page.push_str(&tag[..range.start]);
                page.push_str(link.as_deref().unwrap_or(&tag[range.clone()]));
                page.push_str(&tag[range.end..]);
            }
            None => page.push_str(tag),
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Where the next `<a …` begins.
fn anchor(text: &str) -> Option<usize> {
    let is_anchor = |three: &[u8]| matches!(three, [b'<', b'a' | b'A', space] if space.is_ascii_whitespace());
    text.as_bytes().windows(3).position(is_anchor)
}

fn link(mirror: &Mirror<'_>, from: &Url, escaped: &str) -> Option<String> {
    let address = escaped.replace("&quot;", "\"").replace("&#x27;", "'").replace("&#39;", "'").replace("&amp;", "&");
    let url = from.join(address.trim()).ok()?;
    let digest = url.fragment().and_then(Digest::from_fragment);
    let link = mirror.link(&url, digest.as_ref())?;
    let fragment = url.fragment().map_or_else(String::new, |fragment| format!("#{fragment}"));
    Some(format!("{link}{fragment}").replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#x27;"))
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

/// Where the value of the attribute `href` is.
fn href(tag: &str) -> Option<std::ops::Range<usize>> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find("href") {
        let start = from + found;
        from = start + 4;
        let is_begin = lower[..start].ends_with(|c: char| c.is_ascii_whitespace());
        let rest = lower[from..].trim_start();
        let Some(value) = rest.strip_prefix('=').map(str::trim_start).filter(|_| is_begin) else { continue };
        let begin = lower.len() - value.len();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let length = value[1..].find(quote)?;
        return Some(begin + 1..begin + 1 + length);
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
        let served = page(&mirror, &from, html.as_bytes(), "text/html; charset=utf-8").expect("a page");
        let served = String::from_utf8(served).expect("text");
        let mut links = Vec::new();
        for link in served.split("http://127.0.0.1:3128/pip/").skip(1) {
            let link = link.split(['"', '\'', '#']).next().expect("a link").replace("&amp;", "&");
            let (path, query) = link.split_once('?').map_or((link.as_str(), None), |(path, query)| (path, Some(query)));
            let target = mirror.target(path, query, "").expect("signed");
            links.push((target.url.to_string(), matches!(target.kind, Kind::File(Some(_)))));
        }
        let expected = [("https://r.test/files/x-1.whl", true), ("https://f.test/x-2.whl?a=1&b=2", false)];
        assert_eq!(links, expected.map(|(url, checked)| (url.to_owned(), checked)));
        assert!(served.contains(&format!("#sha256={sha}\" data-requires-python=\"&gt;=3.8\">x</a>")), "{served}");
        assert!(served.ends_with("<a name=\"href\">z</a><a href=x"), "{served}");

        let json = format!(r#"{{"files":[{{"url":"/files/x-1.whl","hashes":{{"sha256":"{sha}"}}}},{{"url":7}}]}}"#);
        let served = page(&mirror, &from, json.as_bytes(), "application/vnd.pypi.simple.v1+json").expect("a page");
        let served: Value = serde_json::from_slice(&served).expect("JSON");
        let link = served["files"][0]["url"].as_str().expect("a link");
        let path = link.strip_prefix("http://127.0.0.1:3128/pip/").expect("on the proxy");
        assert_eq!(mirror.target(path, None, "").expect("signed").url.as_str(), "https://r.test/files/x-1.whl");
        page(&mirror, &from, b"x", "text/plain").expect_err("not an index");
        page(&mirror, &from, b"{}", "application/json").expect_err("no files");
    }
}
