//! Serves what a mirror has: from the cache where that is right, else from the registry.
//!
//! An index page is used without asking while it is fresh, then confirmed. When the registry fails, an old page is better than
//! none. A file is passed on while it arrives, and kept only if it was complete, has the digest that the index named, and is
//! not a web page that stands where a file should be.

use std::io::{self, Write as _};
use std::sync::Arc;

use futures_util::stream;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use reqwest::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED};
use reqwest::{Method, Url};
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::arriving::{Arriving, Keep, warn_of};
use super::cache::{Description, Entry, key};
use super::digest::Digest;
use super::mirror::{DOWNLOADS, Kind, Mirror, Page, Target, download};
use super::proxy::Shared;
use super::reply::{self, Body, Refusal};
use super::upstream::Known;
use crate::limits::{EGRESS_FRESH_S_DEFAULT, EGRESS_FRESH_S_MAX, EGRESS_INDEX_BYTES_MAX};

/// Of what is in memory or on disk, this much is passed on at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A request for a path of a mirror.
pub(super) struct Wanted<'request> {
    pub(super) path: &'request str,
    pub(super) accept: &'request str,
    pub(super) is_head: bool,
}

/// Serves a path of the registry with this index.
pub(super) async fn serve(shared: &Arc<Shared>, index: usize, wanted: &Wanted<'_>) -> Result<Response<Body>, Refusal> {
    let fetch = Fetch { shared, index, mirror: shared.mirror(index) };
    let target = match wanted.path.strip_prefix(DOWNLOADS).and_then(|rest| rest.strip_prefix('/')) {
        Some(crate_path) => fetch.crate_target(crate_path).await?,
        None => fetch.mirror.target(wanted.path, wanted.accept),
    };
    let target = target.ok_or_else(|| {
        let (host, name) = (fetch.mirror.registry.host(), fetch.mirror.registry.ecosystem.name());
        let text = format!("the mirror of {host} has no such path; it serves what {name} needs to install packages");
        Refusal::failure(StatusCode::NOT_FOUND, host, text)
    })?;
    match target.kind {
        Kind::Index { accept, page } => Ok(fetch.index(&target.url, accept, page).await?.response(wanted.is_head)),
        Kind::File(digest) => fetch.file(&target.url, digest, wanted.is_head).await,
    }
}

/// An index page to be served.
enum Served {
    Kept(Entry),
    New { content: Vec<u8>, kind: String, permit: OwnedSemaphorePermit },
}

impl Served {
    fn response(self, is_head: bool) -> Response<Body> {
        match self {
            Self::Kept(entry) => from_disk(entry, is_head),
            Self::New { content, kind, .. } if is_head => reply::head(Some(&kind), Some(content.len() as u64)),
            Self::New { content, kind, permit } => {
                let length = content.len() as u64;
                // The permit is given back with the last piece: what clients are slow to read stays limited.
                let pieces = stream::unfold((Bytes::from(content), permit), |(mut left, permit)| async move {
                    let piece = left.split_to(left.len().min(PIECE_BYTES));
                    (!piece.is_empty()).then_some((Ok(piece), (left, permit)))
                });
                reply::streamed(pieces, Some(&kind), Some(length))
            }
        }
    }

    async fn content(self) -> Option<Vec<u8>> {
        match self {
            Self::Kept(entry) => tokio::task::spawn_blocking(move || entry.content()).await.ok()?.ok(),
            Self::New { content, .. } => Some(content),
        }
    }
}

struct Fetch<'proxy> {
    shared: &'proxy Arc<Shared>,
    index: usize,
    mirror: Mirror<'proxy>,
}

