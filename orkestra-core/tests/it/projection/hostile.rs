//! Users' texts never become markup.

use quick_xml::Reader;
use quick_xml::events::Event as Xml;
use serde_json::json;

use super::story::{Story, fails, starts};

const HOSTILE: &[&str] = &[
    "</title><script>alert(1)</script>",
    "\"];evil[label=\"x",
    "\\\" , URL=\"javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;",
    "]]> <!-- --> <![CDATA[x]]>",
    "%%{init: {\"securityLevel\": \"loose\"}}%%",
    "`**bold**` <img src=x onerror=alert(1)>",
    "\"]\n  click n0 \"javascript:alert(1)\"\n  n9[\"",
    "line\r\nbreak\u{1b}[2J\u{7}\u{0}\u{202e}\u{2028}\u{fffe}end",
    "\\N \\G \\l \\",
    "#quot; #35; ;",
];

/// A run in which every text is this one.
fn story(text: &str) -> Story {
    let mut story = Story::of(json!([
        {"name": "a", "task": "t", "retry": {"attempts_max": 2}},
        {"name": "b", "task": "t"},
        {"name": "c", "task": "t", "limits": [{"limit": "l", "by": {"key": text}}]},
    ]));
    story
        .at(1, &[starts("a", 1), starts("b", 1), json!({"SlotAwaited": {"node": "c"}})])
        .at(2, &[json!({"QuestionAsked": {"node": "b", "step": text, "question": text}})])
        .at(2, &[json!({"Emitted": {"node": "b", "kind": text, "payload": text}})])
        .at(3, &[fails("a", 1, text, Some(9))])
        .at(4, &[json!({"RunPaused": {"reason": {"Asked": {"reason": text}}}})]);
    story
}

#[test]
fn hostile_text_stays_text_in_svg() {
    for text in HOSTILE {
        let svg = story(text).graph().to_svg();
        let mut reader = Reader::from_str(&svg);
        reader.config_mut().check_end_names = true;
        let mut elements = Vec::new();
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{error} in {svg}")) {
                Xml::Eof => break,
                Xml::Start(tag) | Xml::Empty(tag) => {
                    elements.push(tag.name().as_ref().to_owned());
                    for attribute in tag.attributes() {
                        let key = attribute.expect("an attribute").key;
                        assert!(!key.as_ref().starts_with("on") && !key.as_ref().ends_with("href"), "{svg}");
                    }
                }
                Xml::CData(_) | Xml::Comment(_) | Xml::PI(_) | Xml::DocType(_) => panic!("{svg}"),
                _ => {}
            }
        }
        let known = ["svg", "title", "defs", "marker", "path", "rect", "text", "g"];
        assert!(elements.iter().all(|element| known.contains(&element.as_str())), "{elements:?}");
        let legal = |c: char| matches!(c, '\n' | '\t' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
        assert!(svg.chars().all(legal), "{svg:?}");
    }
}

#[test]
fn hostile_text_stays_text_in_dot() {
    for text in HOSTILE {
        let dot = story(text).graph().to_dot();
        assert_eq!(dot.lines().count(), 4 + 3 + 1, "{dot}");
        let nodes = || dot.lines().filter(|line| line.trim_start().starts_with('n') && line.contains("label="));
        assert!(nodes().count() >= 3, "{dot}");
        for line in nodes() {
            // Outside of quotes there is no user text.
            let mut outside = String::new();
            let (mut quoted, mut escaped) = (false, false);
            for c in line.chars() {
                match c {
                    '"' if !escaped => quoted = !quoted,
                    c if !quoted => outside.push(c),
                    _ => {}
                }
                escaped = c == '\\' && !escaped;
            }
            assert!(!quoted, "{line}");
            let bare = outside.trim().trim_start_matches(['n', '0', '1', '2']);
            assert_eq!(bare, " [label=, class=, fillcolor=, color=, fontcolor=];", "{line}");
        }
    }
}

#[test]
fn hostile_text_stays_text_in_mermaid() {
    for text in HOSTILE {
        let mermaid = story(text).graph().to_mermaid();
        assert_eq!(mermaid.lines().count(), 1 + 3 + 9, "{mermaid}");
        for line in mermaid.lines().skip(1).take(3) {
            let label = line.split_once("[\"").and_then(|(_, rest)| rest.split_once("\"]:::")).expect("a label").0;
            assert!(label.contains("<b>"), "{line}");
            let bare =
                ["<b>", "</b>", "<i>", "</i>", "<br/>"].iter().fold(label.to_owned(), |l, tag| l.replace(tag, ""));
            let harmless = |c: char| c.is_alphanumeric() || " .,:-/_…←#;".contains(c);
            assert!(bare.chars().all(harmless), "{bare}");
        }
    }
}

#[test]
fn hostile_text_is_escaped_for_terminals() {
    for text in HOSTILE {
        let story = story(text);
        for shown in [story.graph().to_text(), story.timeline().to_text()] {
            let tame = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{202e}' | '\u{2028}'));
            assert!(shown.chars().all(tame), "{shown:?}");
            assert!(shown.lines().all(|line| line.chars().count() <= 260), "{shown}");
        }
        assert_eq!(story.graph().to_text().lines().count(), 5);
    }
}
