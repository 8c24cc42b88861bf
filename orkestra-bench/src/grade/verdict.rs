//! The verdict from what hidden tests reported. Pure: reports in, score out.

use super::protocol::Reports;
use crate::limits::DETAIL_CHARACTERS_MAX;
use crate::result::{Strict, TestResult};

/// Every expected test has to be reported exactly once, and nothing else, else the tests count for nothing.
pub(super) fn verdict(expected: &[String], reports: Reports) -> Strict {
    let mut problems = Vec::new();
    let mut tests = Vec::new();
    for name in expected {
        if reports.is_cut && !reports.reports.iter().any(|report| report.test == *name) {
            continue;
        }
        let mut found = reports.reports.iter().filter(|report| report.test == *name);
        let first = found.next();
        let more = found.count();
        if more > 0 {
            problems.push(format!("the test {name} was reported {} times", more + 1));
        }
        if first.is_none() {
            problems.push(format!("the test {name} was not reported"));
        }
        tests.push(TestResult {
            name: name.clone(),
            passed: first.is_some_and(|report| report.passed && more == 0),
            detail: first
                .map_or_else(String::new, |report| report.detail.chars().take(DETAIL_CHARACTERS_MAX).collect()),
        });
    }
    if let Some(report) = reports.reports.iter().find(|report| !expected.contains(&report.test)) {
        problems.push(format!("the test {:?} was reported, which the task does not have", report.test));
    }
    problems.extend(reports.broken_off.map(|why| format!("the tests were broken off: {why}")));
    Strict { tests, problem: (!problems.is_empty()).then(|| problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Report;
    use super::*;

    fn check(reported: &[(&str, bool)], broken_off: Option<&str>) -> (bool, Option<String>) {
        let report =
            |(test, passed): &(&str, bool)| Report { test: (*test).to_owned(), passed: *passed, detail: String::new() };
        let reports = Reports {
            reports: reported.iter().map(report).collect(),
            broken_off: broken_off.map(str::to_owned),
            is_cut: false,
        };
        let strict = verdict(&["a".to_owned(), "b".to_owned()], reports);
        assert_eq!(strict.tests.len(), 2, "every expected test is in the result");
        (strict.is_solved(), strict.problem)
    }

    #[test]
    fn every_expected_test_counts_once_and_nothing_else() {
        assert_eq!(check(&[("b", true), ("a", true)], None), (true, None));
        assert_eq!(check(&[("a", true), ("b", false)], None), (false, None));
        for (reported, broken_off, problem) in [
            (vec![("a", true)], None, "the test b was not reported"),
            (vec![], None, "the test a was not reported; the test b was not reported"),
            (vec![("a", true), ("b", true), ("b", true)], None, "the test b was reported 2 times"),
            (vec![("a", false), ("b", true), ("a", true)], None, "the test a was reported 2 times"),
            (
                vec![("a", true), ("b", true), ("c", true)],
                None,
                "the test \"c\" was reported, which the task does not have",
            ),
            (vec![("a", true), ("b", true)], Some("time"), "the tests were broken off: time"),
        ] {
            assert_eq!(check(&reported, broken_off), (false, Some(problem.to_owned())), "{reported:?}");
        }
    }

    #[test]
    fn tests_that_were_cut_short_are_never_solved() {
        let report = Report { test: "a".to_owned(), passed: false, detail: String::new() };
        let reports = Reports { reports: vec![report], is_cut: true, ..Reports::default() };
        let strict = verdict(&["a".to_owned(), "b".to_owned()], reports);
        assert!(!strict.is_solved() && strict.problem.is_none() && strict.tests.len() == 1, "{strict:?}");
    }

    #[test]
    fn a_task_without_tests_is_never_solved() {
        assert!(!verdict(&[], Reports::default()).is_solved());
    }
}
