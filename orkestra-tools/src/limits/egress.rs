//! The limits of the way out of a sandbox: what its clients and registries may send.

use std::time::Duration;

/// Connections of one sandbox to its egress proxy. npm opens 15, uv up to 50; more wait.
pub const EGRESS_CONNECTIONS_MAX: usize = 128;

/// Largest head of a request to the egress proxy, bytes; a larger one is refused. Ten times what package managers send.
pub const EGRESS_HEAD_BYTES_MAX: usize = 32 * 1024;

/// Largest first message of TLS in a tunnel, bytes. With keys for post-quantum exchanges it has about 2 KiB.
pub const EGRESS_HELLO_BYTES_MAX: usize = 32 * 1024;

/// How long the egress proxy waits for a connection, a request's head, or the beginning of TLS.
pub const EGRESS_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a registry or a tunnel may be silent before its connection is closed. Long enough for a mirror that fetches a
/// package only when it is asked.
pub const EGRESS_SILENCE_MAX: Duration = Duration::from_secs(120);

/// Redirects of a registry that are followed. Mirrors use one or two.
pub const EGRESS_REDIRECTS_MAX: usize = 5;

/// Largest index page that is read, bytes; a larger one is refused. The largest of npm have about 30 MB.
pub const EGRESS_INDEX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Index pages that one proxy fetches and prepares at the same time; more wait. Each may take ten times its size in memory.
pub const EGRESS_PREPARED_MAX: usize = 4;

/// Largest file of a registry that is passed on, bytes; the rest is cut, and the client reports it. The largest wheels have 3 GB.
pub const EGRESS_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// What the package cache of one namespace keeps by default, bytes; the least recently used is removed first.
pub const EGRESS_CACHE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// How long an index page is used without asking when the registry does not say, seconds. npm's own says 300.
pub const EGRESS_FRESH_S_DEFAULT: u64 = 300;

/// The longest time that an index page is used without asking, whatever the registry says, seconds: a new version of a package
/// should be found within the hour.
pub const EGRESS_FRESH_S_MAX: u64 = 3600;

/// Hosts that the record of a sandbox counts by name; the others are counted together. A program can invent any number.
pub const EGRESS_HOSTS_MAX: usize = 256;

/// Refusals of which the text is kept for the output of the command that caused them; the oldest is dropped first.
pub const EGRESS_REFUSALS_MAX: usize = 100;

/// Refusals that are shown below the output of one command; the rest is counted.
pub const EGRESS_REFUSALS_SHOWN_MAX: usize = 5;

/// Largest configuration file of a package manager that is read, bytes; a larger one is reported and ignored.
pub const EGRESS_SETTINGS_BYTES_MAX: u64 = 1024 * 1024;

/// Largest request to the model behind a gateway, bytes; a larger one is refused. A context of a million tokens has about 4 MB.
pub const EGRESS_MODEL_REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest answer of a model that is read for its usage when it is not streamed, bytes. Of a larger one the usage is unknown.
pub const EGRESS_MODEL_ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Calls of a model at the same time through one gateway; more wait. Agents make one, or a few for parts of their work.
pub const EGRESS_MODEL_CALLS_MAX: usize = 8;

/// How long a model may be silent before its connection is closed. One on an ordinary processor reads a long prompt for minutes.
pub const EGRESS_MODEL_SILENCE_MAX: Duration = Duration::from_secs(600);
