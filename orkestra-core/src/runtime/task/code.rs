//! The user's code behind a node: an async function, or a value that implements [`Task`].

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::Rejection;
use crate::model::{Failure, FailureKind, Payload, PayloadError};
use crate::runtime::error::Error;

use super::context::Context;

/// The result of a task.
pub type TaskResult<T> = Result<T, TaskError>;

/// Why an attempt or a step failed. Every error converts into one with `?`: retryable and of kind `error`.
#[derive(Clone)]
pub struct TaskError {
    failure: Failure,
    /// Known only where the error is made: it is not recorded.
    key_taken: bool,
}

impl TaskError {
    /// A retryable failure of kind `error`.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Failure::retryable(FailureKind::Error, message).into()
    }

    /// A permanent failure of kind `error`: it is not retried.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Failure::permanent(FailureKind::Error, message).into()
    }

    /// The driver refused a request.
    pub(super) fn refused(error: &Error) -> Self {
        let rejection = std::error::Error::source(error).and_then(<dyn std::error::Error>::downcast_ref);
        let key_taken = matches!(rejection, Some(Rejection::KeyTaken { .. } | Rejection::ChildTaken(_)));
        Self { key_taken, ..Self::permanent(error.to_string()) }
    }

    /// What is remembered under the key belongs to something else.
    pub(super) fn with_key_taken(self) -> Self {
        Self { key_taken: true, ..self }
    }

    /// Whether the key or the child run belongs to another request: the key is in use for something else, another step waits
    /// for the child run, or the remembered result has another type. For the simulator of the test kit.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_key_taken(&self) -> bool {
        self.key_taken
    }

    /// Sets the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.failure.kind = kind.into();
        self
    }

    /// Adds details for the next attempt, which reads them from [`Context::last_failure`]. Details that cannot be
    /// serialised to JSON or are too large are dropped, and the message says so.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Serialize) -> Self {
        match Payload::of(&detail) {
            Ok(detail) => self.failure.detail = Some(detail),
            Err(error) => self.failure.message = format!("{} (detail dropped: {error})", self.failure.message),
        }
        self
    }

    /// The failure that will be recorded.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The failure that will be recorded.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.failure
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.failure, f)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, f)
    }
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        Self { failure, key_taken: false }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Self::new(message)
    }
}

/// The code behind a node, as a type. For most tasks an `async fn(Context, Input) -> TaskResult<Output>` is enough.
///
/// **Code between steps may run again**: after a crash or a failed attempt the task is called again, and only what it
/// did inside [`Context::step`] is remembered.
#[async_trait]
pub trait Task: Send + Sync + 'static {
    /// What the task receives.
    type Input: DeserializeOwned + Send + 'static;
    /// What the task returns.
    type Output: Serialize + Send + 'static;

    /// Runs one attempt.
    async fn run(&self, cx: Context, input: Self::Input) -> TaskResult<Self::Output>;
}

/// A type's identity and name, to check that connected nodes fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeTag {
    id: TypeId,
    name: &'static str,
}

impl TypeTag {
    /// The tag of `T`.
    #[must_use]
    pub fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: std::any::type_name::<T>() }
    }

    /// The type's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The type's name without module paths, so that a type that moved to another module counts as the same type;
    /// `None` for a type that accepts anything.
    pub(in crate::runtime) fn short_name(&self) -> Option<String> {
        if self.takes_anything() {
            return None;
        }
        let mut short = String::new();
        let mut word = String::new();
        for letter in self.name.chars() {
            match letter {
                ':' => word.clear(),
                letter if letter.is_alphanumeric() || letter == '_' => word.push(letter),
                other => {
                    short.push_str(&std::mem::take(&mut word));
                    short.push(other);
                }
            }
        }
        short.push_str(&word);
        Some(short)
    }

    /// Whether the type accepts any payload, or ignores its value.
    #[must_use]
    pub fn takes_anything(&self) -> bool {
        [TypeId::of::<serde_json::Value>(), TypeId::of::<Payload>(), TypeId::of::<()>()].contains(&self.id)
    }
}

/// A task with its types erased: what the engine calls.
#[async_trait]
pub trait ErasedTask: Send + Sync + 'static {
    /// Runs one attempt.
    async fn call(&self, cx: Context, input: Payload) -> Result<Payload, Failure>;
    /// The type of its input.
    fn input(&self) -> TypeTag;
    /// The type of its output.
    fn output(&self) -> TypeTag;
}

/// Everything that can be the code of a node: async functions and tasks. `Marker` only tells them apart for the
/// compiler.
pub trait IntoTask<Marker> {
    /// Erases the task's types.
    fn into_task(self) -> Arc<dyn ErasedTask>;
}

struct Typed<T>(T);

/// The marker of [`Task`]s.
#[derive(Debug)]
pub struct ByTrait;

impl<T: Task> IntoTask<ByTrait> for T {
    fn into_task(self) -> Arc<dyn ErasedTask> {
        Arc::new(Typed(self))
    }
}

#[async_trait]
impl<T: Task> ErasedTask for Typed<T> {
    async fn call(&self, cx: Context, input: Payload) -> Result<Payload, Failure> {
        let input = read_input::<T::Input>(&input)?;
        write_output(self.0.run(cx, input).await)
    }

    fn input(&self) -> TypeTag {
        TypeTag::of::<T::Input>()
    }

    fn output(&self) -> TypeTag {
        TypeTag::of::<T::Output>()
    }
}

struct Function<F, I, O> {
    function: F,
    types: PhantomData<fn(I) -> O>,
}

impl<F, Fut, I, O> IntoTask<fn(I) -> O> for F
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = TaskResult<O>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    fn into_task(self) -> Arc<dyn ErasedTask> {
        Arc::new(Function { function: self, types: PhantomData })
    }
}

#[async_trait]
impl<F, Fut, I, O> ErasedTask for Function<F, I, O>
where
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = TaskResult<O>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    async fn call(&self, cx: Context, input: Payload) -> Result<Payload, Failure> {
        let input = read_input::<I>(&input)?;
        write_output((self.function)(cx, input).await)
    }

    fn input(&self) -> TypeTag {
        TypeTag::of::<I>()
    }

    fn output(&self) -> TypeTag {
        TypeTag::of::<O>()
    }
}

/// A task whose input is `()` ignores the outputs of its predecessors.
fn read_input<I: DeserializeOwned + 'static>(input: &Payload) -> Result<I, Failure> {
    let bad = |error: PayloadError| Failure::permanent(FailureKind::BadInput, error.to_string());
    if TypeId::of::<I>() == TypeId::of::<()>() { Payload::null().to().map_err(bad) } else { input.to().map_err(bad) }
}

fn write_output<O: Serialize>(result: TaskResult<O>) -> Result<Payload, Failure> {
    let output = result.map_err(TaskError::into_failure)?;
    Payload::large(&output).map_err(|error| Failure::permanent(FailureKind::BadOutput, error.to_string()))
}
