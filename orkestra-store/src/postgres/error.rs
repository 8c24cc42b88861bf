//! Errors between this crate and the database, and the errors that callers get for them.

use std::sync::Arc;

use orkestra_core::model::RunId;
use orkestra_core::store::{AppendError, Refusal, StoreError, StoreErrorKind};

/// Why an operation failed, classified by what is known about its outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    /// Nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// It was sent, but no answer told the outcome.
    #[error("{0}")]
    Unknown(String),
    /// The database rejected it. It had no effect.
    #[error("{message} ({code})")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// The message of the database.
        message: String,
    },
    /// The stored data is not what this library writes.
    #[error("{0}")]
    Damaged(String),
    /// A newer version of this library has used the database.
    #[error("{0}")]
    Version(String),
    /// The caller's request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// A request that every store refuses.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A stored record is not what this library writes.
    #[error("cannot decode a record: {0}")]
    Record(Arc<serde_json::Error>),
    /// The record of a run cannot be written.
    #[error("cannot encode the record of run `{run}`: {source}")]
    Unencodable {
        /// The run.
        run: RunId,
        /// Why.
        source: Arc<serde_json::Error>,
    },
}

/// The session was the victim of a deadlock, or could not be serialized with another one.
const DEADLOCK: &str = "40P01";
const SERIALIZATION: &str = "40001";
/// The server takes no writes, because it is a replica.
const READ_ONLY: &str = "25006";
const UNIQUE: &str = "23505";

impl DatabaseError {
    /// The error of a statement that was sent.
    pub(super) fn sent(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(answer) => {
                let code = answer.code().unwrap_or_default().into_owned();
                let message = answer.message().to_owned();
                if is_definite(&code) { Self::Refused { code, message } } else { Self::Unknown(message) }
            }
            sqlx::Error::Encode(_) | sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => {
                Self::NotSent(error.to_string())
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Self::Damaged(error.to_string())
            }
            other => Self::Unknown(other.to_string()),
        }
    }

    /// The error of connecting.
    pub(super) fn connecting(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(why) => Self::Invalid(why.to_string()),
            other => Self::NotSent(format!("cannot connect: {other}")),
        }
    }

    /// Whether a new try may succeed. The failed one had no effect.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == DEADLOCK || code == SERIALIZATION)
    }

    /// Whether the connection must be closed.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::NotSent(_) => true,
            Self::Refused { code, .. } => code == READ_ONLY,
            Self::Damaged(_) | Self::Version(_) | Self::Invalid(_) => false,
            Self::Refusal(_) | Self::Record(_) | Self::Unencodable { .. } => false,
        }
    }

    /// The error for callers of the store at `place`.
    pub(super) fn at(self, place: &str) -> StoreError {
        let kind = match &self {
            Self::NotSent(_) | Self::Unknown(_) => StoreErrorKind::Io,
            // Class 22 is a value of the caller that the database cannot store. A duplicate key is never the caller's
            // fault.
            Self::Refused { code, .. } if code == UNIQUE => StoreErrorKind::Damaged,
            Self::Refused { code, .. } if code.starts_with("22") => StoreErrorKind::Invalid,
            Self::Refused { .. } => StoreErrorKind::Io,
            Self::Damaged(_) | Self::Record(_) => StoreErrorKind::Damaged,
            Self::Version(_) => StoreErrorKind::Version,
            Self::Invalid(_) | Self::Refusal(_) | Self::Unencodable { .. } => StoreErrorKind::Invalid,
        };
        let message = match kind {
            StoreErrorKind::Invalid | StoreErrorKind::Version => self.to_string(),
            StoreErrorKind::Damaged => format!("{place} is damaged: {self}"),
            _ => format!("cannot use {place}: {self}"),
        };
        let error = StoreError::new(kind, message);
        match self {
            Self::Refusal(source) => error.with_source(source),
            Self::Record(source) | Self::Unencodable { source, .. } => error.with_shared_source(source),
            _ => error,
        }
    }

    /// The same for a commit.
    pub(super) fn of_commit(self, place: &str) -> AppendError {
        match self {
            Self::Unknown(why) => AppendError::Unknown(format!("{place}: {why}")),
            // An answer that cannot be read leaves the outcome unknown.
            error @ (Self::Damaged(_) | Self::Record(_)) => AppendError::Unknown(format!("{place}: {error}")),
            other => other.at(place).into(),
        }
    }
}

/// Whether an error of the database means that the statement was rolled back.
///
/// NOTE: a shutdown (57P01 and similar), a cancelled statement (57014) and an ambiguous result of a distributed
/// database (40003) may arrive after the commit record has become durable.
fn is_definite(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "0A" | "22" | "23" | "25" | "28" | "3D" | "3F" | "42" | "53" | "54")
        || matches!(code, DEADLOCK | SERIALIZATION | "55P03" | "P0001")
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn errors_of_records_keep_the_json_error() {
        let json = || Arc::new(serde_json::from_str::<u8>("{").expect_err("no number"));
        let run = RunId::new("r").expect("an id");
        let cases = [
            (DatabaseError::Record(json()), StoreErrorKind::Damaged, "the store is damaged: cannot decode a record: "),
            (
                DatabaseError::Unencodable { run, source: json() },
                StoreErrorKind::Invalid,
                "cannot encode the record of run `r`: ",
            ),
        ];
        for (error, kind, wanted) in cases {
            let error = error.at("the store");
            let text = error.to_string();
            assert!(text.starts_with(wanted) && text.ends_with(&json().to_string()), "{text}");
            assert_eq!(error.kind(), kind);
            assert!(error.source().is_some_and(<dyn std::error::Error>::is::<serde_json::Error>), "{error}");
        }
        assert!(matches!(DatabaseError::Record(json()).of_commit("the store"), AppendError::Unknown(_)));
    }
}
