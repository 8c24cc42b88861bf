//! The half of a push that happens in the sandbox: what the branch is, and a pack of what the server does not have.
//!
//! Files go out through `.git/orkestra-push-*`, which are read with the workspace's own reader (no link out of it, no FIFO, a size
//! cap) and removed. After a crash they stay until a later push removes them.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::advertised::{Advertised, is_id};
use crate::error::ToolError;
use crate::git::run::{NO_REPOSITORY, Needs, quoted, run};
use crate::limits::{GIT_COMMIT_TIMEOUT, GIT_HAVES_MAX, GIT_PACK_BYTES_MAX, GIT_PROOF_BYTES_MAX, GIT_TIMEOUT};
use crate::scope::ToolScope;
use crate::tools::blocking;
use crate::web::one_line;
use crate::workspace::{Workspace, WorkspaceError};

/// A branch of the workspace.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) commit: String,
    /// Whether files differ from the last commit: they are not pushed.
    pub(super) is_dirty: bool,
}

/// Looks the branch up.
pub(super) async fn branch(scope: &ToolScope, name: &str) -> Result<Branch, ToolError> {
    let script = format!(
        "commit=$(git rev-parse -q --verify {reference}) || {{ git for-each-ref --count=10 --format='R %(refname:short)' refs/heads; exit 0; }}\n\
         echo \"H $commit\"\n\
         git --no-optional-locks status --porcelain --ignore-submodules=dirty --no-renames | head -n 1 | sed 's/.*/D dirty/'\n\
         exit 0\n",
        reference = quoted(&format!("refs/heads/{name}^{{commit}}")),
    );
    let printed = run(scope, Needs::Repository, &script, GIT_TIMEOUT).await?;
    let refused = |text: String| Err(ToolError::Refused(text));
    if printed.exit_code == NO_REPOSITORY {
        return refused("the workspace is not a git repository; call git_init, then commit on a branch".to_owned());
    }
    let Some(commit) = printed.with('H').next() else {
        let others: Vec<String> = printed.with('R').map(|name| format!("`{}`", one_line(name, 100))).collect();
        let others = if others.is_empty() { "there is no commit yet".to_owned() } else { others.join(", ") };
        return refused(format!(
            "there is no branch `{name}` in the workspace ({others}); make it with run_command `git switch -c {name}` and commit to it"
        ));
    };
    if !is_id(commit) {
        return refused(
            "the repository has no SHA-1 object names, which GitHub needs; make one with git_init".to_owned(),
        );
    }
    Ok(Branch { commit: commit.to_owned(), is_dirty: printed.with('D').next().is_some() })
}

/// Which of these commits the workspace has.
pub(super) async fn known(scope: &ToolScope, commits: &[&str]) -> Result<Vec<String>, ToolError> {
    let commits = &commits[..commits.len().min(GIT_HAVES_MAX)];
    let script = format!(
        "git cat-file --batch-check='K %(objectname) %(objecttype)' <<'IDS' || exit 128\n{}\nIDS\n",
        commits.join("\n")
    );
    let printed = run(scope, Needs::Repository, &script, GIT_TIMEOUT).await?;
    let known = printed.with('K').filter_map(|line| line.strip_suffix(" commit"));
    Ok(known.filter(|id| is_id(id)).map(str::to_owned).collect())
}

/// A pack of what `new` has and `haves` have not.
pub(super) async fn pack(
    scope: &ToolScope,
    server: &Advertised,
    new: &str,
    haves: &[String],
) -> Result<Vec<u8>, ToolError> {
    let thin = if server.can("no-thin") { "" } else { "--thin" };
    let offsets = if server.can("ofs-delta") { "--delta-base-offset" } else { "" };
    let without: String = haves.iter().map(|id| format!("^{id}\n")).collect();
    let make =
        format!("git pack-objects -q --revs --stdout {thin} {offsets} <<'REVISIONS'\n{new}\n{without}REVISIONS\n");
    let pack = file(scope, &make, GIT_PACK_BYTES_MAX).await.map_err(|error| match error {
        ToolError::Workspace(WorkspaceError::TooLarge { .. }) => ToolError::Refused(format!(
            "the commits to push have more than {} MiB, so nothing was pushed; remove large files from them, and add those to .gitignore",
            GIT_PACK_BYTES_MAX >> 20
        )),
        other => other,
    })?;
    if !pack.starts_with(b"PACK") {
        return Err(ToolError::Refused("git made no pack, so nothing was pushed; run_command `git fsck`".to_owned()));
    }
    Ok(pack)
}

/// The commits between the two, as `git cat-file --batch` prints them.
pub(super) async fn between(scope: &ToolScope, new: &str, old: &str) -> Result<Vec<u8>, ToolError> {
    let make = format!("git rev-list --ancestry-path {new} ^{old} | git cat-file --batch --buffer");
    file(scope, &make, GIT_PROOF_BYTES_MAX).await.map_err(|error| match error {
        ToolError::Workspace(WorkspaceError::TooLarge { .. }) => ToolError::Refused(
            "there are too many commits between the branch on GitHub and yours, so nothing was pushed; use another name as head"
                .to_owned(),
        ),
        other => other,
    })
}

/// Runs a command and reads what it printed, byte by byte as it is.
async fn file(scope: &ToolScope, make: &str, bytes_max: u64) -> Result<Vec<u8>, ToolError> {
    let name = format!(".git/orkestra-push-{:016x}", RandomState::new().build_hasher().finish());
    let file = Temporary { workspace: scope.workspace().clone(), name: name.clone() };
    let script = format!(
        "find .git -maxdepth 1 -name 'orkestra-push-*' -mmin +60 -exec rm -f {{}} + 2>/dev/null\n\
         set -C\numask 077\n{{\n{make}\n}} >{name} || exit 128\n"
    );
    run(scope, Needs::Repository, &script, GIT_COMMIT_TIMEOUT).await?;
    blocking(move || Ok(file.workspace.read_capped(&file.name, bytes_max)?)).await
}

/// Removes the file when it is dropped.
struct Temporary {
    workspace: Workspace,
    name: String,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.workspace.remove(&self.name);
    }
}
