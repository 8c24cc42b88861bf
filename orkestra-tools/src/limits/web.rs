//! The limits of the web tools: pages, the browser and searches.

use std::time::Duration;

/// Longest web address that is fetched, bytes; longer ones are refused. Browsers and servers agree on about 8 KiB.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// Addresses of one host name that are considered. More have no use, and a hostile name server can return thousands.
pub const RESOLVED_ADDRESSES_MAX: usize = 32;

/// Redirects that one fetch follows; then it fails. Real chains have one to four.
pub const FETCH_REDIRECTS_MAX: u32 = 8;

/// Time of one fetch, including redirects and the body.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Time to resolve a name and connect to it.
pub const FETCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Body of one response that is kept, bytes after decompression; the rest is not read, and the response says so. Larger pages are
/// rarely text.
pub const FETCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Elements, texts and comments of one page; the rest is cut. Large pages have about 20,000, and each takes some 200 bytes.
pub const PAGE_NODES_MAX: usize = 200_000;

/// Time to parse one page; the rest is cut. Real pages take some 20 ms; some hostile ones take quadratic time in any parser.
pub const PAGE_PARSE_TIME: Duration = Duration::from_secs(2);

/// Text of a page in one answer, bytes; the rest comes with the next calls. About 8,000 tokens.
pub const PAGE_TEXT_BYTES_MAX: usize = 32 * 1024;

/// Text that `browser_navigate` and `browser_click` show of a page, bytes: enough to see what it is.
pub const PAGE_PREVIEW_BYTES_MAX: usize = 2 * 1024;

/// Links of a page that are listed; the rest is cut, and the answer says so.
pub const PAGE_LINKS_MAX: usize = 100;

/// Longest text or address of a listed link, bytes; longer texts are cut, and links with longer addresses are left out.
pub const PAGE_LINK_BYTES_MAX: usize = 500;

/// Longest CSS selector, bytes; longer ones are refused. Selectors that people write have less than 100.
pub const SELECTOR_BYTES_MAX: usize = 500;

/// Agents that have a page open at once; the page that was used least recently is closed. A page takes up to some 50 MB.
pub const BROWSER_SESSIONS_MAX: usize = 32;

/// How long a page that nobody uses stays open; the model then learns that no page is open. A browser takes some 300 MB.
pub const BROWSER_IDLE_MAX: Duration = Duration::from_secs(10 * 60);

/// Connections of one browser at once. Browsers open at most six to a host, and pages use tens of hosts.
pub const BROWSER_CONNECTIONS_MAX: usize = 128;

/// How long a page in a real browser may take to load. After that it is shown as it is.
pub const BROWSER_LOAD: Duration = Duration::from_secs(15);

/// How long a page in a real browser may take to answer a question about itself; then the browser is closed. Only a script that
/// never ends, or a page of hundreds of megabytes, takes so long.
pub const BROWSER_ANSWER: Duration = Duration::from_secs(8);

/// How long a page in a real browser may take to be complete before it is read as it is.
pub const BROWSER_SETTLE: Duration = Duration::from_secs(3);

/// How long a click has before the page is read, and the time between two attempts to read a page that is still loading.
pub const BROWSER_POLL: Duration = Duration::from_millis(200);

/// Largest screenshot that is kept, bytes; larger ones are refused. Models that see accept about 5 MB.
pub const SCREENSHOT_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Largest screenshot whose content is in the result as base64, bytes; of larger ones there is the file. Results are in the
/// journal, which must not hold megabytes.
pub const SCREENSHOT_INLINE_BYTES_MAX: usize = 48 * 1024;

/// Largest message of Chromium's that is read, bytes: a page's source in JSON, or a screenshot in base64. A larger one closes it.
#[cfg(all(unix, feature = "chromium"))]
pub(crate) const BROWSER_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Memory of each process of Chromium, bytes (`RLIMIT_DATA`), and of all together where a control group can be made.
#[cfg(all(unix, feature = "chromium"))]
pub(crate) const BROWSER_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Processes and threads of one Chromium where a control group can be made. A page with frames uses about 250.
#[cfg(all(unix, feature = "chromium"))]
pub(crate) const BROWSER_PROCESSES_MAX: u32 = 1024;

/// Largest file that Chromium may write, bytes (`RLIMIT_FSIZE`): its caches and storage.
#[cfg(all(unix, feature = "chromium"))]
pub(crate) const BROWSER_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Longest search query, bytes; longer ones are refused. Search engines cut at about this length.
pub const SEARCH_QUERY_BYTES_MAX: usize = 400;

/// Results of one search. A page of a search engine has about ten.
pub const SEARCH_RESULTS_MAX: usize = 10;

/// Longest title of a result, bytes; the rest is cut.
pub const SEARCH_TITLE_BYTES_MAX: usize = 200;

/// Longest snippet of a result, bytes; the rest is cut.
pub const SEARCH_SNIPPET_BYTES_MAX: usize = 500;

/// Time for one search engine; then the next one is asked.
pub const SEARCH_ENGINE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the results of a query are kept: agents of one run often ask the same within minutes.
pub const SEARCH_CACHE_TIME: Duration = Duration::from_secs(15 * 60);

/// Queries whose results are kept; the oldest are dropped. About 1 MB.
pub const SEARCH_CACHE_ENTRIES_MAX: usize = 256;

/// Failures in a row after which a search engine is left alone for [`SEARCH_PAUSE`]. A refusal counts at once.
pub const SEARCH_FAILURES_MAX: u32 = 3;

/// How long a search engine that failed or refused is left alone, if it names no time itself.
pub const SEARCH_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Longest time for which a search engine is left alone, whatever it asks for.
pub const SEARCH_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// The user and group of Chromium when this process is root. Not the one of commands, which could end it and read its profile.
#[cfg(all(unix, feature = "chromium"))]
pub(crate) const BROWSER_USER: u32 = 61_001;
