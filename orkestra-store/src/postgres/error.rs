//! What can go wrong between here and the database, and what the caller is told of it.

use orkestra_core::store::{AppendError, StoreError, StoreErrorKind};

/// Why something could not be done, by what is known of its outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// It was sent, and no answer came that tells what became of it.
    #[error("{0}")]
    Unknown(String),
    /// The database refused it: nothing of it was done.
    #[error("{message} ({code})")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// What the database said.
        message: String,
    },
    /// What is stored is not what this library writes.
    #[error("{0}")]
    Damaged(String),
    /// A newer version of this library was here.
    #[error("{0}")]
    Version(String),
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// The session was given up by another one that waited for it, or could not be put in an order with it.
const DEADLOCK: &str = "40P01";
const SERIALIZATION: &str = "40001";
/// The server takes no writes: it has become a replica, or is one still.
const READ_ONLY: &str = "25006";
const UNIQUE: &str = "23505";

impl Trouble {
    /// What sqlx says of a statement that was sent.
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

    /// What sqlx says when no connection could be made.
    pub(super) fn connecting(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(why) => Self::Invalid(why.to_string()),
            other => Self::NotSent(format!("no connection: {other}")),
        }
    }

    /// Whether the same may go well on a new connection, with nothing done so far.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == DEADLOCK || code == SERIALIZATION)
    }

    /// Whether the connection is of no use any more.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::NotSent(_) => true,
            Self::Refused { code, .. } => code == READ_ONLY,
            Self::Damaged(_) | Self::Version(_) | Self::Invalid(_) => false,
        }
    }

    /// The same for the caller of the store at `place`.
    pub(super) fn at(self, place: &str) -> StoreError {
        let kind = match &self {
            Self::NotSent(_) | Self::Unknown(_) => StoreErrorKind::Io,
            // A text that the database cannot hold is the caller's; a key that is there twice is nobody's.
            Self::Refused { code, .. } if code == UNIQUE => StoreErrorKind::Damaged,
            Self::Refused { code, .. } if code.starts_with("22") => StoreErrorKind::Invalid,
            Self::Refused { .. } => StoreErrorKind::Io,
            Self::Damaged(_) => StoreErrorKind::Damaged,
            Self::Version(_) => StoreErrorKind::Version,
            Self::Invalid(_) => StoreErrorKind::Invalid,
        };
        let message = match kind {
            StoreErrorKind::Invalid | StoreErrorKind::Version => self.to_string(),
            StoreErrorKind::Damaged => format!("{place} is damaged: {self}"),
            _ => format!("{place}: {self}"),
        };
        StoreError::new(kind, message)
    }

    /// The same for a commit.
    pub(super) fn of_commit(self, place: &str) -> AppendError {
        match self {
            Self::Unknown(why) => AppendError::Unknown(format!("{place}: {why}")),
            // An answer that makes no sense is none.
            Self::Damaged(why) => AppendError::Unknown(format!("{place}: {why}")),
            other => other.at(place).into(),
        }
    }
}

/// Whether an error of the database means that the statement was rolled back.
///
/// NOTE: a shutdown (57P01 and its like), a cancelled statement (57014) and what a distributed database calls an ambiguous
/// result (40003) may come when the commit record is durable already.
fn is_definite(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "0A" | "22" | "23" | "25" | "28" | "3D" | "3F" | "42" | "53" | "54")
        || matches!(code, DEADLOCK | SERIALIZATION | "55P03" | "P0001")
}
