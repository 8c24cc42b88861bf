//! Durable races and timeouts: the result is the same whenever the task is called again.

use std::time::Duration;

use orkestra_core::model::{FailureKind, Name};
use orkestra_core::{TaskResult, Winner};
use serde_json::Value;

use crate::sim::program::Work;

use super::Call;

impl Call {
    /// Races a signal against a timer.
    pub(super) async fn contest(&self, place: &str, key: &str, how: (&Name, u64)) -> TaskResult<()> {
        let (signal, millis) = how;
        let sleep = self.cx.sleep(Duration::from_millis(millis));
        let won = self.cx.race(key, self.cx.signal::<Value>(signal), sleep).await;
        self.process.halt_if_dead().await;
        match won.inspect_err(|error| self.failed(place, error))? {
            Winner::First(received) => {
                let received = received.inspect_err(|error| self.failed(place, error))?;
                let number = self.received(place, signal, &received);
                self.world.audit().chose(&self.at(place), number);
                self.answered(place, &number);
            }
            Winner::Second(slept) => {
                slept?;
                self.world.audit().chose(&self.at(place), None);
                self.answered(place, &"the timer");
            }
        }
        Ok(())
    }

    /// Waits for a signal with a timeout. The next attempt waits anew, so its result may differ.
    pub(super) async fn timed(&self, place: &str, signal: &Name, millis: u64) -> TaskResult<()> {
        let received = self.cx.signal::<Value>(signal).timeout(Duration::from_millis(millis)).await;
        self.process.halt_if_dead().await;
        match received {
            Ok(received) => {
                let number = self.received(place, signal, &received);
                self.world.audit().chose(&self.at(place), number);
                self.count_answer();
            }
            Err(error) if error.failure().kind == FailureKind::TimedOut => {
                self.world.audit().chose(&self.at(place), None);
                self.count_answer();
            }
            Err(error) => {
                self.failed(place, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs steps with the same key on both sides of a race and after it: none may get the result of another.
    pub(super) async fn sides(&self, place: &str, key: &str, how: (&Work, u64)) -> TaskResult<()> {
        let (work, millis) = how;
        let (left, right, after) = (format!("{place}.left"), format!("{place}.right"), format!("{place}.after"));
        let first = async {
            self.cx.sleep(Duration::from_millis(millis)).await?;
            self.step(&left, key, work).await
        };
        let won = self.cx.race(key, first, self.step(&right, key, work)).await;
        self.process.halt_if_dead().await;
        match won.inspect_err(|error| self.failed(place, error))? {
            Winner::First(done) | Winner::Second(done) => done?,
        }
        // The side that lost may have started its step; then this one is refused.
        self.step_or_drop(&after, key, work, true).await
    }
}
