//! Proves the judge of a task: the oracle is right on both scores, an empty workspace is worth nothing, every wrong solution is caught
//! by the hidden tests, and one that is made for the text checks gets far with them alone.

use std::path::Path;

use crate::delivery::Delivery;
use crate::grade::{self, GradeError, GradingPlace, Until};
use crate::result::Strict;
use crate::task::CodingTask;

/// The documented score that a solution made for the text checks must reach.
const TEXT_ONLY_MIN: f64 = 8.0;

/// One solution, judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proof {
    /// `oracle`, `empty`, or the name of the wrong solution.
    pub solution: String,
    /// Its documented score, 0 to 10.
    pub documented: f64,
    /// What the hidden tests say.
    pub strict: Strict,
    /// What this says against the task; `None` when it is as it should be.
    pub fault: Option<String>,
}

/// How much of each wrong solution is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Depth {
    /// Every hidden test, to see how many a mistake fails.
    Whole,
    /// Until the first hidden test fails, which is enough to refuse it.
    FirstFailure,
}

/// Judges the solutions of a task one after another, below the directory `scratch`. `seen` gets each as soon as it is judged.
///
/// # Errors
/// [`GradeError`] when the sandboxes cannot be used.
pub async fn prove(
    task: &CodingTask,
    place: &GradingPlace,
    scratch: &Path,
    depth: Depth,
    mut seen: impl FnMut(&Proof),
) -> Result<Vec<Proof>, GradeError> {
    let mut proofs = Vec::new();
    let mut judge = async |name: &str, delivery: Delivery, fault: &dyn Fn(f64, &Strict) -> Option<String>| {
        let documented = grade::documented(task, &delivery).score();
        let until = match depth {
            Depth::FirstFailure if name != "oracle" => Until::FirstFailure,
            _ => Until::End,
        };
        let scratch = scratch.join(format!("{}-{name}", task.name));
        let strict = grade::strict_until(until, task, &delivery, place, &scratch).await?;
        let fault = fault(documented, &strict);
        let proof = Proof { solution: name.to_owned(), documented, strict, fault };
        seen(&proof);
        proofs.push(proof);
        Ok::<_, GradeError>(())
    };
    judge("oracle", task.delivery_of(&task.oracle), &of_oracle).await?;
    judge("empty", Delivery::default(), &of_empty).await?;
    for wrong in &task.wrong {
        let fault = |documented: f64, strict: &Strict| of_wrong(documented, strict, wrong.text_only);
        // What an agent was given is there too, unless the solution is made of texts alone.
        let files = if wrong.text_only { Delivery::of(wrong.files.clone()) } else { task.delivery_of(&wrong.files) };
        judge(&wrong.name, files, &fault).await?;
    }
    Ok(proofs)
}

fn of_oracle(documented: f64, strict: &Strict) -> Option<String> {
    let failed: Vec<String> =
        strict.tests.iter().filter(|test| !test.passed).map(|test| format!("{}: {}", test.name, test.detail)).collect();
    if !strict.is_solved() {
        let problem = strict.problem.clone().unwrap_or_default();
        return Some(format!("the oracle does not pass the hidden tests: {problem} {}", failed.join("; ")));
    }
    (documented < 10.0).then(|| format!("the oracle has {documented:.1} of 10 points of the text checks"))
}

fn of_empty(documented: f64, strict: &Strict) -> Option<String> {
    if strict.is_solved() {
        return Some("an empty workspace passes the hidden tests".to_owned());
    }
    (documented > 0.0).then(|| format!("an empty workspace has {documented:.1} points of the text checks"))
}

fn of_wrong(documented: f64, strict: &Strict, text_only: bool) -> Option<String> {
    if strict.is_solved() {
        return Some("the hidden tests do not find what is wrong with it".to_owned());
    }
    if strict.tests.iter().all(|test| !test.passed) && strict.problem.is_some() && !text_only {
        return Some(format!(
            "it is refused for another reason than a failed test: {}",
            strict.problem.as_deref().unwrap_or_default()
        ));
    }
    (text_only && documented < TEXT_ONLY_MIN).then(|| {
        format!("it is made for the text checks, but has {documented:.1} points of them, less than {TEXT_ONLY_MIN}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::TestResult;

    fn strict(passed: &[bool]) -> Strict {
        let test = |passed: &bool| TestResult { name: "t".to_owned(), passed: *passed, detail: String::new() };
        Strict { tests: passed.iter().map(test).collect(), problem: None }
    }

    #[test]
    fn faults_of_a_task_are_found() {
        let (right, wrong) = (strict(&[true, true]), strict(&[true, false]));
        let unreported = Strict { problem: Some("p".to_owned()), ..strict(&[false]) };
        for (fault, is_fault) in [
            (of_oracle(10.0, &right), false),
            (of_oracle(9.0, &right), true),
            (of_oracle(10.0, &wrong), true),
            (of_empty(0.0, &wrong), false),
            (of_empty(1.0, &wrong), true),
            (of_empty(0.0, &right), true),
            (of_wrong(10.0, &wrong, false), false),
            (of_wrong(10.0, &right, false), true),
            (of_wrong(10.0, &unreported, false), true),
            (of_wrong(8.0, &wrong, true), false),
            (of_wrong(7.0, &wrong, true), true),
        ] {
            assert_eq!(fault.is_some(), is_fault, "{fault:?}");
        }
    }
}
