//! Maps errors of sled.

use crate::kv::error::BackendError;

impl From<::sled::Error> for BackendError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => Self::Io(error),
            ::sled::Error::Unsupported(why) => Self::Version(why),
            ::sled::Error::Corruption { at, .. } => {
                let offset = at.map(|at| format!(" at {at}")).unwrap_or_default();
                Self::Damaged(format!("sled found a wrong checksum{offset}"))
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}
