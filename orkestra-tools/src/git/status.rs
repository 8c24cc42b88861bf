//! `git_status`: what is not committed, and the last commits. `data` is `{repository, branch, commit, upstream, ahead, behind, changes:
//! [{state, path}], changes_total, is_cut, commits: [{id, date, author, subject}]}`; without a repository `{repository: false}`.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::porcelain::{self, State};
use super::run::{NO_REPOSITORY, Needs, run};
use crate::error::ToolError;
use crate::limits::{GIT_COMMITS_SHOWN, GIT_STATUS_ENTRIES_MAX, GIT_TIMEOUT};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

pub(super) struct Status {
    time: Duration,
}

impl Default for Status {
    fn default() -> Self {
        Self { time: GIT_TIMEOUT }
    }
}

#[async_trait]
impl TypedTool for Status {
    type Arguments = Arguments;
    const NAME: &'static str = "git_status";
    const DESCRIPTION: &'static str =
        "Show the branch, the files that are not committed, and the last 5 commits of the workspace's git repository.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, _: Arguments) -> Result<ToolOutput, ToolError> {
        let printed = run(scope, Needs::Repository, &script(), self.time).await?;
        if printed.exit_code == NO_REPOSITORY {
            let text = "The workspace is not a git repository. Call git_init to make it one.".to_owned();
            return Ok(ToolOutput::new(text, json!({"repository": false})));
        }
        let state = porcelain::read(printed.lines.iter().map(String::as_str));
        let text = describe(&state, printed.is_cut);
        let is_cut = printed.is_cut || state.changes.len() < state.changes_total;
        let mut data = serde_json::to_value(&state).map_err(|error| ToolError::Internal(error.to_string()))?;
        data["repository"] = json!(true);
        data["is_cut"] = json!(is_cut);
        Ok(ToolOutput::new(text, data))
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("names at most {GIT_STATUS_ENTRIES_MAX} files"),
            format!("is given up after {} s", GIT_TIMEOUT.as_secs()),
        ]
    }
}

/// The log comes first: the list of files may be cut. Its lines are kept short, so that none is split.
fn script() -> String {
    format!(
        "if git rev-parse -q --verify HEAD >/dev/null; then\n\
           git --no-pager log -n {GIT_COMMITS_SHOWN} --no-show-signature --no-color --date=short \
             --format='L %H%x09%ad%x09%an%x09%s' HEAD -- | cut -b 1-2000\n\
         fi\n\
         git --no-optional-locks status --porcelain=v2 --branch --untracked-files=normal --ignore-submodules=dirty --no-renames \
           || exit 128\n"
    )
}

fn describe(state: &State, is_cut: bool) -> String {
    let mut text = match (&state.branch, &state.commit) {
        (Some(branch), Some(_)) => format!("On branch {branch}"),
        (Some(branch), None) => format!("On branch {branch}, without a commit yet: git_init makes the first one"),
        (None, _) => "On no branch (detached HEAD): run_command `git switch -c NAME` makes one".to_owned(),
    };
    if let Some(upstream) = &state.upstream {
        text.push_str(&format!(", {} ahead of and {} behind {upstream}", state.ahead, state.behind));
    }
    let (shown, total) = (state.changes.len(), state.changes_total);
    if total == 0 {
        text.push_str(".\nNothing to commit.\n");
    } else {
        let least = if is_cut { "at least " } else { "" };
        text.push_str(&format!(".\n{least}{total} changed files (staged, not staged, path; `??` is not tracked):\n"));
        for change in &state.changes {
            text.push_str(&format!("{} {}\n", change.state, change.path));
        }
        if shown < total || is_cut {
            let rest = total - shown;
            text.push_str(&format!(
                "[{least}{rest} more; add what should not be committed to .gitignore, or use run_command `git status -- DIRECTORY`]\n"
            ));
        }
        text.push_str("Next: run_command `git add -A && git commit -m MESSAGE`.\n");
    }
    if !state.commits.is_empty() {
        text.push_str("Last commits:\n");
    }
    for commit in &state.commits {
        let short = commit.id.get(..10).unwrap_or(&commit.id);
        text.push_str(&format!("{short} {} {} ({})\n", commit.date, commit.subject, commit.author));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::scope::Unobserved;
    use crate::{LocalOptions, LocalSandbox, Workspace, typed};

    #[tokio::test]
    async fn a_git_that_waits_for_ever_is_killed_and_named() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("workspace");
        let sandbox = LocalSandbox::start(LocalOptions::default(), &path).await.expect("it starts");
        let sandbox: Arc<dyn crate::Sandbox> = Arc::new(sandbox);
        let workspace = Workspace::open(&path).expect("opened");
        let scope = ToolScope::new(workspace, sandbox.clone(), root.path().join("artifacts"), Arc::new(Unobserved));
        let make = crate::Command::new("git init -q . && mkdir -p a && touch a/b && git add . && mkfifo a/.gitignore");
        assert_eq!(sandbox.execute(make, &Unobserved).await.expect("made").exit_code, 0);
        let status = typed(Status { time: Duration::from_secs(2) });
        let error = status.call(&scope, json!({})).await.expect_err("git waits for the FIFO");
        assert!(error.is_for_model() && error.to_string().contains("did not finish within 2 s"), "{error}");
        sandbox.close().await.expect("closed");
    }
}
