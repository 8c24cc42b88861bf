//! The text checks of the documented score. They look at texts alone and can be satisfied by texts alone; the strict score cannot.

use regex::{Regex, RegexBuilder};

use crate::delivery::Delivery;
use crate::limits::PATTERN_BYTES_MAX;

/// A text check.
#[derive(Clone, Debug)]
pub enum Check {
    /// A file exists.
    FileExists {
        /// Its path.
        path: String,
    },
    /// A file contains a pattern.
    FileContains {
        /// Its path.
        path: String,
        /// What it contains.
        pattern: Regex,
    },
    /// Any file contains a pattern.
    AnyFileContains {
        /// What it contains.
        pattern: Regex,
    },
}

/// Why a check is invalid.
#[derive(Debug, thiserror::Error)]
#[error("invalid pattern {pattern:?}: {problem}")]
pub struct CheckError {
    pattern: String,
    problem: String,
}

impl Check {
    /// Compiles a pattern: a regular expression in which `^` and `$` match at lines.
    ///
    /// # Errors
    /// When it is not a regular expression, or too large a one.
    pub(super) fn pattern(text: &str) -> Result<Regex, CheckError> {
        let failed = |problem: String| CheckError { pattern: text.chars().take(80).collect(), problem };
        if text.is_empty() {
            return Err(failed("it is empty, so every file contains it".to_owned()));
        }
        RegexBuilder::new(text)
            .multi_line(true)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| failed(error.to_string()))
    }

    /// Whether what an agent delivered fulfils it.
    #[must_use]
    pub fn is_fulfilled(&self, delivery: &Delivery) -> bool {
        match self {
            Self::FileExists { path } => delivery.file(path).is_some(),
            Self::FileContains { path, pattern } => {
                delivery.file(path).is_some_and(|file| pattern.is_match(&file.text()))
            }
            Self::AnyFileContains { pattern } => delivery.files().any(|file| pattern.is_match(&file.text())),
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FileExists { path } => write!(f, "{path} exists"),
            Self::FileContains { path, pattern } => write!(f, "{path} contains {:?}", pattern.as_str()),
            Self::AnyFileContains { pattern } => write!(f, "any file contains {:?}", pattern.as_str()),
        }
    }
}
