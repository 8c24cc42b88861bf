//! Reads a JUnit file, of pytest or of our own runner: which tests ran, and which of them failed. Pure.

use quick_xml::{Reader, events::BytesStart, events::Event};

/// The content of a JUnit file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The number of tests, including failed and skipped ones.
    pub(super) tests: usize,
    /// The number of skipped tests.
    pub(super) skipped: usize,
    /// The full names of tests that failed or could not run.
    pub(super) failed: Vec<String>,
}

/// Reads the text of a JUnit file.
///
/// # Errors
/// When it is not a JUnit file. A truncated file is an error, never a shorter report.
pub(super) fn parse(text: &str) -> Result<Report, String> {
    let mut reader = Reader::from_str(text);
    let mut report = Report::default();
    let mut test = None;
    let mut depth = 0_usize;
    let mut has_root = false;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) => {
                depth += 1;
                has_root |= is_root(&element);
                begin(&element, &mut report, &mut test)?;
            }
            Event::Empty(element) => {
                has_root |= is_root(&element);
                begin(&element, &mut report, &mut test)?;
                if element.local_name().as_ref() == "testcase" {
                    test = None;
                }
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                if element.local_name().as_ref() == "testcase" {
                    test = None;
                }
            }
            Event::Eof if depth == 0 && has_root => return Ok(report),
            Event::Eof => return Err("the file is truncated or contains no test suite".to_owned()),
            _ => {}
        }
    }
}

fn is_root(element: &BytesStart<'_>) -> bool {
    matches!(element.local_name().as_ref(), "testsuites" | "testsuite")
}

fn begin(element: &BytesStart<'_>, report: &mut Report, test: &mut Option<String>) -> Result<(), String> {
    match element.local_name().as_ref() {
        "testcase" => {
            report.tests += 1;
            *test = Some(full_name(element)?);
        }
        "skipped" if test.is_some() => report.skipped += 1,
        "failure" | "error" => {
            if let Some(name) = test
                && report.failed.last() != Some(name)
            {
                report.failed.push(name.clone());
            }
        }
        _ => {}
    }
    Ok(())
}

fn full_name(element: &BytesStart<'_>) -> Result<String, String> {
    let attribute = |wanted: &str| -> Result<String, String> {
        let found = element.try_get_attribute(wanted).map_err(|error| error.to_string())?;
        let Some(found) = found else { return Ok(String::new()) };
        let text = quick_xml::escape::unescape(&found.value).map_err(|error| error.to_string())?;
        Ok(text.into_owned())
    };
    let (class, name) = (attribute("classname")?, attribute("name")?);
    Ok(if class.is_empty() { name } else { format!("{class}::{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_errors_and_skipped_tests_are_counted() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="4">
            <testcase classname="tests.test_a.TestA" name="test_good" time="0.1" />
            <testcase classname="tests.test_a" name="test_bad[&lt;1&gt;]"><failure message="no">assert 1 == 2</failure></testcase>
            <testcase classname="" name="tests.test_b"><error message="collection failure">SyntaxError</error></testcase>
            <testcase classname="tests.test_a" name="test_later"><skipped message="later"/></testcase>
            </testsuite></testsuites>"#;
        let report = parse(text).expect("it is a report");
        assert_eq!(report.tests, 4);
        assert_eq!(report.skipped, 1);
        assert_eq!(report.failed, ["tests.test_a::test_bad[<1>]", "tests.test_b"]);
    }

    #[test]
    fn a_test_that_fails_twice_is_named_once() {
        let text = "<testsuite><testcase name=\"a\"><failure/><error/></testcase></testsuite>";
        assert_eq!(parse(text).expect("it is a report").failed, ["a"]);
    }

    #[test]
    fn anything_but_a_whole_report_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse("no tests here").is_err());
        assert!(parse("<html></html>").is_err());
        assert!(parse("<testsuite><testcase name=\"a\">").is_err());
        assert!(parse("<testsuite><testcase name=\"a\"></wrong></testsuite>").is_err());
    }
}
