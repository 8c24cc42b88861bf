//! Every limit of the benchmark, with its reason.

use std::time::Duration;

/// The memory that a compiled pattern of a text check may take: a thousand times what usual ones take.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Files of a workspace that are graded. Ten times what the largest task needs; installed packages are not counted.
pub const DELIVERY_FILES_MAX: usize = 5_000;

/// Bytes of one file that is graded. Sources are smaller; a larger file is left out, which the report says.
pub const DELIVERY_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of all files that are graded: they are held in memory.
pub const DELIVERY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Directories below directories that are read.
pub const DELIVERY_DEPTH_MAX: usize = 64;

/// Hidden tests of one task.
pub const TESTS_MAX: usize = 200;

/// The time that the hidden tests of one task may ask for.
pub const TESTS_TIME_MAX: Duration = Duration::from_secs(1800);

/// Bytes of one request of the hidden tests: a file that they write, in base64.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Requests of the hidden tests of one task: one that asks in a loop must end.
pub const REQUESTS_MAX: usize = 100_000;

/// Bytes of what a command of the solution prints that the hidden tests get; the rest is cut off.
pub const STDOUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of what a command of the solution prints to its standard error that the hidden tests get.
pub const STDERR_BYTES_MAX: usize = 256 * 1024;

/// Connections to ports of the solution that one run of the hidden tests may have open.
pub const CONNECTIONS_MAX: usize = 256;

/// Characters of the detail of a failed test in a result.
pub const DETAIL_CHARACTERS_MAX: usize = 4_000;

/// Moments of a trial in a result: the first and the last are kept.
pub const MOMENTS_MAX: usize = 200;

/// Trials of one benchmark: each is a node of its run.
pub const TRIALS_MAX: usize = 2_000;

/// Lines of what another agent printed that are kept for the timeline: its last ones say how it ended.
pub const PEER_LINES_MAX: usize = 100;

/// Characters of such a line.
pub const PEER_LINE_CHARACTERS_MAX: usize = 300;

/// Bytes of the rest of its output that are read after it has ended: what a pipe holds, and more.
pub const PEER_REST_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of an objective for another agent: some take it as one argument, of which Linux allows 128 KiB.
pub const PEER_OBJECTIVE_BYTES_MAX: usize = 100 * 1024;

/// How long another agent may go on after a call of the model was refused because its tokens are used up: it may write a file
/// that it has in memory, and should not try for hours.
pub const PEER_GRACE: Duration = Duration::from_secs(10);
