//! The text of a page as a person would see it without styles: headings, lists, tables, and links with numbers.

use std::collections::HashMap;

use ego_tree::iter::Edge;
use scraper::Node;
use scraper::node::Element;

use super::{Link, Page};
use crate::limits::{PAGE_LINK_BYTES_MAX, PAGE_LINKS_MAX};
use crate::web::untrusted::{clean, one_line};

/// A page as text.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// The links that the numbers in the text mean, from 1.
    pub(crate) links: Vec<Link>,
    /// Links beyond the limit.
    pub(crate) links_cut: usize,
}

/// Elements of which nothing is shown.
const HIDDEN: &[&str] = &[
    "head", "script", "style", "template", "svg", "math", "iframe", "object", "canvas", "audio", "video", "select",
    "textarea", "datalist",
];
/// Elements that begin and end a line.
const LINES: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "nav",
    "ol",
    "optgroup",
    "option",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
/// Elements that have an empty line before and after them.
const PARAGRAPHS: &[&str] = &["h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "table", "ul", "ol", "blockquote"];

pub(super) fn render(page: &Page) -> Rendered {
    let mut writer =
        Writer { page, out: Rendered::default(), numbers: HashMap::new(), breaks: 0, preformatted: 0, space: false };
    let mut hidden = 0_u32;
    // Not recursive: a page can be nested deeper than any stack.
    for edge in page.html.tree.root().traverse() {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if hidden > 0 || is_hidden(element) => hidden += 1,
                Node::Element(element) => writer.open(element),
                Node::Text(text) if hidden == 0 => writer.text(text),
                _ => {}
            },
            Edge::Close(node) => match node.value() {
                Node::Element(_) if hidden > 0 => hidden -= 1,
                Node::Element(element) => {
                    let text = || -> String {
                        let texts = node.descendants().filter_map(|below| below.value().as_text());
                        texts.map(|text| &**text).collect()
                    };
                    writer.close(element, text);
                }
                _ => {}
            },
        }
    }
    writer.out
}

/// Whether a person would not see it. What hides it through a style sheet is not found.
fn is_hidden(element: &Element) -> bool {
    let style = element.attr("style").unwrap_or_default().to_ascii_lowercase();
    let style: String = style.split_whitespace().collect();
    HIDDEN.contains(&element.name())
        || element.attr("hidden").is_some()
        || element.attr("aria-hidden").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || ["display:none", "visibility:hidden", "font-size:0", "opacity:0;"].iter().any(|rule| style.contains(rule))
}

struct Writer<'page> {
    page: &'page Page,
    out: Rendered,
    numbers: HashMap<String, usize>,
    /// Newlines that are due before the next text: 2 is an empty line.
    breaks: u8,
    /// Open `pre` elements.
    preformatted: u32,
    /// Whether a space is due before the next text.
    space: bool,
}

