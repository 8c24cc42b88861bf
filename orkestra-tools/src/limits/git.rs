//! The limits of the git tools: what a repository and a server may send.

use std::time::Duration;

/// Time for one look at a repository by git, after which it is killed. A status of 100,000 files takes seconds; a FIFO in the place
/// of a file that git reads takes for ever.
pub const GIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for adding and committing everything, or packing a push.
pub const GIT_COMMIT_TIMEOUT: Duration = Duration::from_secs(180);

/// Longest message of the first commit, bytes; a longer one is refused. A model writes a line.
pub const GIT_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Changed files that `git_status` names; the rest is counted. About 2,000 tokens.
pub const GIT_STATUS_ENTRIES_MAX: usize = 100;

/// Commits that `git_status` shows.
pub const GIT_COMMITS_SHOWN: usize = 5;

/// Lines of git that are kept in memory, bytes together; the rest is cut, and the answer says so.
pub const GIT_LINES_BYTES_MAX: usize = 1024 * 1024;

/// Largest pack that is pushed, bytes; a larger one is refused. It is in memory; source code compresses to a tenth of this.
pub const GIT_PACK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Commits that prove that a push loses nothing, bytes. A commit has about 300.
pub const GIT_PROOF_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Largest list of branches and tags that a git server may send, bytes; a longer one is refused.
pub const GIT_REFS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Branches of a git server; more are refused.
pub const GIT_REFS_MAX: usize = 50_000;

/// Commits of the server for which the sandbox is asked whether it has them. More would not fit into a command line, and a pack
/// that is a little too large does no harm.
pub const GIT_HAVES_MAX: usize = 256;

/// Time for sending a pack and for the report.
pub const GIT_PUSH_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest title of a pull request, characters: GitHub's own limit.
pub const GITHUB_TITLE_CHARS_MAX: usize = 256;

/// Longest body of a pull request, bytes: GitHub's own limit, of characters.
pub const GITHUB_BODY_BYTES_MAX: usize = 64 * 1024;
