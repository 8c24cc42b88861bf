//! The HTTP client for everything that a model, a tenant or a page can point somewhere.
//!
//! ```text
//! address -> Guard::parse -> connector: Guard::resolve_name -> connect to exactly these addresses
//!    ^        (literals)                 (once, all checked)
//!    '----- Location of a redirect, at most FETCH_REDIRECTS_MAX times
//! ```
//!
//! It must never read a proxy, a cookie or a credential from its surroundings, nor let reqwest follow a redirect.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, redirect};
use url::Url;

use super::error::{Denied, FetchError};
use super::fetch::{FetchRequest, FetchResponse};
use super::guard::{Guard, shown};
use super::policy::AddressPolicy;
use super::untrusted::one_line;
use crate::limits::{FETCH_CONNECT_TIMEOUT, FETCH_REDIRECTS_MAX};

/// The user name for a proxy of ours; the token is the password.
pub(crate) const PROXY_USER: &str = "orkestra";
/// Longest reason of a failed connection, bytes.
const REASON_BYTES_MAX: usize = 300;
/// Some servers refuse requests without one; an honest name lets the operators of a site decide.
const USER_AGENT: &str = concat!("Mozilla/5.0 (compatible; orkestra/", env!("CARGO_PKG_VERSION"), ")");
const ACCEPT_DEFAULT: HeaderValue = HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");

/// Gets a response from the web. Implemented by [`GuardedClient`]; tests implement it with pages of their own.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// Any [`FetchError`].
    async fn fetch(&self, request: FetchRequest) -> Result<FetchResponse, FetchError>;
}

/// An HTTP client that connects only to what its [`AddressPolicy`] allows. Cheap to clone.
///
/// Each host is resolved once per connection and all its addresses are checked; redirects are checked again. There are no
/// proxies, no cookies, no referrer, no credentials in addresses; sizes and times are limited. `docs/web.md` lists the tests.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use orkestra_tools::web::{AddressPolicy, Fetch, FetchError, FetchRequest, GuardedClient};
///
/// let client = GuardedClient::new(AddressPolicy::global())?;
/// let error = client.fetch(FetchRequest::get("http://169.254.169.254/latest/meta-data/")).await.unwrap_err();
/// assert!(matches!(error, FetchError::Denied(_)));
/// # Ok::<(), FetchError>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct GuardedClient {
    guard: Guard,
    http: Client,
}

impl GuardedClient {
    /// A client with the resolver of the system.
    ///
    /// # Errors
    /// [`FetchError::Setup`], for instance if the system has no root certificates.
    pub fn new(policy: AddressPolicy) -> Result<Self, FetchError> {
        Self::with_guard(Guard::new(policy))
    }

    /// A client with this guard.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_guard(guard: Guard) -> Result<Self, FetchError> {
        Self::build(guard, None)
    }

    /// A client that only checks addresses as text and leaves connections to a proxy of ours.
    pub(crate) fn through(guard: Guard, proxy: &str, token: &str) -> Result<Self, FetchError> {
        let proxy = reqwest::Proxy::all(proxy).map_err(|error| FetchError::Setup(innermost(&error)))?;
        Self::build(guard, Some(proxy.basic_auth(PROXY_USER, token)))
    }

    fn build(guard: Guard, proxy: Option<reqwest::Proxy>) -> Result<Self, FetchError> {
        let builder = Client::builder()
            .dns_resolver(Arc::new(Checked(guard.clone())))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(USER_AGENT)
            .connect_timeout(FETCH_CONNECT_TIMEOUT);
        let builder = proxy.into_iter().fold(builder, reqwest::ClientBuilder::proxy);
        let http = builder.build().map_err(|error| FetchError::Setup(innermost(&error)))?;
        Ok(Self { guard, http })
    }

    /// The guard.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Checks a base address and returns the client beneath, for libraries that need one (of models, of GitHub). It checks what
    /// names resolve to when it connects, and follows no redirect.
    ///
    /// IMPORTANT: use it for addresses below this base only. An IP address or another port in a URL is not checked by it.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] and [`FetchError::Denied`].
    pub fn client_for(&self, base: &str) -> Result<Client, FetchError> {
        self.guard.parse(base)?;
        Ok(self.http.clone())
    }

    async fn follow(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let mut url = self.guard.parse(&request.url)?;
        let mut headers = headers(&request)?;
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        for _ in 0..=FETCH_REDIRECTS_MAX {
            let mut hop = self.http.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &request.body {
                hop = hop.body(body.clone());
            }
            let response = hop.send().await.map_err(|error| failure(&url, &error))?;
            let follows = method == Method::GET && request.follows_redirects;
            let next = if follows { redirected(&url, &response) } else { None };
            let Some(next) = next else {
                return read(&url, response, request.bytes_max).await;
            };
            let next = self.guard.check_url(next?)?;
            if next.origin() != url.origin() {
                headers = HeaderMap::from_iter([(ACCEPT, ACCEPT_DEFAULT)]);
            }
            url = next;
        }
        Err(FetchError::Redirects { host: host(&url), limit: FETCH_REDIRECTS_MAX })
    }
}

