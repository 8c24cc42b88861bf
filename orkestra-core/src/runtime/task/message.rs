//! What reaches a run's driver, and what it answers.

use tokio::sync::oneshot;
use tracing::Span;

use crate::kernel::{InputKind, TaskRequest};
use crate::model::{Failure, Name, Payload};

use crate::runtime::error::Error;

/// Something for a driver to decide on.
#[derive(Debug)]
pub(in crate::runtime) enum Message {
    /// From outside. Answered once what follows is durable.
    Input { kind: InputKind, reply: oneshot::Sender<Result<(), Error>> },
    /// From a task. Answered once the step it names is settled and that is durable; the span is told where it is.
    Request { node: Name, attempt: u32, request: TaskRequest, reply: oneshot::Sender<StepReply>, span: Span },
    /// Letters wait in the inbox.
    Inbox,
    /// An attempt's task has ended.
    Ended { node: Name, attempt: u32, result: Result<Payload, Failure> },
}

/// How a step ended, or why the request was refused.
pub(in crate::runtime) type StepReply = Result<Result<Payload, Failure>, Error>;
