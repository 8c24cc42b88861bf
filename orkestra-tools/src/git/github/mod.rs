//! GitHub, or a GitHub Enterprise server: where it is, and the token for it.
//!
//! The token is sent in the header `authorization` of requests to the two configured addresses, and nowhere else: redirects are not
//! followed. It must never be in an argument, an environment, a file, a log or an error; what is shown is masked besides.

mod answer;
mod names;
mod pulls;
mod tool;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

pub(super) use self::names::Place;
pub(super) use self::tool::CreatePr;
use crate::limits::SECRET_BYTES_MIN;
use crate::secrets::Secrets;
use crate::web::{Fetch, FetchError, FetchRequest, FetchResponse, GuardedClient};

/// The API and the git server of GitHub itself: <https://docs.github.com/rest>.
const API: &str = "https://api.github.com";
const GIT: &str = "https://github.com";
/// The version of the API that is used: <https://docs.github.com/rest/about-the-rest-api/api-versions>.
const API_VERSION: &str = "2022-11-28";

/// Why GitHub cannot be used as configured. Never contains the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GithubError {
    /// The token is not one.
    #[error(
        "cannot use the GitHub token: it {0}; set GITHUB_TOKEN to a token with write access to contents and pull requests"
    )]
    Token(&'static str),
    /// An address is not one.
    #[error("cannot use {url} for GitHub: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong and what is expected.
        reason: &'static str,
    },
}

/// Access to GitHub, for [`crate::ToolSet::with_github`]. Cheap to clone.
///
/// ```
/// use orkestra_tools::{Github, ToolSet};
/// use orkestra_tools::web::{AddressPolicy, GuardedClient};
///
/// let client = GuardedClient::new(AddressPolicy::global())?;
/// let github = Github::new(client, "ghp_0123456789abcdef")?.with_api_base("https://github.example/api/v3")?;
/// assert_eq!(github.git_base(), "https://github.example");
/// let tools = ToolSet::builtin().with_github(&github);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Github {
    client: Arc<dyn Fetch>,
    token: Arc<str>,
    secrets: Secrets,
    api: String,
    git: String,
}

impl Github {
    /// GitHub itself. A server with a private address needs a client whose policy allows it.
    ///
    /// # Errors
    /// [`GithubError::Token`] for a token that cannot be one.
    pub fn new(client: GuardedClient, token: &str) -> Result<Self, GithubError> {
        let token = token.trim();
        match token {
            "" => return Err(GithubError::Token("is empty")),
            _ if token.len() < SECRET_BYTES_MIN => return Err(GithubError::Token("is too short")),
            _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                return Err(GithubError::Token("contains a character that no token has"));
            }
            _ => {}
        }
        let basic = STANDARD.encode(format!("x-access-token:{token}"));
        let secrets = Secrets::new([("GITHUB_TOKEN", token), ("GITHUB_TOKEN", &basic)]);
        let secrets = secrets.map_err(|_| GithubError::Token("is too long"))?;
        Ok(Self { client: Arc::new(client), token: token.into(), secrets, api: API.to_owned(), git: GIT.to_owned() })
    }

    /// Another API, such as `https://github.example/api/v3` of GitHub Enterprise Server. The address of its git server follows
    /// from it; see [`Self::with_git_base`] where it does not.
    ///
    /// # Errors
    /// [`GithubError::Address`]: it must be an https address without credentials and query; http is for loopback only.
    pub fn with_api_base(mut self, base: &str) -> Result<Self, GithubError> {
        self.api = checked(base)?;
        self.git = git_base_of(&self.api);
        Ok(self)
    }

    /// Another git server, below which repositories are `OWNER/REPO.git`.
    ///
    /// # Errors
    /// As [`Self::with_api_base`].
    pub fn with_git_base(mut self, base: &str) -> Result<Self, GithubError> {
        self.git = checked(base)?;
        Ok(self)
    }

    /// The address of the API.
    #[must_use]
    pub fn api_base(&self) -> &str {
        &self.api
    }

    /// The address below which repositories are.
    #[must_use]
    pub fn git_base(&self) -> &str {
        &self.git
    }

    pub(super) fn git_url(&self, place: &Place, rest: &str) -> String {
        format!("{}/{}/{}.git/{rest}", self.git, place.owner, place.repo)
    }

    /// A request to the git server.
    pub(super) async fn git(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let basic = STANDARD.encode(format!("x-access-token:{}", self.token));
        // Some servers answer other programs with pages for people.
        let request = request.with_header("user-agent", concat!("git/2.40 (orkestra/", env!("CARGO_PKG_VERSION"), ")"));
        self.client.fetch(request.with_header("authorization", format!("Basic {basic}")).without_redirects()).await
    }

    /// A request to the API.
    async fn api(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let request = request
            .with_header("accept", "application/vnd.github+json")
            .with_header("x-github-api-version", API_VERSION)
            .with_header("authorization", format!("Bearer {}", self.token));
        self.client.fetch(request.without_redirects()).await
    }

    fn api_url(&self, place: &Place, rest: &str) -> String {
        format!("{}/repos/{}/{}{rest}", self.api, place.owner, place.repo)
    }
}

