//! A package registry: where it is, who we are there, and the public ones that are used when nothing is configured.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::EgressError;
use super::address::Trust;

/// A kind of package registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ecosystem {
    /// Python packages: a "simple" index, for pip and uv.
    Pip,
    /// Node packages.
    Npm,
    /// Rust crates: a sparse index.
    Cargo,
    /// Debian packages: one archive.
    Apt,
}

impl Ecosystem {
    /// The name of its client, which is the first part of its paths on the proxy.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Cargo => "cargo",
            Self::Apt => "apt",
        }
    }
}

/// A registry of the public, as its client knows it without any configuration.
struct Public {
    ecosystem: Ecosystem,
    base: &'static str,
    /// Further hosts that its files are on.
    files: &'static [&'static str],
    suites: &'static [&'static str],
}

/// The public registries. Sources: pip's `--index-url`, npm's `registry`, cargo's `registry.crates-io`, and `sources.list(5)`
/// of the distribution that `docker/sandbox/` installs; the hosts of files are those that their indexes name.
const PUBLIC: [Public; 5] = [
    Public {
        ecosystem: Ecosystem::Pip,
        base: "https://pypi.org/simple/",
        files: &["https://files.pythonhosted.org/"],
        suites: &[],
    },
    Public { ecosystem: Ecosystem::Npm, base: "https://registry.npmjs.org/", files: &[], suites: &[] },
    Public {
        ecosystem: Ecosystem::Cargo,
        base: "https://index.crates.io/",
        files: &["https://static.crates.io/"],
        suites: &[],
    },
    Public {
        ecosystem: Ecosystem::Apt,
        base: "http://deb.debian.org/debian/",
        files: &[],
        suites: &["bookworm", "bookworm-updates"],
    },
    Public {
        ecosystem: Ecosystem::Apt,
        base: "http://deb.debian.org/debian-security/",
        files: &[],
        suites: &["bookworm-security"],
    },
];

/// Who we are at a registry. Sent to the registry's own origin only; never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A value of the header `Authorization: Bearer`.
    Bearer(String),
    /// A whole value of the header `Authorization`, as cargo's registries want it.
    Raw(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(hidden)")
    }
}

/// A package registry that the proxy mirrors, read-only.
///
/// ```
/// use orkestra_tools::egress::{Ecosystem, Registry};
///
/// let mirror = Registry::new(Ecosystem::Pip, "https://ci:secret@packages.example.com/root/pypi/+simple")?;
/// assert_eq!(mirror.url(), "https://packages.example.com/root/pypi/+simple/");
/// assert!(!format!("{mirror:?}").contains("secret"));
/// # Ok::<(), orkestra_tools::egress::EgressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    pub(super) ecosystem: Ecosystem,
    /// Ends with a slash; has no user, query or fragment.
    pub(super) base: Url,
    /// Further places of files, which may be private as the registry itself.
    pub(super) files: Vec<Url>,
    pub(super) credentials: Option<Credentials>,
    /// npm: the scope that is served, such as `@company`; `None` for everything else.
    pub(super) scope: Option<String>,
    /// apt: the suites of the archive.
    pub(super) suites: Vec<String>,
}

impl Registry {
    /// A registry at this address, which may hold a user and a password. For pip the address of the simple index, for cargo of
    /// the sparse index (with or without `sparse+`), for apt of the archive (the part before `dists/`).
    ///
    /// # Errors
    /// When it is not an `http` or `https` address with a host.
    pub fn new(ecosystem: Ecosystem, address: &str) -> Result<Self, EgressError> {
        let (mut base, credentials) = parse(address.strip_prefix("sparse+").unwrap_or(address))
            .map_err(|reason| EgressError::Registry { ecosystem: ecosystem.name(), reason })?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut registry = Self { ecosystem, base, files: Vec::new(), credentials, scope: None, suites: Vec::new() };
        let known = PUBLIC.iter().find(|known| known.ecosystem == ecosystem && registry.base.as_str() == known.base);
        if let Some(known) = known {
            registry.files = known.files.iter().filter_map(|files| Url::parse(files).ok()).collect();
            registry.suites = known.suites.iter().map(|suite| (*suite).to_owned()).collect();
        }
        Ok(registry)
    }

