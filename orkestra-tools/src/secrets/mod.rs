//! Secrets: values that a run knows (keys of models, tokens) and that must appear in no output, event, artifact or error.
//!
//! ```text
//! command output -> SecretStream (per stream, before lines are split) -> lines, result, artifact file
//! tool results, errors, happenings -> Secrets::mask                    ToolScope::with_secrets wires both
//! ```
//! A value is found as it is and in the forms of [`forms`]: base64, hexadecimal, URL-encoded, escaped. Line breaks between its
//! bytes do not hide it, because encoders wrap lines. Each place becomes `[secret NAME]`.
//!
//! **This is not a wall.** A command that can read a secret can also reverse it or split it with spaces. Secrets must not be
//! where commands can read them; masking is for what gets there by accident.

mod forms;
mod guard;
mod stream;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::automaton::StateID;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use serde_json::Value;

use crate::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRETS_MAX};

pub(crate) use guard::{MaskedObserver, MaskedSandbox};
pub use stream::SecretStream;

/// Why a set of secrets cannot be used. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// A value is too long to be searched for.
    #[error(
        "cannot mask the secret `{name}`: it is longer than {SECRET_BYTES_MAX} bytes; give only the part that is secret"
    )]
    TooLong {
        /// Its name.
        name: String,
    },
    /// There are too many values.
    #[error("cannot mask more than {SECRETS_MAX} secrets; give only those that this run uses")]
    TooMany,
    /// The search could not be built.
    #[error("cannot build the search for secrets: {0}")]
    Search(String),
}

/// The secrets of a run, by name. Cheap to clone; an empty set masks nothing and costs nothing.
///
/// Values shorter than [`SECRET_BYTES_MIN`] bytes are **not masked**: they occur in ordinary text. [`Secrets::unmasked`] lists
/// their names.
///
/// ```
/// use orkestra_tools::Secrets;
///
/// let secrets = Secrets::new([("GITHUB_TOKEN", "ghp_0123456789abcdef"), ("PIN", "1234")])?;
/// assert_eq!(secrets.mask("token: ghp_0123456789abcdef"), "token: [secret GITHUB_TOKEN]");
/// assert_eq!(secrets.mask("Z2hwXzAxMjM0NTY3ODlhYmNkZWY="), "[secret GITHUB_TOKEN]Y=");
/// assert_eq!(secrets.unmasked(), ["PIN"]);
/// assert_eq!(format!("{secrets:?}"), r#"Secrets(["GITHUB_TOKEN", "PIN"])"#);
/// # Ok::<(), orkestra_tools::SecretsError>(())
/// ```
#[derive(Clone, Default)]
pub struct Secrets {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    /// Names and values.
    values: Vec<(String, String)>,
    unmasked: Vec<String>,
    search: NFA,
    start: StateID,
    /// The position of its name in `values`, by pattern.
    owners: Vec<usize>,
    /// The patterns, sorted.
    sorted: Vec<Vec<u8>>,
    /// The bytes that begin a pattern.
    first: [bool; 256],
    longest: usize,
}

/// A place to mask: bytes `start..end`, which hold the secret `owner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    owner: usize,
    length: usize,
}

impl Secrets {
    /// The secrets with these names and values. Space around a value is ignored, and so are empty values.
    ///
    /// # Errors
    /// [`SecretsError`] for a value that is too long, or too many of them.
    pub fn new<N, V>(values: impl IntoIterator<Item = (N, V)>) -> Result<Self, SecretsError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        Self::default().with(values)
    }

    /// These secrets and others.
    ///
    /// # Errors
    /// As [`Secrets::new`].
    pub fn with<N, V>(&self, values: impl IntoIterator<Item = (N, V)>) -> Result<Self, SecretsError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut all = self.inner.as_ref().map_or_else(Vec::new, |inner| inner.values.clone());
        for (name, value) in values {
            let (name, value) = (name.into(), value.into().trim().to_owned());
            if value.len() > SECRET_BYTES_MAX {
                return Err(SecretsError::TooLong { name });
            }
            if !value.is_empty() && !all.iter().any(|(_, known)| *known == value) {
                all.push((name, value));
            }
        }
        if all.len() > SECRETS_MAX {
            return Err(SecretsError::TooMany);
        }
        let inner = if all.is_empty() { None } else { Some(Arc::new(Inner::new(all)?)) };
        Ok(Self { inner })
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_none()
    }

    /// The names of values that are too short to be masked.
    #[must_use]
    pub fn unmasked(&self) -> Vec<&str> {
        self.inner.iter().flat_map(|inner| inner.unmasked.iter().map(String::as_str)).collect()
    }

    /// `text` with every secret masked. Copies only if there is one.
    #[must_use]
    pub fn mask<'text>(&self, text: &'text str) -> Cow<'text, str> {
        match self.mask_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// `bytes` with every secret masked. Copies only if there is one.
    #[must_use]
    pub fn mask_bytes<'bytes>(&self, bytes: &'bytes [u8]) -> Cow<'bytes, [u8]> {
        let Some(inner) = &self.inner else { return Cow::Borrowed(bytes) };
        let (found, _) = inner.scan(bytes);
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for place in found {
            masked.extend_from_slice(&bytes[at..place.start]);
            masked.extend_from_slice(inner.label(place.owner).as_bytes());
            at = place.end;
        }
        masked.extend_from_slice(&bytes[at..]);
        Cow::Owned(masked)
    }

    /// Masks an owned text in place.
    #[must_use]
    pub fn masked(&self, text: String) -> String {
        match self.mask(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        }
    }

    /// Masks every text in a JSON value, names of fields included. Numbers are not changed.
    pub fn mask_json(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => *text = self.masked(std::mem::take(text)),
            Value::Array(values) => values.iter_mut().for_each(|value| self.mask_json(value)),
            Value::Object(fields) => {
                let masked = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                    self.mask_json(&mut value);
                    (self.masked(name), value)
                });
                *fields = masked.collect();
            }
            // NOTE: a number stays one, so that the value can still be read as what it is.
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Masks bytes that arrive in pieces.
    #[must_use]
    pub fn stream(&self) -> SecretStream {
        SecretStream::new(self.clone())
    }
}

