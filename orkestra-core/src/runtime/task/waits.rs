//! What a task can wait for: time, signals, answers, other runs. And growth, which it does not wait for.
//!
//! A task that only waits is dropped from memory after a while and called again when its wait is over: its steps are
//! remembered, everything else is done anew.
//!
//! The key of a wait is given out when it is asked for, not when it is first polled: which branch of a `select!` is polled
//! first is left to chance. A wait whose future is dropped before it is ready is let go: it is withdrawn, durably, before
//! whatever the task asks for next. See [`Wait`].

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
use super::given::{Given, LetGo};
use super::keys::Use;
use super::root::Quiet;
use super::sides::{did, took};

/// A wait for a `T` from outside: for a signal, an answer, or the output of another run. Made by [`Context::signal`],
/// [`Context::ask`] and [`Context::child`].
///
/// It may be dropped before it is ready, by a `select!` for instance. Then it is withdrawn: what comes later goes to the
/// next wait, and so does a signal that came and was not taken; another run is cancelled. When the task is called again
/// after a park or a crash, a wait that was let go is never ready: whatever was faster the first time is faster again.
#[must_use = "a wait does nothing until it is awaited"]
pub struct Wait<'a, T> {
    cx: &'a Context,
    state: State<'a, T>,
    /// Its key, if it waits for a signal and was polled.
    signal: Option<String>,
    /// Whether others do something for it.
    does: bool,
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
    /// Whether others may be waiting for what it gets.
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
        Self { cx, state: State::Fresh(Box::new(Fresh { key, what, limit: None })), signal: None, does: false }
    }

    /// Ends the wait after so long with a failure of kind `timed_out`. Durable: the end does not move over crashes, and
    /// what became of the wait is remembered. A question is withdrawn then, another run is cancelled, and a signal that comes
    /// later goes to the next wait. Waits for answers and other runs keep their end over attempts; a wait for a signal ends
    /// with its attempt, and the next one has the whole time.
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
            let hands = self.cx;
            let key = fresh.key.as_ref().ok().filter(|_| fresh.is_signal());
            self.signal = key.map(|given| given.step.clone());
            self.does = matches!(fresh.what, Ok(What::Answer(_) | What::Run { .. }));
            self.state = State::Polled(Box::pin(async move { Ok(wait(hands, *fresh).await?.to()?) }));
        }
        let State::Polled(polled) = &mut self.state else { return Poll::Pending };
        let ready = polled.as_mut().poll(cx);
        if ready.is_ready() {
            self.state = State::Over;
            if self.does {
                did(self.cx.inner());
            }
            if let Some(step) = self.signal.take() {
                took(self.cx.inner(), step);
            }
        }
        ready
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        // One that was never polled may have been asked for by an earlier call of the task.
        if let State::Fresh(fresh) = &self.state
            && let Ok(given) = &fresh.key
        {
            drop(Open::of(self.cx, &given.step, fresh.is_signal()));
        }
    }
}

/// A wait that is let go when this is dropped, if there is one.
struct Open<'a> {
    cx: &'a Context,
    step: String,
    is_open: bool,
    is_signal: bool,
}

impl<'a> Open<'a> {
    fn of(cx: &'a Context, step: &str, is_signal: bool) -> Self {
        let known = cx.known(step);
        let is_open = known.is_some_and(|known| known.is_wait() || matches!(known, StepState::Done(_)));
        Self { cx, step: step.to_owned(), is_open, is_signal }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let step = std::mem::take(&mut self.step);
            self.cx.let_go(LetGo { step, begun: false, at_once: self.is_signal });
        }
    }
}

