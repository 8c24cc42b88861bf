//! A parsed HTML page: its title, its text, its links, and the elements that a CSS selector chooses.
//!
//! Everything here is synchronous and bounded in time and memory, because pages are hostile: call it through [`parsed`], which also
//! contains a panic of the parser.

mod text;

use std::time::Duration;

use html5ever::driver::ParseOpts;
use html5ever::tendril::TendrilSink;
use html5ever::tree_builder::TreeBuilderOpts;
use scraper::{ElementRef, Html, HtmlTreeSink, Selector};
use tokio::time::Instant;
use url::Url;

pub(crate) use text::Rendered;

use super::untrusted::{boundary, one_line};
use crate::limits::{PAGE_LINK_BYTES_MAX, PAGE_NODES_MAX, PAGE_PARSE_TIME, SELECTOR_BYTES_MAX};

/// The parser gets this much at a time, bytes; its limits are checked in between.
const PIECE_BYTES: usize = 4 * 1024;

/// A link of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its text, in one line.
    pub text: String,
    /// Where it leads.
    pub url: String,
}

impl Link {
    /// A link with its text cleaned and cut.
    #[must_use]
    pub fn new(text: &str, url: impl Into<String>) -> Self {
        Self { text: one_line(text, PAGE_LINK_BYTES_MAX), url: url.into() }
    }
}

pub(crate) struct Page {
    pub(crate) html: Html,
    /// What relative links are relative to.
    base: Url,
    /// Whether the page was cut by a limit.
    pub(crate) is_cut: bool,
}

/// Parses a page on a thread for blocking work and evaluates it there. `Err` says what went wrong.
pub(crate) async fn parsed<T: Send + 'static>(
    text: String,
    url: Url,
    evaluate: impl FnOnce(&Page) -> T + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(move || evaluate(&Page::parse(&text, url, PAGE_PARSE_TIME))).await;
    done.map_err(|_| "the page is so broken that it cannot be parsed".to_owned())
}

impl Page {
    fn parse(text: &str, url: Url, time_max: Duration) -> Self {
        // Without scripting, `noscript` has elements instead of text.
        let tree_builder = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
        let options = ParseOpts { tree_builder, ..ParseOpts::default() };
        let mut parser = html5ever::parse_document(HtmlTreeSink::new(Html::new_document()), options);
        let (started, mut rest, mut is_cut) = (Instant::now(), text, false);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(boundary(rest, PIECE_BYTES));
            parser.process(piece.into());
            rest = after;
            let nodes = parser.tokenizer.sink.sink.0.borrow().tree.values().len();
            if !rest.is_empty() && (nodes > PAGE_NODES_MAX || started.elapsed() > time_max) {
                is_cut = true;
                break;
            }
        }
        let html = parser.finish();
        let base = first(&html, "base[href]").and_then(|element| url.join(element.attr("href")?).ok());
        Self { base: base.unwrap_or(url), html, is_cut }
    }

    /// The title, in one line; empty if there is none.
    pub(crate) fn title(&self) -> String {
        let title = first(&self.html, "title").map(|title| title.text().collect::<String>());
        one_line(&title.unwrap_or_default(), PAGE_LINK_BYTES_MAX)
    }

    /// Readable text and links.
    pub(crate) fn render(&self) -> Rendered {
        text::render(self)
    }

    /// Where a link leads; `None` for what is not on the web.
    pub(crate) fn target(&self, href: &str) -> Option<Url> {
        let url = self.base.join(href.trim()).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    /// The first element that a selector chooses: CSS, or `text=` with a part of a link's text.
    ///
    /// # Errors
    /// What is wrong with the selector, for the model.
    pub(crate) fn find(&self, selector: &str) -> Result<Option<ElementRef<'_>>, String> {
        if selector.len() > SELECTOR_BYTES_MAX {
            return Err(format!("it is longer than {SELECTOR_BYTES_MAX} bytes"));
        }
        if let Some(text) = selector.strip_prefix("text=") {
            let wanted = text.trim().trim_matches(['"', '\'']).to_lowercase();
            let has_text = |element: &ElementRef<'_>| {
                one_line(&element.text().collect::<String>(), PAGE_LINK_BYTES_MAX).to_lowercase().contains(&wanted)
            };
            return self.search("a[href], button", has_text);
        }
        if selector.to_ascii_lowercase().contains(":has") {
            return Err("`:has` is not supported; use text= with the text of the link, or a[href=...]".to_owned());
        }
        self.search(selector, |_| true)
    }

    fn search(
        &self,
        selector: &str,
        is_wanted: impl Fn(&ElementRef<'_>) -> bool,
    ) -> Result<Option<ElementRef<'_>>, String> {
        let selector = Selector::parse(selector).map_err(|error| error.to_string())?;
        let started = Instant::now();
        for element in self.html.tree.nodes().filter_map(ElementRef::wrap) {
            if selector.matches(&element) && is_wanted(&element) {
                return Ok(Some(element));
            }
            if started.elapsed() > PAGE_PARSE_TIME {
                return Err("it takes too long on this page; use a simpler one, such as a[href=...]".to_owned());
            }
        }
        Ok(None)
    }
}

