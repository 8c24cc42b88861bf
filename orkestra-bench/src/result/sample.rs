//! Results for tests of this module: small, with the same values in every trial.

use super::{
    AgentInfo, BenchmarkResult, Change, CheckResult, Documented, Ending, Moment, RESULT_FORMAT, Strict, TaskResult, TestResult,
    TrialLimits, TrialResult,
};
use crate::task::Difficulty;

/// A benchmark of these tasks.
pub(super) fn benchmark(trials: u32, tasks: Vec<TaskResult>) -> BenchmarkResult {
    BenchmarkResult {
        format: RESULT_FORMAT,
        id: "bench-1".to_owned(),
        agent: AgentInfo { name: "orkestra".to_owned(), model: "demo".to_owned(), notice: Some("demo: no AI".to_owned()) },
        started_at: "2026-11-27T10:00:00Z".to_owned(),
        ended_at: None,
        trials,
        limits: TrialLimits { seconds: 600, tokens: Some(200_000) },
        places: vec!["works in a container without network".to_owned()],
        tasks,
    }
}

/// A task whose fingerprint is its name.
pub(super) fn task(name: &str, trials: Vec<TrialResult>) -> TaskResult {
    TaskResult { name: name.to_owned(), difficulty: Difficulty::Easy, fingerprint: name.to_owned(), trials }
}

/// A trial with so many text checks and hidden tests passed, of so many.
pub(super) fn trial(number: u32, checks: [usize; 2], tests: [usize; 2]) -> TrialResult {
    let check = |index| CheckResult { check: format!("check {index}"), passed: index < checks[0] };
    let test = |index| {
        let detail = if index < tests[0] { "" } else { "expected 3, got 4" };
        TestResult { name: format!("test {index}"), passed: index < tests[0], detail: detail.to_owned() }
    };
    TrialResult {
        trial: number,
        ending: Ending::Finished,
        documented: Documented { checks: (0..checks[1]).map(check).collect() },
        strict: Strict { tests: (0..tests[1]).map(test).collect(), problem: None },
        attempts: Some(2),
        input_tokens: Some(1000),
        output_tokens: Some(100),
        model_calls: Some(3),
        cost_usd: Some(0.25),
        seconds: 12.5,
        restarts: 0,
        timeline: vec![Moment { at: 0.5, agent: "coder".to_owned(), text: "writes main.py".to_owned() }],
        changes: vec![Change { path: "main.py".to_owned(), diff: "--- /dev/null\n+++ b/main.py\n@@ -0,0 +1 @@\n+print(1)\n".to_owned() }],
    }
}