    /// The public registries of all ecosystems, which is what their clients use when they are not configured.
    #[must_use]
    pub fn public() -> Vec<Self> {
        let known = PUBLIC.iter().map(|known| Self::new(known.ecosystem, known.base));
        known.map(|registry| registry.expect("the table holds valid addresses; a test reads it")).collect()
    }

    /// Sets who we are there.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Adds a place of its files, which may have a private address and plain `http`. Files on the registry's own host need no
    /// such line, nor do those on hosts with global addresses that its index names.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_files(mut self, address: &str) -> Result<Self, EgressError> {
        let (files, _) =
            parse(address).map_err(|reason| EgressError::Registry { ecosystem: self.ecosystem.name(), reason })?;
        self.files.push(files);
        Ok(self)
    }

    /// Serves only one scope of npm, such as `@company`.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the suites of an apt archive, such as `bookworm`.
    #[must_use]
    pub fn with_suites<T: Into<String>>(mut self, suites: impl IntoIterator<Item = T>) -> Self {
        self.suites = suites.into_iter().map(Into::into).collect();
        self
    }

    /// Its kind.
    #[must_use]
    pub fn ecosystem(&self) -> Ecosystem {
        self.ecosystem
    }

    /// Its address, without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// Its host.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The hosts that it needs, each with its trust: the operator named them.
    pub(super) fn trusted(&self) -> impl Iterator<Item = (String, Trust)> {
        let hosts = std::iter::once(&self.base).chain(&self.files).filter_map(Url::host_str);
        hosts.map(|host| (host.to_owned(), if is_loopback(host) { Trust::OperatorLoopback } else { Trust::Operator }))
    }

    /// The address of a clean path below the base.
    pub(super) fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    /// Whether the address is on the registry's own origin, which alone gets the credentials.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// An `http` address without user, query and fragment, and the credentials that it held. The reason never holds the address,
/// which may have a password in it.
fn parse(address: &str) -> Result<(Url, Option<Credentials>), String> {
    let mut url = Url::parse(address.trim()).map_err(|error| format!("its address is not a URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("its address begins with `{}:`; give one that begins with https:", url.scheme()));
    }
    let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
    let password = url.password().map(decoded);
    let credentials = match (decoded(url.username()), password) {
        (user, None) if user.is_empty() => None,
        (user, password) => Some(Credentials::Basic { user, password: password.unwrap_or_default() }),
    };
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| "its address has no host".to_owned())?;
    url.set_query(None);
    url.set_fragment(None);
    Ok((url, credentials))
}

/// `None` when a `%` is not followed by two digits, or when the text is not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_table_is_valid() {
        assert_eq!(Registry::public().len(), PUBLIC.len());
        assert_eq!(Registry::public()[0].trusted().count(), 2);
    }

    #[test]
    fn credentials_leave_the_address_and_are_never_shown() {
        let registry = Registry::new(Ecosystem::Npm, "https://me:p%40ss@npm.example.com/a?x#y").expect("valid");
        assert_eq!(registry.url(), "https://npm.example.com/a/");
        let expected = Credentials::Basic { user: "me".to_owned(), password: "p@ss".to_owned() };
        assert_eq!(registry.credentials, Some(expected));
        assert!(!format!("{registry:?}").contains("p@ss"));
        for address in ["ftp://me:p@x/", "me:p@ss", "https://me:pass@", "", "file:///etc/passwd"] {
            let error = Registry::new(Ecosystem::Npm, address).expect_err(address).to_string();
            assert!(!error.contains("pass"), "{error}");
        }
    }
}
