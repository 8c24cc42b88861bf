//! One trial: a contestant works, then the result is graded. Each is a step, done once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orkestra_core::prelude::{Context, Task, TaskError, TaskResult};
use serde::{Deserialize, Serialize};

use super::clock::TrialClock;
use super::{Inner, TrialSpec};
use crate::contestant::{Assignment, Attempt};
use crate::delivery::Delivery;
use crate::grade::{self, GradeError};
use crate::limits::MOMENTS_MAX;
use crate::result::{Documented, Moment, Strict, TrialResult, changes_between};
use crate::task::CodingTask;

/// How often grading is tried before its trouble is looked at.
const GRADINGS_MAX: u32 = 3;
/// The pause between them.
const GRADING_PAUSE: Duration = Duration::from_secs(2);

/// The task of the engine that works on a trial.
pub(super) struct TrialTask {
    benchmark: Arc<Inner>,
}

/// What the step of the contestant leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Worked {
    attempt: Attempt,
    seconds: f64,
    restarts: u32,
}

/// What the step of the grader leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Graded {
    documented: Documented,
    strict: Strict,
    changes: Vec<crate::result::Change>,
}

impl TrialTask {
    pub(super) fn new(benchmark: Arc<Inner>) -> Self {
        Self { benchmark }
    }

    /// The task, if it is still what it was when the benchmark was started.
    fn task(&self, spec: &TrialSpec) -> TaskResult<&CodingTask> {
        let known = self.benchmark.suite.tasks().iter().find(|task| task.name == spec.task);
        let task = known.filter(|task| task.fingerprint == spec.fingerprint);
        task.ok_or_else(|| {
            TaskError::permanent(format!(
                "cannot go on with the task {}: it is missing or was changed since the benchmark was started; restore it, or \
                 start a new benchmark",
                spec.task
            ))
        })
    }

    async fn work(&self, id: &str, task: &CodingTask, spec: &TrialSpec) -> TaskResult<Worked> {
        let noted = |error: std::io::Error| TaskError::new(format!("cannot note the time of a trial: {error}"));
        let clock = TrialClock::start(&self.benchmark.data, id).map_err(noted)?;
        let clock = if self.benchmark.contestant.continues() { clock } else { clock.zeroed() };
        let start = task.start.iter().map(|file| (file.path.clone(), file.content.clone())).collect();
        let assignment = Assignment {
            id: clock.name(id),
            objective: task.objective.clone(),
            start,
            limits: spec.limits,
            used: clock.used_before(),
            was_resumed: clock.was_resumed(),
        };
        let attempt = match clock.during(self.benchmark.contestant.attempt(&assignment)).await {
            Ok(attempt) => Attempt { timeline: shortened(attempt.timeline), ..attempt },
            Err(error) => {
                clock.interrupted(&error).map_err(noted)?;
                let text = error.to_string();
                return Err(if error.is_retryable() { TaskError::new(text) } else { TaskError::permanent(text) });
            }
        };
        Ok(Worked { attempt, seconds: clock.seconds(), restarts: clock.restarts() })
    }

    async fn grade(&self, id: &str, task: &CodingTask, worked: &Worked) -> TaskResult<Graded> {
        let workspace = worked.attempt.workspace.clone();
        let read = tokio::task::spawn_blocking(move || Delivery::read(&workspace)).await;
        let delivery = read.map_err(|error| TaskError::new(error.to_string()))?;
        let delivery = delivery.map_err(|error| TaskError::new(error.to_string()))?;
        let start: Vec<(String, Vec<u8>)> =
            task.start.iter().map(|file| (file.path.clone(), file.content.clone())).collect();
        let files: Vec<(String, Vec<u8>)> =
            delivery.files().map(|file| (file.path.clone(), file.content.clone())).collect();
        Ok(Graded {
            documented: grade::documented(task, &delivery),
            strict: self.strict(id, task, &delivery).await?,
            changes: changes_between(&start, &files),
        })
    }

    /// The strict score. Trouble that comes back each time although the place of grading works is the solution's.
    async fn strict(&self, id: &str, task: &CodingTask, delivery: &Delivery) -> TaskResult<Strict> {
        let scratch = self.benchmark.data.join("grading").join(id);
        let place = &self.benchmark.place;
        let mut last: Option<GradeError> = None;
        for grading in 0..GRADINGS_MAX {
            if grading > 0 {
                tokio::time::sleep(GRADING_PAUSE).await;
            }
            match grade::strict(task, delivery, place, &scratch).await {
                Ok(strict) => return Ok(strict),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        place.check().await.map_err(|error| TaskError::new(error.to_string()))?;
        let control = grade::strict(task, &task.delivery_of(&task.oracle), place, &scratch).await;
        if !control.is_ok_and(|strict| strict.is_solved()) {
            return Err(TaskError::new(format!("nothing can be graded here now, not even the oracle: {why}")));
        }
        let problem =
            format!("it breaks the sandbox in which it is graded, {GRADINGS_MAX} times of {GRADINGS_MAX}: {why}");
        Ok(Strict { tests: Vec::new(), problem: Some(problem) })
    }
}

#[async_trait]
impl Task for TrialTask {
    type Input = TrialSpec;
    type Output = TrialResult;

    async fn run(&self, cx: Context, spec: TrialSpec) -> TaskResult<TrialResult> {
        let task = self.task(&spec)?;
        // Names of tasks have no dot, so no two trials have the same id.
        let id = format!("{}.{}.{}", cx.run_id(), spec.task, spec.trial);
        let worked: Worked = cx.step("work", || self.work(&id, task, &spec)).await?;
        let graded: Graded = cx.step("grade", || self.grade(&id, task, &worked)).await?;
        let attempt = worked.attempt;
        Ok(TrialResult {
            trial: spec.trial,
            ending: attempt.ending,
            documented: graded.documented,
            strict: graded.strict,
            attempts: attempt.attempts,
            input_tokens: attempt.input_tokens,
            output_tokens: attempt.output_tokens,
            model_calls: attempt.model_calls,
            cost_usd: attempt.cost_usd,
            seconds: worked.seconds,
            restarts: worked.restarts,
            timeline: attempt.timeline,
            changes: graded.changes,
        })
    }
}

/// Keeps the first and the last moments of a long timeline.
fn shortened(mut timeline: Vec<Moment>) -> Vec<Moment> {
    let more = timeline.len().saturating_sub(MOMENTS_MAX);
    if more > 0 {
        let half = MOMENTS_MAX / 2;
        let at = timeline[half].at;
        let note = Moment { at, agent: String::new(), text: format!("… {} moments are left out …", more + 1) };
        timeline.splice(half..half + more + 1, [note]);
    }
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_timeline_keeps_both_ends() {
        let moment = |number: usize| Moment { at: number as f64, agent: String::new(), text: number.to_string() };
        let whole: Vec<Moment> = (0..MOMENTS_MAX).map(moment).collect();
        assert_eq!(shortened(whole.clone()), whole);
        let short = shortened((0..1000).map(moment).collect());
        assert_eq!(short.len(), MOMENTS_MAX);
        assert_eq!((short[0].text.as_str(), short[MOMENTS_MAX - 1].text.as_str()), ("0", "999"));
        assert_eq!(short[MOMENTS_MAX / 2].text, "… 801 moments are left out …");
    }
}
