//! The limits of MCP servers: what a stranger may send, and how often it is started.

use std::time::Duration;

/// MCP servers of one configuration; more are refused. Each is a process, and its tools cost tokens in every request.
pub const MCP_SERVERS_MAX: usize = 32;

/// Tools of one MCP server; the rest is left out with a warning. Providers accept about 128 tools in a request, and models choose
/// badly among more than a few dozen.
pub const MCP_TOOLS_MAX: usize = 128;

/// Pages of a list of tools that are read; the rest is left out with a warning.
pub const MCP_PAGES_MAX: usize = 64;

/// Largest message of an MCP server, bytes; a larger one ends the connection. A picture of 2 MiB in base64 fits.
pub const MCP_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that an MCP server may send while nothing, or only one call, is asked of it; more end the connection.
pub const MCP_NOISE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest description of a tool that a model reads, bytes; the rest is cut. The longest of the common servers has 2 KiB.
pub const MCP_DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// Largest schema of a tool of an MCP server, bytes, with its references resolved; a tool with a larger one is left out.
pub const MCP_SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// Deepest schema of a tool of an MCP server; a tool with a deeper one is left out.
pub const MCP_SCHEMA_DEPTH_MAX: usize = 32;

/// How long an MCP server may take to start and list its tools: `npx` and `uvx` may have to install it first.
pub const MCP_START_TIMEOUT: Duration = Duration::from_secs(120);

/// Time of a call of an MCP server's tool when its configuration gives none.
pub const MCP_CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// Longest time of a call that a configuration can give.
pub const MCP_CALL_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// How long a server that let a call time out may take to answer a ping, before it is ended as one that hangs.
pub const MCP_PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How often in a row an MCP server is started again without having answered a call; then it is down.
pub const MCP_RESTARTS_MAX: u32 = 3;

/// The pause before the first of these starts; it doubles with each.
pub const MCP_RESTART_PAUSE: Duration = Duration::from_millis(500);

/// How long a server that is down is left alone.
pub const MCP_DOWN_PAUSE: Duration = Duration::from_secs(600);

/// How often one connection may change its list of tools; later changes are ignored with a warning.
pub const MCP_CHANGES_MAX: u32 = 20;

/// The pause before a changed list is read, in which further changes are the same one.
pub const MCP_CHANGE_PAUSE: Duration = Duration::from_millis(500);

/// Messages that wait in one direction of a connection; both ends wait when it is full.
pub const MCP_QUEUE_MAX: usize = 64;

/// Text that `read_mcp_answer` returns in one call, bytes; the rest is cut, and the answer says how to read on.
pub const MCP_READ_BYTES_MAX: usize = 32 * 1024;
