//! Steps: what comes back from each is what it gave, the first time and from memory.

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
    /// A step whose effect can be told from every other one.
    pub(super) async fn step(&self, place: &str, key: &str, work: &Work) -> TaskResult<()> {
        self.step_or_drop(place, key, work, false).await
    }

    /// The same; `dropped` says whether this call has begun it before and let it go.
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
                // Nobody can tell what it did: the program goes on without.
                if interrupted && work.at_most_once { Ok(()) } else { Err(error) }
            }
        }
    }

    /// A result says whose it is.
    fn check_stamp(&self, place: &str, value: &Value) {
        if value.get("at") != Some(&json!([self.node, place])) {
            self.broken(place, &format!("its step was given the result of another: {value}"));
        }
        self.answered(place, &number_of(value));
        self.world.audit().remembered(&self.at(place), value);
    }

    /// Does something in the outside world, which can be told from every other time it is done.
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

    /// Gives a step too little time, perhaps, and begins it again.
    pub(super) async fn hurried(&self, place: &str, key: &str, how: (&Work, u64, usize)) -> TaskResult<()> {
        let (work, millis, rounds) = how;
        for round in 0..rounds {
            // Each round is another use of the key, and another step.
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

    /// Steps in tasks of their own, with keys of their own. They end with this call.
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

    /// A step within a step, which may be refused, and one of the same key after it, which is another step.
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

    /// A step whose result is this, whatever becomes of it on its way.
    async fn exactly<T>(&self, place: &str, key: &str, make: impl Fn() -> T + Send + Sync) -> TaskResult<()>
    where
        T: Serialize + DeserializeOwned + Debug + Send,
    {
        let make = &make;
        let result = self.cx.step(key, move || async move { TaskResult::Ok(make()) }).await;
        self.process.halt_if_dead().await;
        match result {
            Ok(value) => {
                // What JSON makes of it, the first time as from memory: `Some(())` is `None`.
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
                // What cannot be remembered is refused: the program goes on without.
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
