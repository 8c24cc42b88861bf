//! Masks a stream of bytes: a secret that is split over two pieces is found too.
//!
//! What may be the beginning of a secret is held back until the next piece or the end decides it; everything else is passed on
//! at once, without a copy if nothing was held back.

use std::borrow::Cow;

use super::{Inner, Secrets, is_break};

/// The beginning of a secret before a line break, in bytes, that is passed on at once: it gives nothing away, and otherwise
/// every line that ends with the first character of a secret would be late.
const SHOWN_BYTES_MAX: usize = 3;

/// Masks bytes that arrive in pieces. Created by [`Secrets::stream`].
///
/// ```
/// let secrets = orkestra_tools::Secrets::new([("KEY", "sk-0123456789")])?;
/// let mut stream = secrets.stream();
/// let mut output = stream.push(b"the key is sk-01234").into_owned();
/// output.extend_from_slice(&stream.push(b"56789!"));
/// output.extend_from_slice(&stream.finish());
/// assert_eq!(output, b"the key is [secret KEY]!");
/// # Ok::<(), orkestra_tools::SecretsError>(())
/// ```
#[derive(Debug)]
pub struct SecretStream {
    secrets: Secrets,
    pub(super) held: Held,
}

#[derive(Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes were already passed on or masked: they are kept because a secret may begin in them.
    emitted: usize,
    /// Whether the last emitted byte was masked.
    is_masked: bool,
}

impl std::fmt::Debug for Held {
    /// The bytes may be the beginning of a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Held").finish_non_exhaustive()
    }
}

impl SecretStream {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, held: Held::default() }
    }

    /// Takes the next piece; returns what is decided.
    #[must_use]
    pub fn push<'bytes>(&mut self, bytes: &'bytes [u8]) -> Cow<'bytes, [u8]> {
        let Some(inner) = self.secrets.inner.clone() else { return Cow::Borrowed(bytes) };
        if !self.held.bytes.is_empty() {
            let mut all = std::mem::take(&mut self.held.bytes);
            all.extend_from_slice(bytes);
            return Cow::Owned(self.release(&inner, &all, false));
        }
        let (found, may_go_on) = inner.scan(bytes);
        if !found.is_empty() {
            return Cow::Owned(self.release(&inner, bytes, false));
        }
        if !may_go_on {
            self.held.is_masked &= bytes.is_empty();
            return Cow::Borrowed(bytes);
        }
        let decided = inner.unfinished(bytes);
        let shown = if is_shown(&bytes[decided..]) { bytes.len() } else { decided };
        self.held.is_masked &= shown == 0;
        self.held.bytes = bytes[decided..].to_vec();
        self.held.emitted = shown - decided;
        Cow::Borrowed(&bytes[..shown])
    }

    /// Ends the stream; returns what was held back.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(inner) = self.secrets.inner.clone() else { return Vec::new() };
        let all = std::mem::take(&mut self.held.bytes);
        self.release(&inner, &all, true)
    }

    fn release(&mut self, inner: &Inner, all: &[u8], is_end: bool) -> Vec<u8> {
        let (found, may_go_on) = inner.scan(all);
        let decided = if is_end || !may_go_on { all.len() } else { inner.unfinished(all) };
        let Held { emitted, mut is_masked, .. } = std::mem::take(&mut self.held);
        let (mut at, mut output) = (emitted, Vec::with_capacity(all.len()));
        for place in found.iter().take_while(|place| place.start < decided).filter(|place| place.end > emitted) {
            if place.start > at {
                output.extend_from_slice(&all[at..place.start]);
                is_masked = false;
            }
            // A secret that overlaps one that was masked is part of the same place.
            if !is_masked {
                output.extend_from_slice(inner.label(place.owner).as_bytes());
            }
            (at, is_masked) = (place.end, true);
        }
        let until = if is_shown(&all[decided..]) { all.len() } else { decided };
        if until > at {
            output.extend_from_slice(&all[at..until]);
            (at, is_masked) = (until, false);
        }
        self.held = Held { bytes: all[decided..].to_vec(), emitted: at - decided, is_masked };
        output
    }
}

/// Whether the beginning of a secret is passed on at once.
fn is_shown(unfinished: &[u8]) -> bool {
    let breaks = unfinished.iter().filter(|byte| is_break(**byte)).count();
    breaks > 0 && unfinished.len() - breaks <= SHOWN_BYTES_MAX
}