impl Fetch<'_> {
    /// Where a crate is: the index's own configuration says.
    async fn crate_target(&self, path: &str) -> Result<Option<Target>, Refusal> {
        let Some(Target { url, kind: Kind::Index { accept, .. } }) = self.mirror.target("index/config.json", "") else {
            return Ok(None);
        };
        let config = self.index(&url, accept, Page::AsItIs).await?.content().await;
        Ok(config.and_then(|config| download(&config, path)))
    }

    async fn index(&self, url: &Url, accept: &'static str, page: Page) -> Result<Served, Refusal> {
        // What is kept is what is served: preparing a page takes longer than fetching it.
        let key = key(&[self.mirror.prefix, self.mirror.registry.url(), url.as_str(), accept, &format!("{page:?}")]);
        let old = match self.kept(&key).await {
            Some(entry) if entry.is_fresh() => {
                self.count(true);
                return Ok(Served::Kept(entry));
            }
            old => old,
        };
        let permit = Arc::clone(&self.shared.preparing).acquire_owned().await;
        let permit = permit.map_err(|_| self.failed("the proxy is ending"))?;
        let known = old.as_ref().map_or_else(Known::default, |entry| Known {
            etag: entry.description.etag.clone(),
            last_modified: entry.description.last_modified.clone(),
        });
        let failure = match self.shared.upstream.ask(&Method::GET, url, accept, &known, self.mirror.registry).await {
            Err(reason) => self.failed(&reason),
            Ok((answer, _)) if answer.status().as_u16() == 304 => match (old, &self.shared.cache) {
                (Some(entry), Some(cache)) => {
                    cache.touch(&entry);
                    self.count(true);
                    return Ok(Served::Kept(entry));
                }
                _ => return Err(self.failed("it answered 304 to a request without conditions")),
            },
            Ok((answer, from)) if answer.status().is_success() => match self.receive(answer, from, page, &key).await {
                Ok((content, kind)) => return Ok(Served::New { content, kind, permit }),
                Err(reason) => self.failed(&reason),
            },
            Ok((answer, _)) => self.refused(answer.status()),
        };
        match old {
            // It may be old, but it was right once.
            Some(entry) if failure.status.is_server_error() => {
                tracing::warn!(registry = %self.mirror.registry.url(), reason = %failure.text, "using an index page of before");
                self.count(true);
                Ok(Served::Kept(entry))
            }
            _ => Err(failure),
        }
    }

    async fn kept(&self, key: &str) -> Option<Entry> {
        let (cache, key) = (Arc::clone(self.shared.cache.as_ref()?), key.to_owned());
        tokio::task::spawn_blocking(move || cache.get(&key)).await.ok().flatten()
    }

    /// Reads an index page, and keeps it if it is one.
    async fn receive(
        &self,
        answer: reqwest::Response,
        from: Url,
        page: Page,
        key: &str,
    ) -> Result<(Vec<u8>, String), String> {
        let is_delimited = check_answer(&answer, matches!(page, Page::PipHtml | Page::PipJson))?;
        let mut description = describe(&answer, &from);
        description.fresh_s = fresh_s(header(&answer, &CACHE_CONTROL).as_deref());
        let kind = description.content_type.clone().unwrap_or_default();
        let content = read(answer).await?;
        self.count(false);
        self.count_bytes(content.len() as u64);
        // IMPORTANT: it is understood before it is kept: what is not an index page must not be served again and again.
        let (shared, index) = (Arc::clone(self.shared), self.index);
        let prepare = move || shared.mirror(index).page(page, &from, content, &kind);
        let (served, kind) = tokio::task::spawn_blocking(prepare).await.map_err(|error| error.to_string())??;
        description.bytes = served.len() as u64;
        description.content_type = Some(kind.clone());
        if let (Some(cache), true) = (self.shared.cache.clone(), is_delimited) {
            let (key, content) = (key.to_owned(), served.clone());
            let keep = move || -> io::Result<()> {
                let mut file = cache.begin()?;
                file.write_all(&content)?;
                cache.commit(&key, file, &description)
            };
            warn_of(tokio::task::spawn_blocking(keep).await);
        }
        Ok((served, kind))
    }

    async fn file(&self, url: &Url, digest: Option<Digest>, is_head: bool) -> Result<Response<Body>, Refusal> {
        let key = key(&[self.mirror.prefix, self.mirror.registry.url(), url.as_str(), "file"]);
        if let Some(entry) = self.kept(&key).await {
            if let Some(cache) = &self.shared.cache {
                cache.touch(&entry);
            }
            self.count(true);
            return Ok(from_disk(entry, is_head));
        }
        let method = if is_head { Method::HEAD } else { Method::GET };
        let asked = self.shared.upstream.ask(&method, url, "*/*", &Known::default(), self.mirror.registry).await;
        let (answer, from) = asked.map_err(|reason| self.failed(&reason))?;
        if answer.status().as_u16() != 200 {
            return Err(self.refused(answer.status()));
        }
        let is_delimited = check_answer(&answer, false).map_err(|reason| self.failed(&reason))?;
        let description = describe(&answer, &from);
        // Of an answer without a content the client does not know it.
        let stated = header(&answer, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let length = if is_head { stated } else { answer.content_length() };
        self.count(false);
        let kind = description.content_type.clone();
        if is_head {
            return Ok(reply::head(kind.as_deref(), length));
        }
        self.count_bytes(length.unwrap_or(0));
        let keep = match self.shared.cache.clone().filter(|_| is_delimited) {
            Some(cache) => Keep::begin(cache, key, description).await,
            None => None,
        };
        let arriving = Arriving::new(answer, digest, keep);
        Ok(reply::streamed(arriving.stream(), kind.as_deref(), length))
    }

    fn count(&self, from_cache: bool) {
        self.shared.record.change(self.mirror.registry.host(), |used| {
            used.allowed += 1;
            used.from_cache += u64::from(from_cache);
        });
    }

    fn count_bytes(&self, bytes: u64) {
        self.shared.record.change(self.mirror.registry.host(), |used| used.bytes_received += bytes);
    }

    fn failed(&self, reason: &str) -> Refusal {
        let host = self.mirror.registry.host();
        let text = format!("the registry {host} did not serve this: {reason}; try again later, or ask a person");
        Refusal::failure(StatusCode::BAD_GATEWAY, host, text)
    }

    /// An answer that says no. That our credentials are wrong is not the agent's fault, and must not look like it.
    fn refused(&self, status: StatusCode) -> Refusal {
        let (host, code) = (self.mirror.registry.host(), status.as_u16());
        let (status, text) = match code {
            404 | 410 => (StatusCode::NOT_FOUND, format!("the registry {host} has no such package or file")),
            401 | 403 => (
                StatusCode::FORBIDDEN,
                format!("the registry {host} answered {code}: the operator's credentials do not cover this"),
            ),
            429 => (StatusCode::TOO_MANY_REQUESTS, format!("the registry {host} asks to wait; try again in a minute")),
            _ => return self.failed(&format!("it answered {code}")),
        };
        Refusal::failure(status, host, text)
    }
}

