//! Steps: the result of each is what its effect returned, at the first call and from the journal.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::{FailureKind, Retry};
use orkestra_core::{Step, TaskError, TaskResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::sim::audit::Effect;
use crate::sim::program::{METER, Typed, Work};
use crate::sim::value::{Odd, number_of};

use super::Call;

impl Call {
    /// Runs a step whose effect has a unique number.
    pub(super) async fn step(&self, place: &str, key: &str, work: &Work) -> TaskResult<()> {
        self.step_or_drop(place, key, work, false).await
    }

    /// Like [`Call::step`]; `dropped` says whether this call may have started and dropped it before.
    pub(super) async fn step_or_drop(&self, place: &str, key: &str, work: &Work, dropped: bool) -> TaskResult<()> {
        let step: Step<'_, _> = self.cx.step(key, || self.effect(place, work));
        let mut step = step.retry(Retry::immediate(work.tries));
        if let Some(millis) = work.timeout_ms {
            step = step.timeout(Duration::from_millis(millis));
        }
        if work.at_most_once {
            step = step.at_most_once();
        }
        if let Some(cost) = work.cost {
            step = step.charge(move |_: &Value| [(METER, cost)]);
        }
        let result = step.await;
        self.process.halt_if_dead().await;
        match result {
            Ok(value) => {
                self.check_stamp(place, &value);
                Ok(())
            }
            Err(error) => {
                self.failed(place, &error);
                let interrupted = error.failure().kind == FailureKind::Interrupted;
                if interrupted && !dropped {
                    self.world.audit().interrupted(&self.at(place));
                }
                // What the step did is unknown, so the program continues without its result.
                if interrupted && work.at_most_once { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Checks that a result belongs to this place.
    fn check_stamp(&self, place: &str, value: &Value) {
        if value.get("at") != Some(&json!([self.node, place])) {
            self.broken(place, &format!("its step was given the result of another: {value}"));
        }
        self.answered(place, &number_of(value));
        self.world.audit().remembered(&self.at(place), value);
    }

    /// Performs an external effect, with a number that is unique to this time.
    async fn effect(&self, place: &str, work: &Work) -> TaskResult<Value> {
        self.process.halt_if_dead().await;
        let effect = Effect { at: self.at(place), at_most_once: work.at_most_once && work.tries == 1 };
        let number = self.world.audit().begin(&effect);
        let (process, run) = (&self.process.name, self.run());
        self.world.note(format_args!("{process} effect {number}: {run}/{} {place}", self.node));
        if work.millis > 0 {
            tokio::time::sleep(Duration::from_millis(work.millis)).await;
        }
        self.process.halt_if_dead().await;
        if self.world.audit().times(&self.at(place)) <= work.fails {
            return Err(TaskError::new("the effect fails"));
        }
        Ok(json!({ "at": [self.node, place], "no": number }))
    }

    pub(super) async fn map(&self, place: &str, key: &str, count: usize, work: &Work) -> TaskResult<()> {
        let work = &Work { at_most_once: false, ..work.clone() };
        let one = move |item: usize| async move { self.effect(&format!("{place}[{item}]"), work).await };
        let values = self.cx.map(key, 2, 0..count, one).await.inspect_err(|error| self.failed(place, error))?;
        self.process.halt_if_dead().await;
        for (item, value) in values.iter().enumerate() {
            self.check_stamp(&format!("{place}[{item}]"), value);
        }
        Ok(())
    }

    /// Runs a step with a timeout that may be too short, and starts it again if it is.
    pub(super) async fn hurried(&self, place: &str, key: &str, how: (&Work, u64, usize)) -> TaskResult<()> {
        let (work, millis, rounds) = how;
        for round in 0..rounds {
            // Each round uses the key again, which makes it another step.
            let place = format!("{place}.{round}");
            let step = self.step_or_drop(&place, key, work, round > 0);
            match tokio::time::timeout(Duration::from_millis(millis), step).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if error.failure().retryable => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => self.world.audit().dropped(&self.at(&place)),
            }
        }
        Ok(())
    }

    /// Runs steps in spawned tasks, with keys of their own. The tasks end with this call.
    pub(super) async fn spawned(self: &Arc<Self>, place: &str, key: &str, works: [Work; 2]) -> TaskResult<()> {
        let mut tasks = JoinSet::new();
        for (number, work) in works.into_iter().enumerate() {
            let (call, place, key) = (Arc::clone(self), format!("{place}.{number}"), format!("{key}, {number}"));
            tasks.spawn(async move { call.step(&place, &key, &work).await });
        }
        let mut all = Ok(());
        while let Some(done) = tasks.join_next().await {
            let done = done.unwrap_or_else(|error| Err(TaskError::new(error.to_string())));
            all = all.and(done);
        }
        all
    }

    /// Runs a step within a step, which may be refused, and after it a step with the inner key, which is another step.
    pub(super) async fn nested(&self, place: &str, key: &str) -> TaskResult<()> {
        let (outer, inner) = (format!("{key}, outer"), format!("{key}, inner"));
        let within = || async {
            let inside = || async { TaskResult::Ok(json!({ "at": "within" })) };
            self.cx.step(&inner, inside).await.map(drop)
        };
        drop(self.cx.step(&outer, within).await);
        self.process.halt_if_dead().await;
        let work = Work { millis: 0, fails: 0, tries: 1, timeout_ms: None, at_most_once: false, cost: None };
        self.step(&format!("{place}.after"), &inner, &work).await
    }

    /// Runs a step that returns this value, and checks that it is unchanged by the journal.
    async fn exactly<T>(&self, place: &str, key: &str, make: impl Fn() -> T + Send + Sync) -> TaskResult<()>
    where
        T: Serialize + DeserializeOwned + Debug + Send,
    {
        let make = &make;
        let result = self.cx.step(key, move || async move { TaskResult::Ok(make()) }).await;
        self.process.halt_if_dead().await;
        match result {
            Ok(value) => {
                // Compare with the value after a round trip through JSON, in which `Some(())` becomes `None`.
                let written =
                    serde_json::to_value(make()).ok().and_then(|value| serde_json::from_value::<T>(value).ok());
                let (wanted, found) = (format!("{:?}", written.unwrap_or_else(make)), format!("{value:?}"));
                if wanted != found {
                    let short = |text: &str| text.chars().take(60).collect::<String>();
                    self.broken(place, &format!("{} came back as {}", short(&wanted), short(&found)));
                }
                self.answered(place, &"the value");
                Ok(())
            }
            Err(error) => {
                self.failed(place, &error);
                // A value that cannot be stored is refused; the program continues without it.
                if error.failure().retryable { Err(error) } else { Ok(()) }
            }
        }
    }

    pub(super) async fn typed(&self, place: &str, key: &str, typed: Typed) -> TaskResult<()> {
        match typed {
            Typed::SomeUnit => self.exactly(place, key, || Some(())).await,
            Typed::Nan => self.exactly(place, key, || f64::NAN).await,
            Typed::Infinity => self.exactly(place, key, || f64::INFINITY).await,
            Typed::Deep(levels) => {
                let deep = move || (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]));
                self.exactly(place, key, deep).await
            }
        }
    }

    pub(super) async fn odd(&self, place: &str, key: &str, odd: Odd) -> TaskResult<()> {
        self.exactly(place, key, || odd.value()).await
    }
}