#[async_trait]
impl Fetch for GuardedClient {
    async fn fetch(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let after = request.timeout;
        let url = self.guard.parse(&request.url)?;
        let response = tokio::time::timeout(after, self.follow(request)).await;
        response.unwrap_or_else(|_| Err(FetchError::TimedOut { host: host(&url), after }))
    }
}

/// The resolver beneath reqwest: what it returns is what is connected to. IP addresses in a URL do not pass here.
struct Checked(Guard);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses = guard.resolve_name(name.as_str(), None).await?;
            // Port 0 is replaced by the one of the URL.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn headers(request: &FetchRequest) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::from_iter([(ACCEPT, ACCEPT_DEFAULT)]);
    for (name, value) in &request.headers {
        let invalid = |reason: &str| FetchError::Invalid {
            url: shown(&request.url),
            reason: format!("the header `{}` {reason}", name.escape_default()),
        };
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid("has an invalid name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid("has an invalid value"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// Where a response redirects to, not yet checked.
fn redirected(from: &Url, response: &Response) -> Option<Result<Url, FetchError>> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    let location = String::from_utf8_lossy(location.as_bytes());
    Some(from.join(&location).map_err(|error| FetchError::Invalid {
        url: shown(&location),
        reason: format!("`{}` redirects to it: {error}", host(from)),
    }))
}

async fn read(url: &Url, mut response: Response, bytes_max: usize) -> Result<FetchResponse, FetchError> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
    let content_type = header(CONTENT_TYPE);
    let retry_after = header(RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    let status = response.status().as_u16();
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    let headers = response.headers().iter().filter_map(text).collect();
    let (mut body, mut is_complete) = (Vec::new(), true);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(url, &error))? {
        let kept = chunk.len().min(bytes_max - body.len());
        body.extend_from_slice(&chunk[..kept]);
        if kept < chunk.len() {
            is_complete = false;
            break;
        }
    }
    Ok(FetchResponse {
        url: url.to_string(),
        status,
        content_type,
        retry_after: retry_after.map(std::time::Duration::from_secs),
        body,
        is_complete,
        headers,
    })
}

fn failure(url: &Url, error: &reqwest::Error) -> FetchError {
    // The resolver's own error is somewhere below reqwest's.
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(below) = cause {
        if let Some(error) = below.downcast_ref::<FetchError>() {
            return error.clone();
        }
        if let Some(denied) = below.downcast_ref::<Denied>() {
            return denied.clone().into();
        }
        cause = below.source();
    }
    let what = match () {
        () if error.is_timeout() => "connecting timed out".to_owned(),
        () if error.is_decode() => format!("the response cannot be decoded: {}", innermost(error)),
        () if error.is_connect() => format!("cannot connect: {}", innermost(error)),
        () => innermost(error),
    };
    // Parts of it may be from the server: the names in its certificate.
    FetchError::Unreachable { host: host(url), reason: one_line(&what, REASON_BYTES_MAX) }
}

/// The last cause: reqwest's own text has the whole URL and says little.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}
