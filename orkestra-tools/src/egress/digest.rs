//! Digests of files as registries name them, and addresses that the proxy has signed.
//!
//! A file may be on any host that an index names. So that programs in the sandbox cannot ask for other addresses with the
//! registry's credentials, the proxy rewrites each link to one that carries a keyed hash of the address, and fetches no other.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::Url;
use sha2::Digest as _;

/// The first part of the path of a signed file.
pub(super) const FILES: &str = "_f";

const METADATA: &str = ".metadata";

/// What a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digest {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
}

impl Digest {
    /// From `sha256=<hex>`, in the fragment of a link to a Python package.
    pub(super) fn from_fragment(fragment: &str) -> Option<Self> {
        let digits = fragment.split('&').find_map(|part| part.strip_prefix("sha256="))?;
        Self::sha256(digits)
    }

    pub(super) fn sha256(digits: &str) -> Option<Self> {
        unhex(digits).filter(|bytes| bytes.len() == 32).map(Self::Sha256)
    }

    /// From `sha512-<base64>`, in the metadata of a Node package.
    pub(super) fn from_integrity(integrity: &str) -> Option<Self> {
        let text = integrity.split_whitespace().find_map(|part| part.strip_prefix("sha512-"))?;
        let bytes = BASE64_STANDARD.decode(text.split('?').next()?).ok()?;
        (bytes.len() == 64).then_some(Self::Sha512(bytes))
    }

    fn text(digest: Option<&Self>) -> String {
        match digest {
            None => "-".to_owned(),
            Some(Self::Sha256(bytes)) => format!("sha256-{}", hex(bytes)),
            Some(Self::Sha512(bytes)) => format!("sha512-{}", hex(bytes)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, digits) = text.split_once('-')?;
        let bytes = unhex(digits)?;
        match (kind, bytes.len()) {
            ("sha256", 32) => Some(Self::Sha256(bytes)),
            ("sha512", 64) => Some(Self::Sha512(bytes)),
            _ => None,
        }
    }
}

/// Compares a content with its digest, part by part.
pub(super) enum Check {
    Nothing,
    Sha256(sha2::Sha256, Vec<u8>),
    Sha512(sha2::Sha512, Vec<u8>),
}

impl Check {
    pub(super) fn new(digest: Option<Digest>) -> Self {
        match digest {
            None => Self::Nothing,
            Some(Digest::Sha256(expected)) => Self::Sha256(sha2::Sha256::new(), expected),
            Some(Digest::Sha512(expected)) => Self::Sha512(sha2::Sha512::new(), expected),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Sha256(hasher, _) => hasher.update(bytes),
            Self::Sha512(hasher, _) => hasher.update(bytes),
        }
    }

    pub(super) fn holds(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Sha256(hasher, expected) => hasher.finalize()[..] == expected[..],
            Self::Sha512(hasher, expected) => hasher.finalize()[..] == expected[..],
        }
    }
}

/// Signs addresses of files, and knows its signatures again.
pub(super) struct Signer {
    key: [u8; 32],
}

impl Signer {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The path, below that of the registry, under which the file is served. The address is in it as base64, because clients
    /// change how a path is encoded; its last part is the file's name, which clients read, and which decides nothing here.
    pub(super) fn path(&self, registry: &str, url: &Url, digest: Option<&Digest>) -> String {
        let mut plain = url.clone();
        plain.set_fragment(None);
        let digest = Digest::text(digest);
        let signature = self.signature(registry, plain.as_str(), &digest);
        let address = BASE64_URL_SAFE_NO_PAD.encode(plain.as_str());
        let name = plain.path().rsplit('/').next().unwrap_or_default();
        format!("{FILES}/{signature}/{digest}/{address}/{name}")
    }

    /// The address and digest of a path (what follows `_f/`) that [`Self::path`] has made for this registry.
    pub(super) fn open(&self, registry: &str, path: &str) -> Option<(Url, Option<Digest>)> {
        let mut parts = path.splitn(4, '/');
        let (signature, digest, address, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let address = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(address).ok()?).ok()?;
        if self.signature(registry, &address, digest) != signature {
            return None;
        }
        let mut url = Url::parse(&address).ok()?;
        // Beside a Python package lies its metadata, which has a digest of its own.
        if name.ends_with(METADATA) && !url.path().ends_with(METADATA) {
            url.set_path(&format!("{}{METADATA}", url.path()));
            return Some((url, None));
        }
        Some((url, Digest::parse(digest)))
    }

    /// Truncated to half, so that it cannot be extended.
    fn signature(&self, registry: &str, address: &str, digest: &str) -> String {
        let mut hasher = sha2::Sha256::new();
        hasher.update(self.key);
        for part in [registry, address, digest] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hex(&hasher.finalize()[..16])
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_opened() {
        let signer = Signer::new([7; 32]);
        let url = Url::parse("https://files.example.com:8443/a%20b/x-1.whl#sha256=00").expect("valid");
        let digest = Digest::sha256(&"ab".repeat(32));
        let path = signer.path("pip", &url, digest.as_ref());
        let path = path.strip_prefix("_f/").expect("the prefix");
        let (opened, found) = signer.open("pip", path).expect("ours");
        assert_eq!((opened.as_str(), found), ("https://files.example.com:8443/a%20b/x-1.whl", digest));
        let (metadata, none) = signer.open("pip", &format!("{path}.metadata")).expect("beside it");
        assert!(metadata.path().ends_with("x-1.whl.metadata") && none.is_none());
        let (before, name) = path.rsplit_once('/').expect("parts");
        let (front, address) = before.rsplit_once('/').expect("parts");
        let evil = BASE64_URL_SAFE_NO_PAD.encode("https://evil.example.com/x-1.whl");
        let other_digest = path.replace("abab", "abac");
        for forged in [
            &format!("{front}/{evil}/{name}"),
            &format!("{front}/A{address}/{name}"),
            &other_digest,
            &path[1..].to_owned(),
            &String::new(),
        ] {
            assert!(signer.open("pip", forged).is_none(), "{forged}");
        }
        assert!(signer.open("npm", path).is_none(), "another registry");
        assert!(Signer::new([8; 32]).open("pip", path).is_none(), "another key");
    }

    #[test]
    fn a_content_is_compared_with_its_digest() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut check = Check::new(Digest::from_fragment(&format!("egg=x&sha256={empty}")));
        check.update(b"");
        assert!(check.holds());
        let mut check = Check::new(Digest::sha256(empty));
        check.update(b"x");
        assert!(!check.holds());
        assert_eq!(Digest::from_integrity("sha1-abc"), None);
        let zeros = BASE64_STANDARD.encode([0; 64]);
        assert_eq!(Digest::from_integrity(&format!("sha1-x sha512-{zeros}")), Some(Digest::Sha512(vec![0; 64])));
    }
}
