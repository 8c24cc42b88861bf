//! The error of the engine and its handles, sorted by what the caller should do.

use std::fmt;
use std::sync::Arc;

use crate::journal::{CodecError, ReplayError};
use crate::kernel::Rejection;
use crate::model::{Failure, InvalidName, PayloadError, PlanError};
use crate::store::{StoreError, StoreErrorKind};

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid. Repeating it does not help; change it.
    Invalid,
    /// The run or workflow was not found.
    NotFound,
    /// The run's state does not allow this; for example, the run has ended.
    Conflict,
    /// The run itself failed or was cancelled.
    RunEnded,
    /// The store failed; see [`Error::store_kind`].
    Store,
    /// The outcome is unknown: check the run's state before trying again.
    Unknown,
    /// The engine was shut down.
    ShutDown,
    /// A bug in the engine, or a store that returned data that was never written.
    Internal,
}

/// Why the engine could not do what was asked.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    failure: Option<Box<Failure>>,
    store: Option<StoreErrorKind>,
    elsewhere: bool,
    not_drivable: bool,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            failure: None,
            store: None,
            elsewhere: false,
            not_drivable: false,
        }
    }

    /// The same with its cause. The message says it too.
    pub(crate) fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// An error that says what `cause` says.
    pub(crate) fn from_cause(kind: ErrorKind, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(kind, cause.to_string()).with_source(cause)
    }

    pub(crate) fn shut_down() -> Self {
        Self::new(
            ErrorKind::ShutDown,
            "the engine was shut down; the run continues when an engine starts on its store again",
        )
    }

    /// Nothing was decided: another engine drives the run.
    pub(crate) fn elsewhere() -> Self {
        Self {
            elsewhere: true,
            ..Self::new(ErrorKind::Unknown, "another engine drives the run; check its state, then try again")
        }
    }

    pub(crate) const fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Nothing was decided: this engine lacks what it needs to drive the run. Another engine may have it.
    pub(crate) fn not_drivable(message: String) -> Self {
        Self { not_drivable: true, ..Self::new(ErrorKind::NotFound, message) }
    }

    pub(crate) const fn is_not_drivable(&self) -> bool {
        self.not_drivable
    }

    /// Whether the stored data cannot be read by any version.
    pub(crate) fn is_damaged(&self) -> bool {
        self.store == Some(StoreErrorKind::Damaged)
    }

    pub(crate) fn damaged(message: String) -> Self {
        Self { store: Some(StoreErrorKind::Damaged), ..Self::new(ErrorKind::Store, message) }
    }

    pub(crate) fn run_failed(node: &str, failure: &Failure) -> Self {
        let failed = Self::new(ErrorKind::RunEnded, format!("node `{node}` failed: {failure}"));
        Self { failure: Some(Box::new(failure.clone())), ..failed }
    }

    /// The same error with `more` appended to its message.
    pub(crate) fn adding(self, more: &str) -> Self {
        Self { message: self.message + more, ..self }
    }

    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The failure that ended the run, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_deref()
    }

    /// The store's error kind, if the store caused the error.
    #[must_use]
    pub const fn store_kind(&self) -> Option<StoreErrorKind> {
        self.store
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self { store: Some(error.kind()), ..Self::from_cause(ErrorKind::Store, error) }
    }
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        use CodecError::{Newer, UnknownEvent};
        let newer = matches!(&error, ReplayError::Codec { source: Newer { .. } | UnknownEvent(_), .. });
        let kind = if newer { StoreErrorKind::Version } else { StoreErrorKind::Damaged };
        Self { store: Some(kind), ..Self::from_cause(ErrorKind::Store, error) }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        let kind = match &rejection {
            Rejection::NoRun => ErrorKind::NotFound,
            Rejection::Growth(_)
            | Rejection::Payload(_)
            | Rejection::StepKeyTooLong
            | Rejection::TooManyMeters
            | Rejection::NoNode(_)
            | Rejection::NotBegun(_) => ErrorKind::Invalid,
            Rejection::Broken(_) => ErrorKind::Internal,
            _ => ErrorKind::Conflict,
        };
        Self::from_cause(kind, rejection)
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        Self::from_cause(ErrorKind::Invalid, error)
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        Self::from_cause(ErrorKind::Invalid, error)
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        Self::from_cause(ErrorKind::Invalid, error)
    }
}