impl fmt::Debug for Github {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Github").field("api", &self.api).field("git", &self.git).finish_non_exhaustive()
    }
}

/// The address without a slash at its end.
fn checked(base: &str) -> Result<String, GithubError> {
    let invalid = |reason| GithubError::Address { url: crate::web::shown(base), reason };
    let url = Url::parse(base.trim())
        .map_err(|_| invalid("it is not a complete address such as https://github.example/api/v3"))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(invalid("it has no host")),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(invalid("a token is sent over https only; use an https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it has a user name or password in it; remove them"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment; remove it"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `https://HOST/api/v3` -> `https://HOST` (Enterprise Server); `https://api.NAME` -> `https://NAME` (github.com, ghe.com).
fn git_base_of(api: &str) -> String {
    if let Some(host) = api.strip_suffix("/api/v3") {
        return host.to_owned();
    }
    match api.strip_prefix("https://api.") {
        Some(host) => format!("https://{host}"),
        None => api.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::AddressPolicy;

    fn github(token: &str) -> Result<Github, GithubError> {
        Github::new(GuardedClient::new(AddressPolicy::global()).expect("a client"), token)
    }

    #[test]
    fn addresses_of_every_kind_of_server() {
        let table = [
            ("https://api.github.com", Ok(("https://api.github.com", "https://github.com"))),
            ("https://api.github.com/", Ok(("https://api.github.com", "https://github.com"))),
            ("https://git.corp.example/api/v3/", Ok(("https://git.corp.example/api/v3", "https://git.corp.example"))),
            ("https://api.octo.ghe.com", Ok(("https://api.octo.ghe.com", "https://octo.ghe.com"))),
            ("https://h.example:8443/api/v3", Ok(("https://h.example:8443/api/v3", "https://h.example:8443"))),
            ("http://127.0.0.1:80/api/v3", Ok(("http://127.0.0.1/api/v3", "http://127.0.0.1"))),
            ("http://localhost:8080", Ok(("http://localhost:8080", "http://localhost:8080"))),
            ("http://github.example", Err("https only")),
            ("http://localhost.example", Err("https only")),
            ("ftp://127.0.0.1/", Err("https only")),
            ("https://u:p@github.example", Err("user name")),
            ("https://github.example?x=1", Err("query")),
            ("https://github.example#x", Err("query")),
            ("github.example", Err("complete address")),
            ("", Err("complete address")),
        ];
        for (base, expected) in table {
            let made = github("ghp_0123456789").and_then(|github| github.with_api_base(base));
            match (made, expected) {
                (Ok(made), Ok(want)) => assert_eq!((made.api_base(), made.git_base()), want, "{base}"),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{base}: {error}"),
                (got, want) => panic!("{base}: {got:?}, expected {want:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused_and_a_token_is_never_shown() {
        for token in ["", "  ", "short", "with space inside", "line\nbreak-token", "größe-größe"] {
            let error = github(token).expect_err(token).to_string();
            assert!(token.trim().is_empty() || !error.contains(token.trim()) || token == "short", "{error}");
        }
        let github = github(" ghp_0123456789abcdef\n").expect("space around it is ignored");
        assert!(!format!("{github:?}").contains("ghp_"));
    }
}
