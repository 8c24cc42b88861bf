//! The one error of this crate: what went wrong in words, and a kind that tells the caller what to do.
//!
//! It never carries a key or a password: its text is shown to people and written to logs.

/// What the caller of this crate can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong (an empty objective, an unknown agent): correct it and ask again.
    Usage,
    /// The model cannot be used as it is configured.
    Model,
    /// The commands of agents have nowhere to run.
    Sandbox,
    /// The data directory or a workspace in it cannot be used.
    Workspace,
    /// The durable engine or its store refused.
    Engine,
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with no cause below it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same as [`Error::new`] with [`ErrorKind::Usage`], which is the most frequent one.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Keeps the cause, for `source()` and for logs.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
