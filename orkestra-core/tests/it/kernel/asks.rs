//! How tables write inputs and task requests, verb by verb.

use std::collections::BTreeMap;

use orkestra_core::kernel::{InputKind, Outcome, TaskRequest};
use orkestra_core::model::{
    Amount, Failure, Join, Name, NodeSpec, OnFailure, RunId, RunOptions, Seq, SlotBy, SlotSpec, Timestamp,
};

use super::scene::{attempt_of, json, name};

/// How tables write the options of a node.
pub(super) trait Options: Sized {
    fn joins(self, join: Join) -> Self;
    fn when(self, condition: &str) -> Self;
    fn or(self, on_failure: OnFailure) -> Self;
    fn within_all(self, millis: u64) -> Self;
    fn undone(self) -> Self;
    fn limited(self, limit: &str) -> Self;
    fn limited_by(self, limit: &str, by: SlotBy) -> Self;
    fn first(self, priority: i32) -> Self;
}

impl Options for NodeSpec {
    fn joins(self, join: Join) -> Self {
        self.with_join(join)
    }

    fn when(self, condition: &str) -> Self {
        self.with_condition(serde_json::from_str(condition).expect("a condition"))
    }

    fn or(self, on_failure: OnFailure) -> Self {
        self.with_on_failure(on_failure)
    }

    fn within_all(self, millis: u64) -> Self {
        Self { total_timeout_ms: Some(millis), ..self }
    }

    fn undone(self) -> Self {
        self.with_compensation(name("undo"))
    }

    fn limited(self, limit: &str) -> Self {
        self.with_limit(SlotSpec { limit: name(limit), by: None })
    }

    fn limited_by(self, limit: &str, by: SlotBy) -> Self {
        self.with_limit(SlotSpec { limit: name(limit), by: Some(by) })
    }

    fn first(self, priority: i32) -> Self {
        Self { priority, ..self }
    }
}

/// This many tokens.
pub(super) fn tokens(amount: u64) -> BTreeMap<Name, Amount> {
    [(name("tokens"), Amount::whole(amount))].into()
}

pub(super) fn budget(tokens_max: u64) -> RunOptions {
    RunOptions { budget: tokens(tokens_max), ..RunOptions::default() }
}

pub(super) fn deadline(millis: u64) -> RunOptions {
    RunOptions { deadline: Some(Timestamp::from_millis(millis)), ..RunOptions::default() }
}

pub(super) fn run_id(text: &str) -> RunId {
    RunId::new(text).expect("a run id")
}

pub(super) fn paid_step(step: &str, result: &str, cost: u64) -> TaskRequest {
    TaskRequest::EndStep { step: step.into(), result: Ok(json(result)), charges: tokens(cost) }
}

pub(super) fn publish(step: &str, key: &str, value: &str) -> TaskRequest {
    TaskRequest::Publish { step: step.into(), key: name(key), value: json(value) }
}

pub(super) fn charge(step: &str, cost: u64) -> TaskRequest {
    TaskRequest::Charge { step: step.into(), charges: tokens(cost) }
}

pub(super) fn ask(step: &str, question: &str) -> TaskRequest {
    TaskRequest::Ask { step: step.into(), question: json(question), until: None }
}

pub(super) fn child(step: &str, run: &str) -> TaskRequest {
    TaskRequest::Child { step: step.into(), child: run_id(run), workflow: name("other"), input: json("1"), until: None }
}

pub(super) fn answer(question: u64, answer: &str) -> InputKind {
    InputKind::Answer { question: Seq(question), answer: json(answer) }
}

pub(super) fn child_done(run: &str, output: &str) -> InputKind {
    child_ends(run, Outcome::Completed(json(output)), 0)
}

pub(super) fn child_ends(run: &str, outcome: Outcome, cost: u64) -> InputKind {
    let spent = if cost == 0 { BTreeMap::new() } else { tokens(cost) };
    InputKind::ChildEnded { child: run_id(run), outcome, spent }
}

pub(super) fn child_cancelled(run: &str) -> InputKind {
    InputKind::ChildCancelled { child: run_id(run) }
}

/// Outcomes of another run, by number.
pub(super) fn outcome(number: u8) -> Outcome {
    match number % 5 {
        0 | 1 => Outcome::Completed(json(&number.to_string())),
        2 => Outcome::Failed { node: name("x"), failure: Failure::permanent("error", "no use") },
        3 => Outcome::Cancelled("why".into()),
        _ => Outcome::TimedOut(Timestamp::from_millis(9)),
    }
}

pub(super) fn parked(attempt: &str) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::TaskParked { node, attempt }
}

pub(super) fn granted(attempt: &str) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::SlotGranted { node, attempt }
}

pub(super) fn pause() -> InputKind {
    InputKind::Pause { reason: "lunch".into() }
}

pub(super) fn terminate() -> InputKind {
    InputKind::Terminate { reason: "enough".into() }
}

pub(super) fn retry(node: &str) -> InputKind {
    InputKind::Retry { node: name(node) }
}

pub(super) fn may_spend(tokens_max: Option<u64>) -> InputKind {
    InputKind::SetBudget { meter: name("tokens"), limit: tokens_max.map(Amount::whole) }
}

pub(super) const RESUME: InputKind = InputKind::Resume;
pub(super) const PARENT_TOLD: InputKind = InputKind::ParentTold;
