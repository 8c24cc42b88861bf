//! What a task can wait for: time, signals, answers, other runs. Also growth, which needs no waiting.
//!
//! A task that only waits is dropped from memory after a while and called again when its wait is over: its steps are
//! remembered, everything else is repeated.
//!
//! A wait gets its key when it is created, not when it is first polled, because `select!` polls its branches in random
//! order. A wait whose future is dropped before it is ready is withdrawn, durably, before the task's next request. See
//! [`Wait`].

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{StepState, TaskRequest};
use crate::model::{Growth, Name, Payload, PayloadError, Timestamp};

use super::child::child_id;
use super::code::{TaskError, TaskResult};
use super::context::Context;
use super::given::{Given, Withdrawal};
use super::keys::Use;
use super::root::EngineWait;
use super::sides::{acted, signal_taken};

/// A wait for a `T` from outside: a signal, an answer, or the output of another run. Created by [`Context::signal`],
/// [`Context::ask`] and [`Context::child`].
///
/// If it is dropped before it is ready, for example by `select!`, it is withdrawn: what arrives later goes to the next
/// wait, and so does a signal that arrived but was not taken; a child run is cancelled. When the task is called again
/// after a park or a crash, a withdrawn wait is never ready, so the branch that won the first time wins again.
#[must_use = "a wait does nothing until it is awaited"]
pub struct Wait<'a, T> {
    cx: &'a Context,
    state: State<'a, T>,
    /// Its key, if it waits for a signal and has been polled.
    signal: Option<String>,
    /// Whether it makes somebody act: it asks a question or starts a run.
    makes_act: bool,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = TaskResult<T>> + Send + 'a>>;

enum State<'a, T> {
    /// Not polled yet.
    Fresh(Box<Fresh>),
    Polled(Boxed<'a, T>),
    Over,
}

struct Fresh {
    key: TaskResult<Given>,
    what: TaskResult<What>,
    limit: Option<Duration>,
}

impl Fresh {
    /// Whether other waits may be waiting for the same thing.
    const fn is_signal(&self) -> bool {
        matches!(self.what, Ok(What::Signal(_)))
    }
}

/// What is waited for.
enum What {
    Time(Due),
    Signal(Name),
    Answer(Payload),
    Run { workflow: Name, input: Payload },
}

enum Due {
    After(Duration),
    At(Timestamp),
}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("cx", self.cx).finish_non_exhaustive()
    }
}

impl<'a, T> Wait<'a, T> {
    fn new(cx: &'a Context, key: TaskResult<Given>, what: TaskResult<What>) -> Self {
        Self { cx, state: State::Fresh(Box::new(Fresh { key, what, limit: None })), signal: None, makes_act: false }
    }

    /// Ends the wait after `limit` with a failure of kind `timed_out`. Durable: the deadline survives crashes, and the
    /// outcome is remembered. On a timeout, a question is withdrawn, a child run is cancelled, and a later signal goes
    /// to the next wait. Waits for answers and child runs keep their deadline across attempts; a wait for a signal ends
    /// with its attempt, and the next attempt waits for the full time again.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if let State::Fresh(fresh) = &mut self.state {
            fresh.limit = Some(limit);
        }
        self
    }
}

impl<T: DeserializeOwned> Future for Wait<'_, T> {
    type Output = TaskResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<TaskResult<T>> {
        if let State::Fresh(_) = self.state
            && let State::Fresh(fresh) = std::mem::replace(&mut self.state, State::Over)
        {
            let context = self.cx;
            let key = fresh.key.as_ref().ok().filter(|_| fresh.is_signal());
            self.signal = key.map(|given| given.step.clone());
            self.makes_act = matches!(fresh.what, Ok(What::Answer(_) | What::Run { .. }));
            self.state = State::Polled(Box::pin(async move { Ok(wait(context, *fresh).await?.to()?) }));
        }
        let State::Polled(polled) = &mut self.state else { return Poll::Pending };
        let ready = polled.as_mut().poll(cx);
        if ready.is_ready() {
            self.state = State::Over;
            if self.makes_act {
                acted(self.cx.inner());
            }
            if let Some(step) = self.signal.take() {
                signal_taken(self.cx.inner(), step);
            }
        }
        ready
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        // A wait that was never polled may have been requested by an earlier call of the task.
        if let State::Fresh(fresh) = &self.state
            && let Ok(given) = &fresh.key
        {
            drop(OpenWait::of(self.cx, &given.step, fresh.is_signal()));
        }
    }
}

/// Withdraws an open wait when dropped.
struct OpenWait<'a> {
    cx: &'a Context,
    step: String,
    is_open: bool,
    is_signal: bool,
}

impl<'a> OpenWait<'a> {
    fn of(cx: &'a Context, step: &str, is_signal: bool) -> Self {
        let known = cx.known(step);
        let is_open = known.is_some_and(|known| known.is_wait() || matches!(known, StepState::Done(_)));
        Self { cx, step: step.to_owned(), is_open, is_signal }
    }
}

impl Drop for OpenWait<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let step = std::mem::take(&mut self.step);
            self.cx.withdraw(Withdrawal { step, begun: false, at_once: self.is_signal });
        }
    }
}

/// Requests the wait and returns its result.
async fn wait(cx: &Context, fresh: Fresh) -> TaskResult<Payload> {
    let is_signal = fresh.is_signal();
    let Fresh { key, what, limit } = fresh;
    let step = key?.step;
    // IMPORTANT: before every await. It is dropped last, when nothing receives an answer any more.
    let mut open = OpenWait::of(cx, &step, is_signal);
    let result = match cx.known(&step) {
        Some(StepState::LetGo) => cx.never().await,
        Some(known) if known.result().is_some() => cx.settle(step, || unreachable!("the step is settled")).await,
        _ => match ask(cx, &step, what?, limit).await {
            Err(error) => Err(error),
            Ok(request) => {
                open.is_open = true;
                cx.settle(step, || request).await
            }
        },
    };
    open.is_open = false;
    result
}

