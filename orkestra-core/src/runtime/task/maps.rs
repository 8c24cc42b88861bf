//! Maps over many items, as steps or child runs with bounded concurrency; and races between two futures.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{StepState, TaskRequest};
use crate::model::Payload;

use super::code::{TaskError, TaskResult};
use super::context::Context;
use super::keys::Use;
use super::sides::UndecidedRace;
use super::step::Step;

/// The winner of a [`Context::race`] and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner<A, B> {
    /// The first future won.
    First(A),
    /// The second future won.
    Second(B),
}

impl Context {
    /// Waits for whichever of two futures is ready first; if both are, the first one wins. Durable: the winner is
    /// remembered. When the task is called again, only the winner is polled. Steps and waits created while a side is
    /// polled have that side's own keys, as in a [`scope`](Self::scope).
    ///
    /// ```
    /// # use orkestra_core::prelude::*;
    /// # use orkestra_core::Winner;
    /// async fn decides(cx: Context, (): ()) -> TaskResult<String> {
    ///     Ok(match cx.race("answer", cx.signal::<String>("answer"), cx.sleep(days(1))).await? {
    ///         Winner::First(answer) => answer?,
    ///         Winner::Second(slept) => {
    ///             slept?;
    ///             "nobody answered".into()
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// If the key is invalid (see [`scope`](Self::scope)), or the winner cannot be stored.
    pub fn race<'a, A, B>(
        &'a self,
        key: &str,
        first: A,
        second: B,
    ) -> impl Future<Output = TaskResult<Winner<A::Output, B::Output>>> + Send + use<'a, A, B>
    where
        A: Future<Output: Send> + Send + 'a,
        B: Future<Output: Send> + Send + 'a,
    {
        let given = self.unique(Use::Race(key)).map(|given| (UndecidedRace::new(self, &given.step), given.step));
        async move {
            // IMPORTANT: dropped after both sides if the race is dropped.
            let (mut race, step) = given?;
            let (first, second) = (race.side(0, first), race.side(1, second));
            if self.known(&step) == Some(&StepState::LetGo) {
                drop((first, second));
                return self.never().await;
            }
            match self.known(&step).and_then(StepState::result) {
                Some(Ok(first_won)) if first_won.to()? => {
                    drop(second);
                    race.side_lost(1);
                    let won = first.await;
                    race.set_durable();
                    return Ok(Winner::First(won));
                }
                Some(Ok(_)) => {
                    drop(first);
                    race.side_lost(0);
                    let won = second.await;
                    race.set_durable();
                    return Ok(Winner::Second(won));
                }
                Some(Err(failure)) => return Err(failure.clone().into()),
                None => {}
            }
            let winner = faster(first, second).await;
            race.set_won();
            let first_won = matches!(winner, Winner::First(_));
            race.side_lost(u8::from(first_won));
            let result = Ok(Payload::of(&first_won)?);
            self.request(TaskRequest::EndStep { step, result, charges: Default::default() }).await?;
            race.set_durable();
            Ok(winner)
        }
    }

    /// Calls `work` for each of `items`, at most `at_once` at a time, each as a memoised step named `key[n]`. Results
    /// are in the order of the items. The first error ends the map; finished items are not repeated.
    ///
    /// # Errors
    /// The error of the first item that fails.
    pub fn map<'a, I, T, E, F, Fut>(
        &'a self,
        key: &str,
        at_once: usize,
        items: I,
        work: F,
    ) -> impl Future<Output = TaskResult<Vec<T>>> + Send + use<'a, I, T, E, F, Fut>
    where
        I: IntoIterator,
        I::Item: Clone + Send + Sync,
        F: Fn(I::Item) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Serialize + DeserializeOwned + Send,
        E: Into<TaskError>,
    {
        // All keys are assigned when the map is created, in the order of the items.
        let given = |(place, item)| (self.unique(Use::Item(key, place)), item);
        let items: Vec<(_, I::Item)> = items.into_iter().enumerate().map(given).collect();
        async move {
            let step = |(given, item): (_, I::Item)| {
                let work = &work;
                async move { Step::new(self, given, || work(item.clone())).await }
            };
            in_turn(at_once, items.into_iter().map(step).collect()).await
        }
    }

    /// Starts a run of the registered workflow `workflow` for each of `items`, at most `at_once` at a time, each as a
    /// child run with the key `key[n]`. Other engines on the same store can drive them. Outputs are in the order of the
    /// items. The first error ends the map.
    ///
    /// # Errors
    /// See [`child`](Self::child).
    pub fn map_runs<'a, I, T>(
        &'a self,
        key: &str,
        at_once: usize,
        workflow: &str,
        items: I,
    ) -> impl Future<Output = TaskResult<Vec<T>>> + Send + use<'a, I, T>
    where
        I: IntoIterator,
        I::Item: Serialize + Send,
        T: DeserializeOwned + Send,
    {
        let items: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(place, item)| self.child_of(Use::ChildItem(key, place), workflow, Payload::large(&item)))
            .collect();
        in_turn(at_once, items)
    }
}

/// The result of the faster future; the other one is dropped.
async fn faster<A: Future + Unpin, B: Future + Unpin>(mut first: A, mut second: B) -> Winner<A::Output, B::Output> {
    poll_fn(|cx| match Pin::new(&mut first).poll(cx) {
        Poll::Ready(first) => Poll::Ready(Winner::First(first)),
        Poll::Pending => Pin::new(&mut second).poll(cx).map(Winner::Second),
    })
    .await
}

/// Runs them in order, at most `at_once` at a time, until one fails. If several fail, the first in order counts.
///
/// NOTE: streams of other crates keep the task's waker, which would count as work besides its waits.
async fn in_turn<T, F: Future<Output = TaskResult<T>>>(at_once: usize, items: Vec<F>) -> TaskResult<Vec<T>> {
    type Running<F> = (usize, Pin<Box<F>>);
    let mut done: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let mut waiting: VecDeque<(usize, F)> = items.into_iter().enumerate().collect();
    let mut running: Vec<Running<F>> = Vec::new();
    let mut failed: Option<(usize, TaskError)> = None;
    poll_fn(|cx| {
        loop {
            while failed.is_none() && running.len() < at_once.max(1) {
                let Some((place, item)) = waiting.pop_front() else { break };
                running.push((place, Box::pin(item)));
            }
            let mut ended = false;
            running.retain_mut(|(place, item)| match item.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    ended = true;
                    match result {
                        Ok(result) => done[*place] = Some(result),
                        Err(error) if failed.as_ref().is_none_or(|(first, _)| *place < *first) => {
                            failed = Some((*place, error));
                        }
                        Err(_) => {}
                    }
                    false
                }
            });
            if let Some((first, _)) = &failed {
                // Only earlier items can still fail earlier.
                running.retain(|(place, _)| place < first);
            }
            if running.is_empty() && (failed.is_some() || waiting.is_empty()) {
                return Poll::Ready(());
            }
            if !ended {
                return Poll::Pending;
            }
        }
    })
    .await;
    match failed {
        Some((_, error)) => Err(error),
        None => Ok(done.into_iter().flatten().collect()),
    }
}