impl Writer<'_> {
    fn open(&mut self, element: &Element) {
        let name = element.name();
        self.break_around(name);
        match name {
            "br" => self.breaks = self.breaks.max(1),
            "li" => self.push("- "),
            "td" | "th" => self.cell(),
            "img" => {
                let alternative = one_line(element.attr("alt").unwrap_or_default(), PAGE_LINK_BYTES_MAX);
                if !alternative.is_empty() {
                    self.push(&format!("[image: {alternative}]"));
                }
            }
            "pre" => self.preformatted += 1,
            _ => {
                if let Some(level) = heading(name) {
                    self.push(&format!("{} ", "#".repeat(level)));
                }
            }
        }
    }

    fn close(&mut self, element: &Element, text: impl FnOnce() -> String) {
        let name = element.name();
        if name == "a" {
            self.link(element, text);
        }
        if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
        self.break_around(name);
    }

    /// The number of a link, after its text.
    fn link(&mut self, element: &Element, text: impl FnOnce() -> String) {
        let Some(href) = element.attr("href").filter(|href| !href.trim_start().starts_with('#')) else { return };
        let Some(url) = self.page.target(href).map(String::from).filter(|url| url.len() <= PAGE_LINK_BYTES_MAX) else {
            return;
        };
        let number = match self.numbers.get(&url) {
            Some(number) => *number,
            None if self.out.links.len() == PAGE_LINKS_MAX => {
                self.out.links_cut += 1;
                return;
            }
            None => {
                self.out.links.push(Link::new(&text(), url.clone()));
                self.numbers.insert(url, self.out.links.len());
                self.out.links.len()
            }
        };
        let space = std::mem::take(&mut self.space);
        self.push(&format!("[{number}]"));
        self.space = space;
    }

    fn text(&mut self, text: &str) {
        let text = clean(text);
        if self.preformatted > 0 {
            self.push(&text);
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            let trimmed = word.trim_end();
            if !trimmed.is_empty() {
                self.push(trimmed);
            }
            self.space |= trimmed.len() < word.len();
        }
    }

    fn cell(&mut self) {
        let is_first = self.breaks > 0 || self.out.text.is_empty();
        if !is_first {
            self.space = true;
            self.push("| ");
        }
    }

    fn break_around(&mut self, name: &str) {
        let breaks = match () {
            () if PARAGRAPHS.contains(&name) => 2,
            () if LINES.contains(&name) => 1,
            () => 0,
        };
        self.breaks = self.breaks.max(breaks);
    }

    fn push(&mut self, text: &str) {
        let out = &mut self.out.text;
        if self.breaks > 0 {
            if !out.is_empty() {
                out.truncate(out.trim_end_matches([' ', '\t']).len());
                out.push_str(if self.breaks > 1 { "\n\n" } else { "\n" });
            }
        } else if self.space && !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
        (self.breaks, self.space) = (0, false);
        out.push_str(text);
    }
}

fn heading(name: &str) -> Option<usize> {
    let level = name.strip_prefix('h')?.parse().ok()?;
    (1..=6).contains(&level).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::super::tests::page;
    use crate::limits::PAGE_LINKS_MAX;

    #[test]
    fn pages_are_shown_as_readable_text() {
        let table = [
            ("<title>T</title><h1>A  b</h1><p>one\n two<p>three", "# A b\n\none two\n\nthree"),
            ("<ul><li>a<li>b <b>c</b>d</ul>x", "- a\n- b cd\n\nx"),
            ("a<br>b<div>c</div>d", "a\nb\nc\nd"),
            ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2"),
            ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
            ("x <a href=/y>the link</a>, and <a href='/y'>again</a>.", "x the link[1], and again[1]."),
            ("<a href='#top'>top</a> <a href='javascript:x()'>run</a>", "top run"),
            ("<img alt='a cat' src=x><img src=y>", "[image: a cat]"),
            ("a<script>b</script><style>c</style><template>d</template><svg><text>e</text></svg>f", "af"),
            ("a<noscript><p>please</p></noscript>", "a\n\nplease"),
            ("a<p hidden>b</p><p style='DISPLAY : none'>c</p><p aria-hidden=true>d<i>e</i></p>f", "af"),
            ("<p>a\u{1b}[31m&#27;[32mb&#8203;</p>", "ab"),
            ("", ""),
            ("just text &lt;b&gt; &amp; more", "just text <b> & more"),
        ];
        for (html, expected) in table {
            assert_eq!(page(html).render().text, expected, "{html}");
        }
    }

    #[test]
    fn links_are_listed_once_and_limited() {
        let html: String =
            (0..250).map(|n| format!("<a href=/{n}>link <b>{n}</b></a> <a href=/{n}>again</a> ")).collect();
        let rendered = page(&html).render();
        assert_eq!((rendered.links.len(), rendered.links_cut), (PAGE_LINKS_MAX, 300));
        assert_eq!(rendered.links[1].text, "link 1");
        assert_eq!(rendered.links[1].url, "https://a.example/1");
    }

    #[test]
    fn links_inside_links_do_not_take_quadratic_time() {
        let html = "<a href=/x><table><td>".repeat(5_000);
        assert!(page(&html).render().links.len() <= 1);
    }
}
