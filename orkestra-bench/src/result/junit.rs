//! A result as a JUnit file, which CI systems show: a suite per task, a case per trial and hidden test.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::text::{counted, cut, cut_note, ending, level, one_line};
use super::{BenchmarkResult, TaskResult, TrialResult};

/// The longest detail of a failure, bytes. Readers of JUnit keep the whole file in memory.
const DETAIL_BYTES_MAX: usize = 64 * 1024;
/// The characters of a name or another attribute.
const NAME_CHARS_MAX: usize = 300;

type Xml = Writer<Vec<u8>>;

/// A hidden test of a trial, or what stands for tests that were not reported.
struct Case {
    name: String,
    /// Why it failed: in a line, and in detail.
    failure: Option<(String, String)>,
}

impl BenchmarkResult {
    /// The strict scores as a JUnit file.
    ///
    /// Characters that XML 1.0 forbids are replaced by `U+FFFD`.
    ///
    /// # Errors
    /// When the file cannot be built in memory.
    pub fn junit(&self) -> io::Result<String> {
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let suites: Vec<_> =
            self.tasks.iter().map(|task| (task, task.trials.iter().flat_map(cases).collect())).collect();
        let all = || suites.iter().flat_map(|(_, cases): &(_, Vec<Case>)| cases);
        let (tests, failures) = (all().count().to_string(), failed(all()).to_string());
        xml.create_element("testsuites")
            .with_attributes([("name", attribute(&self.id).as_str()), ("tests", &tests), ("failures", &failures)])
            .write_inner_content(|xml| {
                suites.iter().try_for_each(|(task, cases)| self.write_suite(xml, task, cases))
            })?;
        let mut bytes = xml.into_inner();
        bytes.push(b'\n');
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn write_suite(&self, xml: &mut Xml, task: &TaskResult, cases: &[Case]) -> io::Result<()> {
        let name = attribute(&task.name);
        let (tests, failures) = (cases.len().to_string(), failed(cases).to_string());
        let seconds: f64 = task.trials.iter().map(|trial| trial.seconds).sum();
        // A sum of no numbers is -0.
        let seconds = seconds + 0.0;
        xml.create_element("testsuite")
            .with_attributes([
                ("name", name.as_str()),
                ("tests", &tests),
                ("failures", &failures),
                ("errors", "0"),
                ("time", &format!("{seconds:.3}")),
                ("timestamp", &attribute(&self.started_at)),
            ])
            .write_inner_content(|xml| {
                self.write_properties(xml, task)?;
                for case in cases {
                    write_case(xml, &name, case)?;
                }
                let trials: Vec<_> = task.trials.iter().map(describe).collect();
                xml.create_element("system-out").write_text_content(BytesText::new(&allowed(&trials.join("\n"))))?;
                Ok(())
            })?;
        Ok(())
    }

    fn write_properties(&self, xml: &mut Xml, task: &TaskResult) -> io::Result<()> {
        let documented = task.documented().map(|score| format!("{score:.2}"));
        let tally = task.tally();
        let properties = [
            ("agent", Some(self.agent.name.clone())),
            ("model", Some(self.agent.model.clone())),
            ("notice", self.agent.notice.clone()),
            ("difficulty", Some(level(task.difficulty).to_owned())),
            ("fingerprint", Some(task.fingerprint.clone())),
            ("documented score", documented),
            ("solved trials", Some(format!("{} of {}", tally.solved, tally.trials))),
            ("planned trials", Some(self.trials.to_string())),
        ];
        xml.create_element("properties").write_inner_content(|xml| {
            for (name, value) in properties {
                let Some(value) = value else { continue };
                let attributes = [("name", name), ("value", &attribute(&value))];
                xml.create_element("property").with_attributes(attributes).write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn failed<'a>(cases: impl IntoIterator<Item = &'a Case>) -> usize {
    cases.into_iter().filter(|case| case.failure.is_some()).count()
}

fn cases(trial: &TrialResult) -> Vec<Case> {
    let number = trial.trial;
    let mut cases: Vec<_> = trial
        .strict
        .tests
        .iter()
        .map(|test| {
            let failure = || (one_line(&test.detail, NAME_CHARS_MAX), test.detail.clone());
            Case { name: format!("trial {number}: {}", test.name), failure: (!test.passed).then(failure) }
        })
        .collect();
    // Without this case, a trial that counts for nothing would look like one in which everything passed.
    let problem = match &trial.strict.problem {
        Some(problem) => Some(problem.as_str()),
        None if cases.is_empty() => Some("no hidden test was reported"),
        None => None,
    };
    cases.extend(problem.map(|problem| Case {
        name: format!("trial {number}: grading"),
        failure: Some((one_line(problem, NAME_CHARS_MAX), problem.to_owned())),
    }));
    cases
}

fn write_case(xml: &mut Xml, task: &str, case: &Case) -> io::Result<()> {
    let name = attribute(&case.name);
    let element = xml.create_element("testcase").with_attributes([("classname", task), ("name", &name)]);
    let Some((message, detail)) = &case.failure else {
        element.write_empty()?;
        return Ok(());
    };
    let (kept, more) = cut(detail, DETAIL_BYTES_MAX);
    let note = if more > 0 { cut_note(more) } else { String::new() };
    element.write_inner_content(|xml| {
        xml.create_element("failure")
            .with_attribute(("message", attribute(message).as_str()))
            .write_text_content(BytesText::new(&(allowed(kept) + &note)))?;
        Ok(())
    })?;
    Ok(())
}

fn describe(trial: &TrialResult) -> String {
    let (number, strict, documented) = (trial.trial, trial.strict.score(), trial.documented.score());
    let restarts = match trial.restarts {
        0 => String::new(),
        count => format!(", {}", counted(u64::from(count), "restart")),
    };
    let seconds = trial.seconds;
    let ending = ending(&trial.ending);
    format!("trial {number}: strict {strict:.0}, documented {documented:.1}, {seconds:.1} s{restarts}, {ending}")
}

/// The value of an attribute: on one line, because readers turn line breaks into spaces.
fn attribute(text: &str) -> String {
    allowed(&one_line(text, NAME_CHARS_MAX))
}

/// `text` with what XML 1.0 forbids replaced: it has no form for these characters, not even an escaped one.
fn allowed(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use crate::result::sample::{benchmark, task, trial};

    #[test]
    fn a_case_per_trial_and_hidden_test() {
        let mut unreported = trial(2, [1, 1], [1, 1]);
        unreported.strict.problem = Some("test 1 was not reported".to_owned());
        let mut killed = trial(3, [0, 1], [0, 0]);
        killed.restarts = 1;
        let tasks = vec![task("one", vec![trial(1, [1, 2], [1, 2]), unreported, killed]), task("two", Vec::new())];
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bench-1" tests="5" failures="3">
  <testsuite name="one" tests="5" failures="3" errors="0" time="37.500" timestamp="2026-11-27T10:00:00Z">
    <properties>
      <property name="agent" value="orkestra"/>
      <property name="model" value="demo"/>
      <property name="notice" value="demo: no AI"/>
      <property name="difficulty" value="easy"/>
      <property name="fingerprint" value="one"/>
      <property name="documented score" value="5.00"/>
      <property name="solved trials" value="0 of 3"/>
      <property name="planned trials" value="3"/>
    </properties>
    <testcase classname="one" name="trial 1: test 0"/>
    <testcase classname="one" name="trial 1: test 1">
      <failure message="expected 3, got 4">expected 3, got 4</failure>
    </testcase>
    <testcase classname="one" name="trial 2: test 0"/>
    <testcase classname="one" name="trial 2: grading">
      <failure message="test 1 was not reported">test 1 was not reported</failure>
    </testcase>
    <testcase classname="one" name="trial 3: grading">
      <failure message="no hidden test was reported">no hidden test was reported</failure>
    </testcase>
    <system-out>trial 1: strict 0, documented 5.0, 12.5 s, finished
trial 2: strict 0, documented 10.0, 12.5 s, finished
trial 3: strict 0, documented 0.0, 12.5 s, 1 restart, finished</system-out>
  </testsuite>
  <testsuite name="two" tests="0" failures="0" errors="0" time="0.000" timestamp="2026-11-27T10:00:00Z">
"#;
        let found = benchmark(3, tasks).junit().expect("written");
        assert!(found.starts_with(expected), "{found}");
    }
}
