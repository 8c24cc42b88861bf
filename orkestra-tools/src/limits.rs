//! Every limit of this crate, each with the reason for its value. None is read from the environment.
//!
//! What exceeds a limit is either *refused* (an error that names the limit) or *cut* (the result says what is missing and how
//! to get it); each limit says which.

mod egress;
mod git;
mod mcp;
mod web;

use std::time::Duration;

pub use egress::*;
pub use git::*;
pub use mcp::*;
pub use web::*;

/// Longest path that a tool accepts, bytes. `PATH_MAX` of Linux; longer ones fail in the kernel with an unhelpful message.
pub const PATH_BYTES_MAX: usize = 4096;

/// Largest file `write_file` writes, bytes; larger ones are refused. Ten times the largest source file seen in practice, and
/// small enough that the call fits in a model's output and in a journal.
pub const WRITE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Largest file that is read into memory, bytes; larger ones are refused with a hint to use a command.
pub const READ_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Text that `read_file` returns in one call, bytes; the rest is cut and the answer says at which line to continue. About
/// 16,000 tokens: a larger answer would push the plan out of small context windows.
pub const READ_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Lines that `read_file` returns when the model gives no limit.
pub const READ_LINES_DEFAULT: u64 = 2000;

/// Files that `list_files` lists; the rest is cut, and the answer says so. About 30,000 tokens of paths at worst.
pub const LIST_FILES_MAX: usize = 2000;

/// Directory entries that one listing visits. A hostile command can create millions; the walk must end in about a second.
pub const LIST_VISITS_MAX: usize = 50_000;

/// Depth of directories that a listing visits. Deeper trees are machine-made, and each level holds an open directory.
pub const LIST_DEPTH_MAX: usize = 64;

/// Directory entries that one search visits; the rest is cut, and the answer says so. Ten large repositories; a hostile command
/// can create millions.
pub const SEARCH_VISITS_MAX: usize = 500_000;

/// Bytes that one search reads; the rest is cut, and the answer says so. A search must end in seconds: a hostile command can
/// create sparse files of terabytes.
pub const SEARCH_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Threads of one search. More would only wait for the same disk, and several agents search at once.
pub const SEARCH_THREADS_MAX: usize = 4;

/// Longest pattern of `grep` and `glob`, bytes; a longer one is refused. It compiles in milliseconds.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Memory of a compiled regular expression, bytes; one that needs more is refused. The usual limit of ripgrep is 100 MB, which a
/// pattern like `(a{1000}){1000}` takes seconds to fill.
pub const PATTERN_SIZE_MAX: usize = 10 * 1024 * 1024;

/// Matching lines, or files, that `grep` shows when the model gives no limit.
pub const GREP_LIMIT_DEFAULT: usize = 100;

/// Largest limit of `grep`. An answer of [`GREP_TEXT_BYTES_MAX`] bytes rarely has more lines.
pub const GREP_LIMIT_MAX: usize = 1000;

/// Largest offset of `grep`; a search with more matches needs a narrower pattern.
pub const GREP_OFFSET_MAX: usize = 100_000;

/// Lines of context before and after each match of `grep`; whole files are for `read_file`.
pub const GREP_CONTEXT_MAX: usize = 20;

/// Length of a line in an answer of `grep`, bytes; longer ones are cut around the match. Minified files have lines of megabytes.
pub const GREP_LINE_BYTES_MAX: usize = 300;

/// Text of an answer of `grep`, bytes; the rest is cut, and the answer says how to read on. About 8,000 tokens.
pub const GREP_TEXT_BYTES_MAX: usize = 32 * 1024;

/// Files that `glob` lists; the rest is counted.
pub const GLOB_FILES_MAX: usize = 500;

/// Files that one patch changes; more are refused. Each is read and written as a whole.
pub const PATCH_FILES_MAX: usize = 100;

/// Bytes of the files that one patch changes, before the change; more are refused. They are in memory at the same time.
pub const PATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Hunks of one patch; more are refused. Each is searched for in its file.
pub const PATCH_HUNKS_MAX: usize = 500;