impl Inner {
    fn new(values: Vec<(String, String)>) -> Result<Self, SecretsError> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let (mut owners, mut unmasked) = (Vec::new(), Vec::new());
        for (owner, (name, value)) in values.iter().enumerate() {
            if value.len() < SECRET_BYTES_MIN {
                unmasked.push(name.clone());
                continue;
            }
            for form in forms::of(value) {
                patterns.push(form);
                owners.push(owner);
            }
        }
        let search = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&patterns);
        let search = search.map_err(|error| SecretsError::Search(error.to_string()))?;
        let start = search.start_state(Anchored::No).map_err(|error| SecretsError::Search(error.to_string()))?;
        let mut first = [false; 256];
        patterns.iter().filter_map(|pattern| pattern.first()).for_each(|byte| first[usize::from(*byte)] = true);
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        patterns.sort_unstable();
        Ok(Self { values, unmasked, search, start, owners, sorted: patterns, first, longest })
    }

    /// The places to mask, merged and in order, and whether `bytes` may end within a secret.
    fn scan(&self, bytes: &[u8]) -> (Vec<Found>, bool) {
        let mut found: Vec<Found> = Vec::new();
        let (mut state, mut at, mut breaks) = (self.start, 0, 0);
        while at < bytes.len() {
            if state == self.start {
                // Most bytes begin no pattern.
                match bytes[at..].iter().position(|byte| self.first[usize::from(*byte)]) {
                    Some(skipped) => (at, breaks) = (at + skipped, 0),
                    None => break,
                }
            }
            let byte = bytes[at];
            at += 1;
            if is_break(byte) {
                breaks += 1;
                if breaks > BREAKS_MAX {
                    state = self.start;
                }
                continue;
            }
            breaks = 0;
            state = self.search.next_state(Anchored::No, state, byte);
            if self.search.is_special(state) && self.search.is_match(state) {
                let longest = (0..self.search.match_len(state))
                    .map(|index| self.search.match_pattern(state, index))
                    .max_by_key(|pattern| self.search.pattern_len(*pattern));
                if let Some(pattern) = longest {
                    let length = self.search.pattern_len(pattern);
                    let start = start_of(bytes, at, length);
                    merge(&mut found, Found { start, end: at, owner: self.owners[pattern.as_usize()], length });
                }
            }
        }
        (found, state != self.start)
    }

    /// Where the longest end of `bytes` starts that is the beginning of a pattern and not a whole one; the length of `bytes` if
    /// there is none.
    fn unfinished(&self, bytes: &[u8]) -> usize {
        let within = start_of(bytes, bytes.len(), self.longest.saturating_sub(1));
        let tail: Vec<(usize, u8)> =
            (within..).zip(bytes[within..].iter().copied()).filter(|(_, byte)| !is_break(*byte)).collect();
        let text: Vec<u8> = tail.iter().map(|(_, byte)| *byte).collect();
        let begins = |part: &[u8]| {
            let next = self.sorted.partition_point(|pattern| pattern.as_slice() <= part);
            self.sorted.get(next).is_some_and(|pattern| pattern.starts_with(part))
        };
        let is_candidate = |at: &usize| self.first[usize::from(text[*at])] && begins(&text[*at..]);
        (0..text.len()).find(is_candidate).map_or(bytes.len(), |at| tail[at].0)
    }

    fn label(&self, owner: usize) -> String {
        format!("[secret {}]", self.values[owner].0)
    }
}

/// Line breaks in a row that may be within a secret: `\r\n`. More would let a command hold back its output for ever.
const BREAKS_MAX: usize = 2;

/// Encoders wrap long lines, so line breaks within a secret are skipped.
const fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Where the last `length` bytes before `end` start, not counting line breaks that may be within a secret.
fn start_of(bytes: &[u8], end: usize, length: usize) -> usize {
    let (mut start, mut left, mut breaks) = (end, length, 0);
    for at in (0..end).rev() {
        if is_break(bytes[at]) {
            breaks += 1;
        } else if left > 0 {
            (start, left, breaks) = (at, left - 1, 0);
        }
        if left == 0 || breaks > BREAKS_MAX {
            break;
        }
    }
    start
}

/// Adds a place. Overlapping places become one, named after the longest.
fn merge(found: &mut Vec<Found>, mut next: Found) {
    while let Some(last) = found.pop_if(|last| last.end > next.start) {
        next.start = next.start.min(last.start);
        if last.length > next.length {
            (next.owner, next.length) = (last.owner, last.length);
        }
    }
    found.push(next);
}

impl fmt::Debug for Secrets {
    /// Names only, never values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.inner.iter().flat_map(|inner| inner.values.iter().map(|(name, _)| name.as_str())).collect();
        formatter.debug_tuple("Secrets").field(&names).finish()
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        let values = |secrets: &Self| secrets.inner.as_ref().map(|inner| inner.values.clone());
        values(self) == values(other)
    }
}

impl Eq for Secrets {}

#[cfg(test)]
mod tests;