fn header(answer: &reqwest::Response, name: &HeaderName) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn describe(answer: &reqwest::Response, from: &Url) -> Description {
    Description {
        url: from.to_string(),
        content_type: header(answer, &CONTENT_TYPE),
        etag: header(answer, &ETAG),
        last_modified: header(answer, &LAST_MODIFIED),
        ..Description::default()
    }
}

/// Whether the end of the answer can be told from a broken connection: only then it may be kept. The error says that it is not
/// what was asked for.
fn check_answer(answer: &reqwest::Response, may_be_html: bool) -> Result<bool, String> {
    if header(answer, &CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err("it sent a compressed answer, which was not asked for".to_owned());
    }
    let kind = header(answer, &CONTENT_TYPE).unwrap_or_default();
    if !may_be_html && kind.starts_with("text/html") {
        return Err("it sent a web page instead (of a login or a firewall?)".to_owned());
    }
    let is_chunked = answer.headers().contains_key("transfer-encoding");
    Ok(answer.version() >= reqwest::Version::HTTP_2 || answer.content_length().is_some() || is_chunked)
}

/// How long an index page may be used, seconds: as the registry says, within limits.
fn fresh_s(cache_control: Option<&str>) -> u64 {
    let Some(directives) = cache_control else { return EGRESS_FRESH_S_DEFAULT };
    let directives: Vec<String> = directives.split(',').map(|one| one.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|one| matches!(one.as_str(), "no-cache" | "no-store")) {
        return 0;
    }
    let age = directives.iter().find_map(|one| one.strip_prefix("max-age=")?.parse().ok());
    age.map_or(EGRESS_FRESH_S_DEFAULT, |age: u64| age.min(EGRESS_FRESH_S_MAX))
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_| "its answer broke off".to_owned())? {
        if content.len() + piece.len() > EGRESS_INDEX_BYTES_MAX {
            return Err(format!("its index page is larger than {EGRESS_INDEX_BYTES_MAX} bytes"));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

fn from_disk(entry: Entry, is_head: bool) -> Response<Body> {
    let Entry { file, description: Description { content_type, bytes, .. }, .. } = entry;
    if is_head {
        return reply::head(content_type.as_deref(), Some(bytes));
    }
    let file = tokio::fs::File::from_std(file).take(bytes);
    let pieces = stream::try_unfold((file, bytes), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let count = file.read_buf(&mut piece).await? as u64;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(Some((Bytes::from(piece), (file, left - count))))
    });
    reply::streamed(pieces, content_type.as_deref(), Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_what_the_registry_says_within_limits() {
        for (header, expected) in [
            (None, EGRESS_FRESH_S_DEFAULT),
            (Some("public"), EGRESS_FRESH_S_DEFAULT),
            (Some("max-age=60, public"), 60),
            (Some("max-age=0"), 0),
            (Some("public, Max-Age=99999999"), EGRESS_FRESH_S_MAX),
            (Some("no-cache, max-age=60"), 0),
            (Some("max-age=x"), EGRESS_FRESH_S_DEFAULT),
        ] {
            assert_eq!(fresh_s(header), expected, "{header:?}");
        }
    }
}
