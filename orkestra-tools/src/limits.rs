//! Every limit of this crate, each with the reason for its value. None is read from the environment.
//!
//! What exceeds a limit is either *refused* (an error that names the limit) or *cut* (the result says what is missing and how
//! to get it); each limit says which.

use std::time::Duration;

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

/// Largest `.gitignore` that is read, bytes; a larger one is ignored.
pub const GITIGNORE_BYTES_MAX: u64 = 64 * 1024;

/// Largest file that `copy_in` and `copy_out` copy, bytes: artifacts such as a test report, not data sets.
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

/// Largest single file a command may create, bytes (`RLIMIT_FSIZE`). The sum of all files is not limited: see docs/sandbox.md.
pub const SANDBOX_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Open files per process in a sandbox; node's watchers need more than the usual 1,024.
pub const SANDBOX_OPEN_FILES_MAX: u64 = 8192;

/// Problems of a call's arguments reported to the model at once; more would only bury the first.
pub const ARGUMENT_PROBLEMS_MAX: usize = 5;

/// Length of one such problem, bytes: validators quote the offending value, which may be a whole file.
pub const ARGUMENT_PROBLEM_BYTES_MAX: usize = 300;
