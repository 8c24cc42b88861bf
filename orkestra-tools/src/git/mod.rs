//! Git for agents: `git_init`, `git_status` and `github_create_pr`. `docs/git.md` says what is guarded and which test shows it.
//!
//! ```text
//! git_init, git_status -> run: a script in the sandbox, with configuration that no repository overrides -> parsed lines
//! github_create_pr -> push: a pack from the sandbox -> smart HTTP from this process -> github: pull request by REST
//!                                                      (GuardedClient, the token in a header)
//! ```
//!
//! The repository of a workspace is hostile input: its configuration, attributes and hooks name programs. It must never be opened
//! by git on the host, and the token must never be where commands are.

mod github;
mod init;
mod porcelain;
mod push;
mod run;
mod status;

use std::sync::Arc;

pub use self::github::{Github, GithubError};

use crate::tool::{Tool, typed};

/// The tools that need nothing from the embedder. `github_create_pr` among them says that it needs a token.
pub(crate) fn tools() -> Vec<Arc<dyn Tool>> {
    vec![typed(init::Init), typed(status::Status::default()), create_pr(None)]
}

pub(crate) fn create_pr(github: Option<Github>) -> Arc<dyn Tool> {
    typed(github::CreatePr(github))
}
