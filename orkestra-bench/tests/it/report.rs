//! Reports of hostile and unusual results: nothing that a model wrote reaches a terminal, a page or a parser as anything but text.

use orkestra_bench::result::{BenchmarkResult, Comparison};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

use super::report_sample::{HOSTILE, hostile, result, task, trial};

/// Control characters other than line breaks, and characters that change the direction of others.
fn commands(text: &str) -> Vec<char> {
    let is_command =
        |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
    text.chars().filter(is_command).collect()
}

#[test]
fn a_terminal_gets_no_commands() {
    let hostile = hostile();
    for shown in [hostile.table().to_string(), Comparison::of(&hostile, &hostile).to_string()] {
        assert!(commands(&shown).is_empty(), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2J"), "the text is visible: {shown}");
    }
}

/// The tags of a page, without attributes' values: what the browser sees as structure.
fn tags(page: &str) -> Vec<&str> {
    page.split('<')
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!').next().unwrap_or(""))
        .collect()
}

#[test]
fn a_page_holds_text_only() {
    let page = hostile().html();
    let own = "!DOCTYPE html head meta title style body header main section footer p a h1 h2 h3 bdi dl dt dd ul ol li span strong table thead \
               tbody tr th td i b details summary div pre";
    for tag in tags(&page) {
        let name = tag.trim_start_matches('/');
        assert!(own.split_whitespace().any(|own| own == name), "unexpected tag {tag}");
    }
    // As many of each section as a harmless result has.
    let tests = json!([{"name": "a", "passed": false, "detail": "b"}, {"name": "c", "passed": true, "detail": ""}]);
    let harmless = result("text", &json!([task("text", &[trial("text", &tests)]), task("empty", &[])])).html();
    for section in ["<section", "<details", "<pre", "</pre>", "<style>", "</style>", "<title>", "</title>", "<meta"] {
        assert_eq!(page.matches(section).count(), harmless.matches(section).count(), "{section}");
    }
    assert!(commands(&page.replace('\t', "")).is_empty(), "no control characters");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
    for loaded in ["src=x onerror=alert(1)>", "http://", "https://", "url(", "@import"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
}

/// Reads the file as a CI system does: every event must be well-formed. Returns the elements and the texts of attributes.
fn parse(xml: &str) -> Vec<(String, Vec<String>)> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut elements = Vec::new();
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(element) | Event::Empty(element) => {
                let values = element.attributes().map(|attribute| {
                    let value = attribute.expect("an attribute").value;
                    quick_xml::escape::unescape(&value).expect("escaped").into_owned()
                });
                elements.push((element.name().as_ref().to_string(), values.collect()));
            }
            Event::DocType(_) | Event::CData(_) | Event::PI(_) | Event::Comment(_) => {
                panic!("only elements and text: {xml}")
            }
            Event::Eof => return elements,
            _ => {}
        }
    }
}

#[test]
fn a_junit_file_is_well_formed() {
    let xml = hostile().junit().expect("written");
    let elements = parse(&xml);
    let count = |name: &str| elements.iter().filter(|(element, _)| element == name).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure")), (2, 3, 2), "{xml}");
    let forbidden =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    assert!(!xml.contains(forbidden), "{xml}");
    assert!(xml.contains("\u{fffd}\u{fffd}[2J"), "replaced: {xml}");
    assert!(!xml.contains("]]>"), "the end of a section that no reader expects");
    let (_, case) = elements.iter().find(|(name, _)| name == "testcase").expect("a case");
    assert!(case[1].starts_with("trial 1: <script>alert(1)</script>]]>\"'&amp;--><img"), "{case:?}");
}

#[test]
fn a_result_keeps_hostile_text_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("result.json");
    let result = hostile();
    result.write(&path).expect("written");
    let read = BenchmarkResult::read(&path).expect("read");
    assert_eq!(read, result);
    assert_eq!(read.tasks[0].trials[0].strict.tests[0].detail, HOSTILE);
}

#[test]
fn long_details_are_cut_and_say_so() {
    let tests: Vec<Value> = (0..20)
        .map(|index| json!({"name": format!("{index}"), "passed": false, "detail": "ä<\n".repeat(250_000)}))
        .collect();
    let result = result("text", &json!([task("text", &[trial("text", &Value::from(tests))])]));
    let (page, xml) = (result.html(), result.junit().expect("written"));
    assert!(page.len() < 2_000_000 && page.contains(" more bytes are not shown]"), "{}", page.len());
    assert!(xml.len() < 4_000_000 && xml.contains(" more bytes are not shown]"), "{}", xml.len());
    parse(&xml);
    assert!(result.table().to_string().len() < 5_000);
}

#[test]
fn unusual_results_have_every_report() {
    let solved = || trial("text", &json!([{"name": "a", "passed": true, "detail": ""}]));
    let mut one_trial = solved();
    one_trial["strict"]["problem"] = Value::Null;
    let (nothing, none) = (json!([]), json!([task("text", &[])]));
    let no_tests = json!([task("text", &[trial("text", &json!([]))])]);
    let unknown = json!([task("text", &[solved(), solved()])]);
    let one = json!([task("text", &[one_trial])]);
    for (name, tasks, table, page, tests) in [
        ("no tasks", nothing, "grade: none yet", "nothing graded yet", 0),
        ("no trials", none, "0 of 2 trials so far", "no trial was graded yet", 0),
        ("no hidden tests", no_tests, "0/1 solved", "No hidden test was reported", 1),
        ("unknown cost", unknown, "cost unknown", "unknown", 4),
        ("one trial", one, "1/1 solved  21-100", "1 of 2 trials so far", 1),
    ] {
        let result = result("text", &tasks);
        let shown = result.table().to_string();
        assert!(shown.contains(table), "{name}: {shown}");
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{name}: {shown}");
        let html = result.html();
        assert!(html.contains(page) && !html.contains("NaN"), "{name}: {html}");
        let cases =
            parse(&result.junit().expect("written")).iter().filter(|(element, _)| element == "testcase").count();
        assert_eq!(cases, tests, "{name}");
        let comparison = Comparison::of(&result, &result);
        assert!(!serde_json::to_string(&comparison).expect("written").contains("NaN"), "{name}");
        assert!(comparison.to_string().contains("the same benchmark"), "{name}");
    }
}