/// `@@` lines before one hunk that narrow its place; more are refused.
pub const PATCH_HEADINGS_MAX: usize = 8;

/// Files, and hunks of one file, whose problems are reported when a patch does not apply; each shows some lines.
pub const PATCH_PROBLEMS_MAX: usize = 5;

/// Largest `.gitignore` that is read, bytes; a larger one is ignored.
pub const GITIGNORE_BYTES_MAX: u64 = 64 * 1024;

/// Largest file that `copy_in` and `copy_out` copy, bytes: artifacts such as a test report, not data sets. and `copy_out` copy, bytes: artifacts such as a test report, not data sets.
pub const COPY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Longest command line, bytes. Linux limits one argument to 128 KiB (`MAX_ARG_STRLEN`).
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Default timeout of a command: enough for a test suite or `npm install` of a small project.
pub const COMMAND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// Longest timeout that a command can have; less than the 30 minutes of an agent's node.
pub const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(20 * 60);

/// How long buffered output is still read after a command was killed or has ended.
pub const DRAIN: Duration = Duration::from_secs(2);

/// Timeout of one internal operation of a sandbox (kill, probe, start).
pub const MACHINERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Processes of one agent that run at the same time (`start_process`): a server, a database, a watcher and a worker, twice.
pub const PROCESSES_MAX: usize = 8;

/// Ended processes of one agent that can still be read; the oldest are forgotten first.
pub const PROCESSES_KEPT_MAX: usize = 16;

/// Longest name of a process, bytes: a word such as `server`.
pub const PROCESS_ID_BYTES_MAX: usize = 40;

/// Output kept of a running process, bytes: the last requests and the last error of a server.
pub const PROCESS_TAIL_BYTES: usize = 16 * 1024;

/// How long `start_process` waits for an early end: interpreters start within a second, and a port in use shows by then.
pub const PROCESS_SETTLE: Duration = Duration::from_secs(1);

/// Piped commands of one sandbox that run at the same time: the servers of some tools, and a relay for each connection that a
/// browser keeps open (six to a host).
pub const PIPES_MAX: usize = 64;

/// Bytes on their way between a piped command and its caller, in each direction; both wait when it is full.
pub const PIPE_BUFFER_BYTES: usize = 64 * 1024;

/// How long a piped command may go on after its input was closed: a server that speaks over it ends by itself then.
pub const PIPE_GRACE: Duration = Duration::from_secs(3);

/// Rounds of the search for the processes of a local command. Each kills all that it finds, and none that it found can fork,
/// so a second one nearly always finds nothing; root's can fork, and a bomb of theirs takes dozens.
pub(crate) const SWEEP_ROUNDS_MAX: u32 = 500;

/// Pause between two rounds: a killed process needs about this long to go.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// Output kept from the beginning of a command, bytes: it has the command line, the versions and the first error.
pub const OUTPUT_HEAD_BYTES: usize = 16 * 1024;

/// Output kept from the end of a command, bytes: test runners print their summary there.
pub const OUTPUT_TAIL_BYTES: usize = 32 * 1024;

/// Output of one command kept in its artifact file, bytes; the rest is dropped and the file says so.
pub const OUTPUT_WHOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest line, bytes: a longer one is split. Otherwise a command that prints no newline would fill the memory.
pub const OUTPUT_LINE_BYTES_MAX: usize = 8 * 1024;

/// Lines of one command that are streamed to an observer, which may write each to the journal; the rest is only captured.
pub const STREAM_LINES_MAX: u64 = 2000;

/// Artifact files of command outputs kept per agent; the oldest are deleted first.
pub const ARTIFACT_FILES_MAX: usize = 100;

/// Processes and threads in one sandbox. A node test run uses about 60; a fork bomb must not reach the host's limit.
pub const SANDBOX_PROCESSES_MAX: u32 = 512;

/// Memory of one sandbox, bytes: node with a bundler needs 1 to 2 GiB.
pub const SANDBOX_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// CPU of one sandbox, thousandths of a core, shared by the agents of a run that work in parallel.
pub const SANDBOX_CPU_MILLIS: u32 = 2000;