/// The first element by a selector of ours.
pub(crate) fn first<'page>(html: &'page Html, selector: &str) -> Option<ElementRef<'page>> {
    let selector = Selector::parse(selector).expect("a selector of ours is valid");
    html.select(&selector).next()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Page, parsed};
    use crate::limits::{PAGE_NODES_MAX, PAGE_PARSE_TIME};

    pub(super) fn page(html: &str) -> Page {
        page_within(html, PAGE_PARSE_TIME)
    }

    fn page_within(html: &str, time_max: Duration) -> Page {
        Page::parse(html, "https://a.example/dir/page?x=1".parse().expect("an address"), time_max)
    }

    #[test]
    fn a_page_made_to_exhaust_the_parser_is_cut() {
        let pages = [
            ("deep", "<div>".repeat(400_000)),
            ("wide", "<a>".repeat(600_000)),
            ("attributes", format!("<p {}>", (0..200_000).map(|n| format!("a{n}=x ")).collect::<String>())),
            ("formatting", "<b><i><u>".repeat(100_000)),
            ("tables", "<table><td>".repeat(100_000)),
            ("templates", "<template>".repeat(100_000)),
            ("misnested", "<a><p></a>".repeat(100_000)),
            ("foreign", "<svg><foreignObject><math><mi>".repeat(50_000)),
            ("unended", format!("<!--{}", "-".repeat(1_000_000))),
            ("entities", "&".repeat(1_000_000)),
        ];
        for (name, html) in pages {
            // In the time of a real page, which is less than what a test may wait for.
            let page = page_within(&html, Duration::from_millis(200));
            let nodes = page.html.tree.values().len();
            assert!(nodes < PAGE_NODES_MAX + 20_000, "{name}: {nodes} nodes");
            assert!(page.render().text.len() <= html.len(), "{name}");
            assert!(page.is_cut || matches!(name, "unended" | "entities"), "{name}");
        }
    }

    #[tokio::test]
    async fn a_panic_while_a_page_is_read_is_an_error() {
        let url = "https://a.example/".parse().expect("an address");
        let error = parsed("<p>".to_owned(), url, |_| -> () { panic!("a fault of the parser") }).await;
        assert_eq!(error, Err("the page is so broken that it cannot be parsed".to_owned()));
    }

    #[test]
    fn elements_are_found_by_css_or_by_text_and_a_bad_selector_is_explained() {
        let page = page("<a href=1>One</a><p id=x class='y z'><a href=2>Two <b>more</b></a></p><button>Go</button>");
        let found = |selector: &str| page.find(selector).map(|found| found.and_then(|found| found.attr("href")));
        assert_eq!(found("#x a"), Ok(Some("2")));
        assert_eq!(found("p.y > a[href='2']"), Ok(Some("2")));
        assert_eq!(found("text=two MORE"), Ok(Some("2")));
        assert_eq!(found("text=\"One\""), Ok(Some("1")));
        assert_eq!(found("#missing"), Ok(None));
        for selector in ["", "a[", "a:has(b)", "//a", "a::", "a:contains(\"x\")", &"a ".repeat(300)] {
            assert!(page.find(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn a_selector_made_to_take_long_is_given_up() {
        let page = page(&"<div>".repeat(3_000));
        for selector in ["div ".repeat(100) + "p", "div ~ ".repeat(80) + "p", ":not(div ".repeat(20) + &")".repeat(20)]
        {
            let _ = page.find(&selector);
        }
    }

    #[test]
    fn links_are_resolved_against_the_page_or_its_base() {
        let here = page("");
        let elsewhere = page("<base href='https://b.example/other/'>");
        let table = [
            ("next", Some("https://a.example/dir/next"), Some("https://b.example/other/next")),
            ("/top", Some("https://a.example/top"), Some("https://b.example/top")),
            ("?q", Some("https://a.example/dir/page?q"), Some("https://b.example/other/?q")),
            ("//c.example", Some("https://c.example/"), Some("https://c.example/")),
            ("javascript:x()", None, None),
            ("mailto:a@b", None, None),
            ("file:///etc/passwd", None, None),
            ("http://[", None, None),
        ];
        for (href, expected, based) in table {
            assert_eq!(here.target(href).as_ref().map(url::Url::as_str), expected, "{href}");
            assert_eq!(elsewhere.target(href).as_ref().map(url::Url::as_str), based, "{href}");
        }
    }
}
