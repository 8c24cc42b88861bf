//! The messages to a run's driver, and its answers.

use tokio::sync::oneshot;
use tracing::Span;

use crate::kernel::{InputKind, TaskRequest};
use crate::model::{Failure, Name, Payload};

use crate::runtime::error::Error;

/// Something for a driver to decide on.
#[derive(Debug)]
pub(in crate::runtime) enum Message {
    /// From outside. Answered when the decision is durable.
    Input { kind: InputKind, reply: oneshot::Sender<Result<(), Error>> },
    /// From a task. Answered when the step it names is settled and that is durable; `span` receives its position in the
    /// journal.
    Request { node: Name, attempt: u32, request: TaskRequest, reply: oneshot::Sender<StepReply>, span: Span },
    /// The inbox has letters.
    Inbox,
    /// An attempt's task has ended.
    Ended { node: Name, attempt: u32, result: Result<Payload, Failure> },
}

/// The result of the step, or why the request was refused.
pub(in crate::runtime) type StepReply = Result<Result<Payload, Failure>, Error>;
