//! Waits: each signal is received once, by one wait, in order; a dropped wait receives none.

use std::time::Duration;

use orkestra_core::TaskResult;
use orkestra_core::model::Name;
use serde_json::{Value, json};

use crate::sim::program::Work;
use crate::sim::value::{message, number_of};
use crate::sim::world::lock;

use super::Call;

impl Call {
    pub(super) async fn sleep(&self, place: &str, millis: u64) -> TaskResult<()> {
        let slept = self.cx.sleep(Duration::from_millis(millis)).await;
        self.process.halt_if_dead().await;
        match &slept {
            Ok(()) => self.answered(place, &"slept"),
            Err(error) => self.failed(place, error),
        }
        slept
    }

    /// Waits for a signal; returns its number.
    pub(super) async fn signal(&self, place: &str, signal: &Name) -> TaskResult<Option<u64>> {
        let received = self.cx.signal::<Value>(signal).await;
        self.process.halt_if_dead().await;
        match received {
            Ok(value) => {
                let number = self.received(place, signal, &value);
                self.answered(place, &number);
                Ok(number)
            }
            Err(error) => {
                self.failed(place, &error);
                Err(error)
            }
        }
    }

    /// Checks that a received signal is the one that was sent; returns its number.
    pub(super) fn received(&self, place: &str, signal: &Name, value: &Value) -> Option<u64> {
        let Some(number) = number_of(value) else {
            self.broken(place, "what it received is not a signal");
            return None;
        };
        let sent = message(self.world.seed, self.has_odd_values(), number, self.run(), signal);
        // A fork has the signals of the original run.
        let forked = self.world.audit().is_fork(self.run());
        if *value != sent && !(forked && value.get("what") == sent.get("what")) {
            self.broken(place, &format!("it received signal {number} with another value than was sent"));
        }
        lock(&self.took).push(number);
        Some(number)
    }

    fn chose(&self, place: &str, choice: Option<u64>) {
        lock(&self.choices).push((place.to_owned(), choice));
    }

    /// Waits for a signal and a timer in a `select!`, for some rounds.
    pub(super) async fn race(&self, place: &str, how: (&Name, bool), millis: u64, rounds: usize) -> TaskResult<()> {
        let (signal, signal_first) = how;
        for round in 0..rounds {
            let place = format!("{place}.{round}");
            let sleep = self.cx.sleep(Duration::from_millis(millis));
            let wait = self.cx.signal::<Value>(signal);
            let received = if signal_first {
                tokio::select! {
                    biased;
                    received = wait => Some(received),
                    slept = sleep => { slept?; None }
                }
            } else {
                tokio::select! {
                    biased;
                    slept = sleep => { slept?; None }
                    received = wait => Some(received),
                }
            };
            self.process.halt_if_dead().await;
            let number = match received {
                Some(received) => self.received(&place, signal, &received?),
                None => None,
            };
            self.chose(&place, number);
            if number.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for a signal within a tokio timeout.
    pub(super) async fn limited(&self, place: &str, signal: &Name, millis: u64) -> TaskResult<()> {
        let wait = self.cx.signal::<Value>(signal);
        let received = tokio::time::timeout(Duration::from_millis(millis), wait).await;
        self.process.halt_if_dead().await;
        let number = match received {
            Ok(received) => self.received(place, signal, &received?),
            Err(_) => None,
        };
        self.chose(place, number);
        Ok(())
    }

    /// Starts to wait for a signal, and drops the wait at once.
    pub(super) async fn dropped(&self, place: &str, signal: &Name) -> TaskResult<()> {
        self.limited(place, signal, 0).await
    }

    /// Works beside a wait. The work must not be repeated while the process is alive.
    pub(super) async fn beside(&self, place: &str, millis: u64, most: u64) -> TaskResult<()> {
        self.world.audit().works(&self.at(place));
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(millis)) => {}
            slept = self.cx.sleep(Duration::from_millis(most)) => slept?,
        }
        self.process.halt_if_dead().await;
        self.world.audit().worked(&self.at(place));
        Ok(())
    }

    /// Runs a step, a timer and a wait for a signal concurrently.
    pub(super) async fn joined(&self, place: &str, key: &str, how: (&Work, u64, &Name)) -> TaskResult<()> {
        let (work, millis, signal) = how;
        let (of_step, of_timer) = (format!("{place}.step"), format!("{place}.timer"));
        let (done, slept, received) =
            tokio::join!(self.step(&of_step, key, work), self.sleep(&of_timer, millis), self.signal(place, signal));
        done.and(slept).and(received.map(drop))
    }

    /// Asks a question. The answer must be to this question.
    pub(super) async fn ask(&self, place: &str) -> TaskResult<()> {
        let question = json!([self.node, place, self.cx.attempt()]);
        let answer = self.cx.ask::<Value>(&question).await;
        self.process.halt_if_dead().await;
        let answer = answer.inspect_err(|error| self.failed(place, error))?;
        let (number, what) = (number_of(&answer).unwrap_or_default(), answer.get("what").cloned().unwrap_or_default());
        let sent =
            message(self.world.seed, self.has_odd_values(), number, self.run(), what.as_str().unwrap_or_default());
        if !self.world.audit().is_fork(self.run()) {
            if answer != sent {
                self.broken(place, &format!("it received answer {number} with another value than was sent"));
            }
            self.world.audit().is_answer(&self.at(place), what.as_str().unwrap_or_default());
        }
        self.answered(place, &number);
        Ok(())
    }
}