/// Size of each memory-backed scratch directory (`/tmp`, home) of a container, bytes; it counts against the memory limit.
pub const SANDBOX_SCRATCH_BYTES: u64 = 512 * 1024 * 1024;

/// Files in each of them: the kernel's memory for one is about 1 KiB, and half of the machine's would be theirs by default.
pub const SANDBOX_SCRATCH_FILES_MAX: u64 = 200_000;

/// Largest single file a command may create, bytes (`RLIMIT_FSIZE`).
pub const SANDBOX_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What a workspace may take of the disk, bytes: a build of a large Rust or C++ project takes 2 to 5 GiB.
pub const WORKSPACE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Files, directories and links that a workspace may have. A large JavaScript project has 100,000 in `node_modules`.
pub const WORKSPACE_FILES_MAX: u64 = 500_000;

/// How often the space that a command takes is looked at. A disk takes about 100 MB meanwhile.
pub const DISK_LOOK: Duration = Duration::from_millis(100);

/// The same, when a limit is near.
pub const DISK_LOOK_NEAR: Duration = Duration::from_millis(10);

/// The longest time between two measurements of a workspace in which something is written, unless they are slow.
pub const DISK_MEASURE: Duration = Duration::from_secs(5);

/// The pause between two measurements, in terms of what the last one took: 5 percent of one processor.
pub const DISK_MEASURE_SHARE: u32 = 20;

/// What a command may write beyond the limit, bytes, when the workspace is full as it starts: enough to move things around while
/// it frees space.
pub const DISK_SLACK_BYTES: u64 = 16 * 1024 * 1024;

/// The same for files.
pub const DISK_SLACK_FILES: u64 = 1000;

/// Open files per process in a sandbox; node's watchers need more than the usual 1,024.
pub const SANDBOX_OPEN_FILES_MAX: u64 = 8192;

/// Lines of a file that an error shows when an edit does not apply: about a screen.
pub const NEAREST_LINES_MAX: usize = 20;

/// Length of such a line, bytes; longer ones are cut.
pub const NEAREST_LINE_BYTES_MAX: usize = 200;

/// Lines at the beginning of a file that are compared to find them: comparing all lines of a file of 16 MiB takes seconds.
pub const NEAREST_SCAN_LINES_MAX: usize = 20_000;

/// Largest arguments of a call, bytes in all: enough for a file of [`WRITE_BYTES_MAX`] bytes in a patch. Larger ones are refused
/// before they are validated, because validating 10 MB costs more than they are worth.
pub const ARGUMENTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Problems of a call's arguments reported to the model at once; the rest is counted. Every tool has fewer arguments.
pub const ARGUMENT_PROBLEMS_MAX: usize = 25;

/// Shortest secret that is masked, bytes. Shorter values occur in ordinary text, which masking would make unreadable.
pub const SECRET_BYTES_MIN: usize = 8;

/// Longest secret, bytes: a private key of 8192 bits in PEM has 6.4 KB. What cannot be yet decided is held back, at most three
/// times as much.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Secrets of one run. A run uses a handful; each has about ten forms that are searched for.
pub const SECRETS_MAX: usize = 256;

/// Texts of one call that are judged as possible paths, where a tool does not say which are. A call with more is one with data.
pub const POLICY_GUESSES_MAX: usize = 256;

/// Rules of a policy. Each part of a command line is matched against each rule.
pub const POLICY_RULES_MAX: usize = 500;

/// Longest text in a policy, bytes: a command, a glob, an example, a reason.
pub const POLICY_TEXT_BYTES_MAX: usize = 4096;

/// Length of one such problem, bytes: validators quote the offending value, which may be a whole file.
pub const ARGUMENT_PROBLEM_BYTES_MAX: usize = 300;

/// The user and group that run commands when the workspace belongs to root. Outside of the ranges that Debian and systemd give
/// to users and services, so that it has no rights on the host; the image names it `agent`.
pub const SANDBOX_USER: u32 = 61_000;
