//! Random keys and ids, and their hashes for storage.

use sha2::{Digest, Sha256};

use super::error::ApiError;

/// `BYTES` random bytes from the operating system, as hexadecimal digits.
#[expect(clippy::disallowed_methods, reason = "keys must be random; the engine decides nothing by them")]
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, ApiError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(&error))?;
    Ok(hex(&bytes))
}

/// The SHA-256 of the parts and their lengths, as hexadecimal digits.
///
/// It is sufficient for API keys, because random keys cannot be guessed. Passwords need argon2.
pub(crate) fn fingerprint(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["ab"]).len(), 64);
    }

    #[test]
    fn chance_is_not_twice_the_same() {
        let (one, other) = (random_hex::<16>().expect("chance"), random_hex::<16>().expect("chance"));
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
