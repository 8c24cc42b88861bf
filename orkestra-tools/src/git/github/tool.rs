//! `github_create_pr`: pushes a branch, then opens a pull request. `data` is `{url, number, existed, repository, head, base,
//! pushed_commit, previous_commit, uncommitted_changes}`.
//!
//! After a crash the outcome is unknown, and the same call is safe: a commit that is there is not pushed again, and a pull request
//! that is there is found.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::names::{check_body, check_title};
use super::pulls::Pull;
use super::{Github, Place};
use crate::error::ToolError;
use crate::git::push::{self, Pushed};
use crate::limits::{GIT_PACK_BYTES_MAX, GITHUB_BODY_BYTES_MAX, GITHUB_TITLE_CHARS_MAX};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The user or organisation that has the repository.
    #[schemars(length(min = 1))]
    owner: String,
    /// The name of the repository, without its owner.
    #[schemars(length(min = 1))]
    repo: String,
    /// What the pull request changes, in one line.
    #[schemars(length(min = 1))]
    title: String,
    /// Why, and how it was tested, in Markdown.
    body: String,
    /// Your branch, which is pushed.
    #[schemars(length(min = 1))]
    head: String,
    /// The branch of the repository to merge into.
    #[schemars(length(min = 1))]
    base: String,
}

/// Without access to GitHub it says what is missing.
pub(crate) struct CreatePr(pub(crate) Option<Github>);

#[async_trait]
impl TypedTool for CreatePr {
    type Arguments = Arguments;
    const NAME: &'static str = "github_create_pr";
    const DESCRIPTION: &'static str = "Push a branch of the workspace's git repository to GitHub and open a pull request. Commit first: only commits are pushed. \
        A branch is never overwritten; calling again for the same branch updates it.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let Some(github) = &self.0 else {
            return Err(ToolError::Refused(
                "GITHUB_TOKEN is not set, so nothing was pushed and no pull request was created; leave your commits on the branch, and tell the \
                 user that the operator has to set it"
                    .to_owned(),
            ));
        };
        match create(github, scope, &arguments).await {
            Ok(output) => Ok(github.secrets.output(output)),
            Err(error) => Err(github.secrets.tool_error(error)),
        }
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!(
                "a title has at most {GITHUB_TITLE_CHARS_MAX} characters, a body {} KiB",
                GITHUB_BODY_BYTES_MAX >> 10
            ),
            format!("the commits to push have at most {} MiB", GIT_PACK_BYTES_MAX >> 20),
        ]
    }
}

async fn create(github: &Github, scope: &ToolScope, arguments: &Arguments) -> Result<ToolOutput, ToolError> {
    let invalid = |why: String| ToolError::Refused(format!("nothing was pushed: {why}"));
    let Arguments { owner, repo, title, body, head, base } = arguments;
    let place = Place::new(owner, repo, head, base).map_err(invalid)?;
    let title = check_title(title).map_err(invalid)?;
    check_body(body).map_err(invalid)?;
    // They are published: what a model copied into them by accident must not be.
    let public = |text: &str| github.secrets.masked(scope.secrets().mask(text).into_owned());
    let (title, body) = (public(&title), public(body));
    if github.default_branch(&place).await? == *head {
        return Err(ToolError::Refused(format!(
            "nothing was pushed: `{head}` is the default branch of {place}, which is changed by merging only; move your commits to another branch \
             with run_command `git switch -c NAME`, and call again with that head"
        )));
    }
    let pushed = push::push(scope, github, &place).await?;
    let pull = github.pull(&place, &title, &body).await?;
    Ok(describe(&place, &pushed, &pull))
}

fn describe(place: &Place, pushed: &Pushed, pull: &Pull) -> ToolOutput {
    let Place { head, base, .. } = place;
    let Pull { url, number, existed } = pull;
    let short = &pushed.commit[..10];
    let branch = match &pushed.before {
        None => format!("The branch `{head}` was pushed at commit {short}."),
        Some(before) if *before == pushed.commit => {
            format!("The branch `{head}` was there already, at commit {short}.")
        }
        Some(before) => format!("The branch `{head}` was moved from commit {} to {short}.", &before[..10]),
    };
    let request = if *existed {
        format!(
            "There is a pull request already, #{number}, to merge it into `{base}`: {url}\nIts title and body were not changed."
        )
    } else {
        format!("Pull request #{number} asks to merge it into `{base}`: {url}")
    };
    let mut text = format!("{request}\n{branch}");
    if pushed.is_dirty {
        text.push_str(
            "\nWarning: there are changes that are not committed, and they were not pushed; git_status lists them.",
        );
    }
    text.push_str("\nNext: tell the user the address. To change it, commit and call github_create_pr again.");
    let data = json!({
        "url": url, "number": number, "existed": existed, "repository": place.to_string(), "head": head, "base": base,
        "pushed_commit": pushed.commit, "previous_commit": pushed.before, "uncommitted_changes": pushed.is_dirty,
    });
    ToolOutput::new(text, data)
}