/// Asks, waits, and gives what came.
async fn wait(cx: &Context, fresh: Fresh) -> TaskResult<Payload> {
    let is_signal = fresh.is_signal();
    let Fresh { key, what, limit } = fresh;
    let step = key?.step;
    // IMPORTANT: before everything that waits. It is dropped last, when nobody listens to an answer any more.
    let mut open = Open::of(cx, &step, is_signal);
    let result = match cx.known(&step) {
        Some(StepState::LetGo) => cx.never().await,
        Some(known) if known.result().is_some() => cx.settle(step, || unreachable!("it is settled")).await,
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

/// What the driver is asked for.
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
    /// Waits for what an earlier call of the task has let go.
    pub(super) async fn never<T>(&self) -> T {
        let _nothing = self.activity().waiting_for_nothing();
        Quiet::new(self.activity().root(), pending()).await
    }

    /// Waits for a while. Durable: the wait goes on over crashes, its end does not move.
    ///
    /// # Errors
    /// When the engine cannot write the wait down.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = TaskResult<()>> + Send + Unpin + '_ {
        Wait::new(self, self.unique(Use::Sleep), Ok(What::Time(Due::After(duration))))
    }

    /// Waits until a point in time, as [`sleep`](Self::sleep) does. A point that has passed is no wait.
    ///
    /// # Errors
    /// When the engine cannot write the wait down.
    pub fn sleep_until(&self, due: Timestamp) -> impl Future<Output = TaskResult<()>> + Send + Unpin + '_ {
        Wait::new(self, self.unique(Use::Sleep), Ok(What::Time(Due::At(due))))
    }

    /// Waits for the signal `name` and takes it. Durable: it is taken once, and remembered. [`Wait::timeout`] limits how
    /// long.
    ///
    /// # Errors
    /// When the signal's payload is no `T`, or the engine cannot write the wait down.
    pub fn signal<T: DeserializeOwned>(&self, name: &str) -> Wait<'_, T> {
        match Name::new(name) {
            Ok(signal) => Wait::new(self, self.unique(Use::Signal(&signal)), Ok(What::Signal(signal))),
            Err(error) => Wait::new(self, Err(error.into()), Err(TaskError::permanent("no signal"))),
        }
    }

    /// Asks somebody outside and waits for the answer, for days if need be. Durable: the question is asked once, and its
    /// answer remembered. Whoever reads the run's events sees a `QuestionAsked`; its position is the question's id, for
    /// [`Run::answer`](crate::Run::answer). [`Wait::timeout`] limits how long.
    ///
    /// # Errors
    /// When the question does not serialise, the answer is no `T`, or the engine cannot write the question down.
    pub fn ask<T: DeserializeOwned>(&self, question: impl Serialize) -> Wait<'_, T> {
        let what = Payload::large(&question).map(What::Answer);
        Wait::new(self, self.unique(Use::Ask), what.map_err(TaskError::from))
    }

    /// Starts a run of the registered workflow `workflow` and waits for its output; once, however often the task is
    /// called. The other run's id begins with this run, node and `key`, and is this request's alone; it is found in
    /// [`RunView`](crate::projection::RunView) and by [`RunQuery::parent`](crate::store::RunQuery::parent). It is cancelled
    /// when this node ends before it or this wait is let go, also when it has not begun yet. Its spending counts for this run
    /// too. The wait outlives an attempt: the next one that asks with the same key gets the same run.
    ///
    /// # Errors
    /// Of kind `child_failed`, `child_cancelled`, `child_terminated` or `child_timed_out`, permanent, when the other run
    /// ended like that; of kind `child_not_started` when it could not be started, or when a run with its id is there that
    /// this request did not ask for; when its output is no `T`.
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

    /// Adds nodes and edges to the run's graph; once, however often the task is called. New nodes name tasks that the
    /// engine knows; those that wait for nothing start at once.
    ///
    /// # Errors
    /// When the growth does not fit the graph: an unknown or repeated name, a cycle, an edge into a node that has
    /// started. The graph is as it was then.
    pub fn grow(&self, key: &str, growth: Growth) -> impl Future<Output = TaskResult<()>> + Send + '_ {
        let given = self.unique(Use::Grow(key));
        async move {
            let step = given?.step;
            self.settle(step.clone(), || TaskRequest::Grow { step, growth }).await?;
            did(self.inner());
            Ok(())
        }
    }
}