/// The request for the driver.
async fn ask(cx: &Context, step: &str, what: What, limit: Option<Duration>) -> TaskResult<TaskRequest> {
    let step = step.to_owned();
    let after = |time: Duration| cx.clock().now().saturating_add(time);
    Ok(match what {
        What::Time(Due::At(due)) => TaskRequest::Sleep { step, due },
        What::Time(Due::After(time)) => TaskRequest::Sleep { step, due: after(time) },
        What::Signal(signal) => TaskRequest::AwaitSignal { step, signal, until: limit.map(after) },
        What::Answer(question) => {
            let question = cx.keep(question).await?;
            TaskRequest::Ask { step, question, until: limit.map(after) }
        }
        What::Run { workflow, input } => {
            let (child, input) = (child_id(cx, &step)?, cx.keep(input).await?);
            TaskRequest::Child { step, child, workflow, input, until: limit.map(after) }
        }
    })
}

impl Context {
    /// Never returns: the wait was withdrawn by an earlier call of the task.
    pub(super) async fn never<T>(&self) -> T {
        let _nothing = self.activity().waiting_forever();
        EngineWait::new(self.activity().root(), pending()).await
    }

    /// Waits for `duration`. Durable: the wait survives crashes, and its end does not move.
    ///
    /// # Errors
    /// If the wait cannot be stored.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = TaskResult<()>> + Send + Unpin + '_ {
        Wait::new(self, self.unique(Use::Sleep), Ok(What::Time(Due::After(duration))))
    }

    /// Waits until a point in time, like [`sleep`](Self::sleep). Returns at once if it has passed.
    ///
    /// # Errors
    /// See [`sleep`](Self::sleep).
    pub fn sleep_until(&self, due: Timestamp) -> impl Future<Output = TaskResult<()>> + Send + Unpin + '_ {
        Wait::new(self, self.unique(Use::Sleep), Ok(What::Time(Due::At(due))))
    }

    /// Waits for the signal `name` and consumes it. Durable: it is consumed once and remembered. [`Wait::timeout`]
    /// limits the wait.
    ///
    /// # Errors
    /// If `name` is invalid, the signal's payload is not a `T`, the wait times out, or it cannot be stored.
    pub fn signal<T: DeserializeOwned>(&self, name: &str) -> Wait<'_, T> {
        match Name::new(name) {
            Ok(signal) => Wait::new(self, self.unique(Use::Signal(&signal)), Ok(What::Signal(signal))),
            Err(error) => Wait::new(self, Err(error.into()), Err(TaskError::permanent("no signal"))),
        }
    }

    /// Asks a question to somebody outside and waits for the answer, for days if need be. Durable: the question is
    /// asked once, and its answer is remembered. The run's events show it as `QuestionAsked`, whose position is the
    /// question's id for [`Run::answer`](crate::Run::answer). [`Wait::timeout`] limits the wait.
    ///
    /// # Errors
    /// If the question cannot be serialised, the answer is not a `T`, the wait times out, or the
    /// question cannot be stored.
    pub fn ask<T: DeserializeOwned>(&self, question: impl Serialize) -> Wait<'_, T> {
        let what = Payload::large(&question).map(What::Answer);
        Wait::new(self, self.unique(Use::Ask), what.map_err(TaskError::from))
    }

    /// Starts a run of the registered workflow `workflow`, once, however often the task is called, and waits for its
    /// output. The child run's id begins with this run's id, the node and `key`, and is unique to this request; find it
    /// in [`RunView`](crate::projection::RunView) or with [`RunQuery::parent`](crate::store::RunQuery::parent). It is
    /// cancelled, even before it has started, if this node ends first or this wait is withdrawn. Its spending counts
    /// towards this run. The wait survives the attempt: the next attempt that uses the same key gets the same run.
    ///
    /// # Errors
    /// A permanent failure of kind `child_failed`, `child_cancelled`, `child_terminated` or `child_timed_out` if the
    /// child run ended like that; of kind `child_not_started` if it could not be started, or if its id is taken by a
    /// run that this request did not start. If its output is not a `T`.
    pub fn child<T: DeserializeOwned>(&self, key: &str, workflow: &str, input: impl Serialize) -> Wait<'_, T> {
        self.child_of(Use::Child(key), workflow, Payload::large(&input))
    }

    pub(super) fn child_of<T>(
        &self,
        what: Use<'_>,
        workflow: &str,
        input: Result<Payload, PayloadError>,
    ) -> Wait<'_, T> {
        let asked = || Ok(What::Run { workflow: Name::new(workflow)?, input: input? });
        Wait::new(self, self.unique(what), asked())
    }

    /// Adds nodes and edges to the run's graph, once, however often the task is called. New nodes refer to tasks that
    /// are registered with the engine; those without predecessors start at once.
    ///
    /// # Errors
    /// If the growth does not fit the graph: an unknown or duplicate name, a cycle, an edge into a node that has
    /// started. The graph then stays unchanged.
    pub fn grow(&self, key: &str, growth: Growth) -> impl Future<Output = TaskResult<()>> + Send + '_ {
        let given = self.unique(Use::Grow(key));
        async move {
            let step = given?.step;
            self.settle(step.clone(), || TaskRequest::Grow { step, growth }).await?;
            acted(self.inner());
            Ok(())
        }
    }
}
