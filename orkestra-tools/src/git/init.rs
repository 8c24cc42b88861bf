//! `git_init`: a repository with a first commit. `data` is `{created, branch, commit, files, gitignore_written}`; where there was a
//! repository with commits, nothing changes and `created` is false.
//!
//! After a crash there may be a repository without a commit; the next call makes it.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::porcelain::shown_path;
use super::run::{EMAIL, NAME, Needs, Printed, quoted, run};
use crate::error::ToolError;
use crate::limits::{GIT_COMMIT_TIMEOUT, GIT_MESSAGE_BYTES_MAX};
use crate::scope::{Happening, ToolScope};
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::web::one_line;

const MESSAGE: &str = "Initial commit";
const GITIGNORE: &str = include_str!("gitignore.txt");
/// Paths that a result names.
const NAMED_MAX: usize = 5;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The message of the first commit.
    #[serde(default = "message_default")]
    message: String,
}

fn message_default() -> String {
    MESSAGE.to_owned()
}

pub(super) struct Init;

#[async_trait]
impl TypedTool for Init {
    type Arguments = Arguments;
    const NAME: &'static str = "git_init";
    const DESCRIPTION: &'static str = "Make the workspace a git repository on branch main with a .gitignore and a first commit of everything. \
        A repository that has commits is not changed.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let message = arguments.message.trim();
        if message.len() > GIT_MESSAGE_BYTES_MAX {
            return Err(ToolError::Refused(format!(
                "the message has more than {GIT_MESSAGE_BYTES_MAX} bytes; call git_init again with a shorter one"
            )));
        }
        if message.contains('\0') {
            return Err(ToolError::Refused("the message contains a NUL character; remove it".to_owned()));
        }
        let message = if message.is_empty() { MESSAGE } else { message };
        let printed = run(scope, Needs::Nothing, &script(message), GIT_COMMIT_TIMEOUT).await?;
        if printed.with('I').next().is_some() {
            let bytes = GITIGNORE.len() as u64;
            scope.observer().observe(Happening::FileWritten { path: ".gitignore".to_owned(), bytes });
        }
        Ok(describe(&printed))
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("a message has at most {} KiB", GIT_MESSAGE_BYTES_MAX >> 10),
            format!("is given up after {} s", GIT_COMMIT_TIMEOUT.as_secs()),
        ]
    }
}

/// Prints `O` if a repository was there, `B` its branch, `H` its commit, `I` if the `.gitignore` is new, `N` the number of files, `S`
/// files that look like secrets, `G` repositories within.
fn script(message: &str) -> String {
    format!(
        r#"
created=
if [ ! -e .git ] || ! git rev-parse --git-dir >/dev/null 2>&1; then
  (unset GIT_DIR GIT_WORK_TREE; git init -q --template= -b main .) || exit 128
  git config user.name {name} && git config user.email {email} || exit 128
  created=1
fi
disable_filters
branch=$(git symbolic-ref -q --short HEAD)
if [ -n "$(git for-each-ref --count=1)" ] || git rev-parse -q --verify HEAD >/dev/null; then
  echo "O exists"
  echo "B $branch"
  echo "H $(git rev-parse -q --verify HEAD)"
  exit 0
fi
if [ ! -e .gitignore ] && [ ! -L .gitignore ]; then
  (set -C; cat >.gitignore <<'GITIGNORE'
{GITIGNORE}GITIGNORE
  ) && echo "I written"
fi
git add -A || exit 128
git commit -q --allow-empty --no-verify --no-gpg-sign --cleanup=whitespace -m {message} >/dev/null || exit 128
echo "B $branch"
echo "H $(git rev-parse --verify HEAD)"
echo "N $(git ls-files | wc -l)"
git ls-files -- ':(glob)**/.env' ':(glob)**/*.pem' ':(glob)**/*.key' ':(glob)**/id_rsa' ':(glob)**/.netrc' | head -n 20 | sed 's/^/S /'
git ls-files -s | grep '^160000' | head -n 20 | cut -f 2- | sed 's/^/G /'
exit 0
"#,
        name = quoted(NAME),
        email = quoted(EMAIL),
        message = quoted(message),
    )
}

fn describe(printed: &Printed) -> ToolOutput {
    let first = |letter| printed.with(letter).next().unwrap_or_default();
    let (branch, commit) = (one_line(first('B'), 100), one_line(first('H'), 64));
    let short = commit.get(..10).unwrap_or(&commit);
    let on = if branch.is_empty() { "no branch (detached)".to_owned() } else { format!("branch {branch}") };
    if printed.with('O').next().is_some() {
        let at = if short.is_empty() { "without a commit".to_owned() } else { format!("at commit {short}") };
        let text = format!(
            "There is a repository already, on {on} {at}. Nothing was changed.\nNext: git_status shows what is not committed."
        );
        let commit = (!commit.is_empty()).then_some(commit);
        return ToolOutput::new(text, json!({"created": false, "branch": branch, "commit": commit}));
    }
    let files: u64 = first('N').trim().parse().unwrap_or(0);
    let gitignore_written = printed.with('I').next().is_some();
    let mut text = format!("The repository has its first commit {short} on {on}: {files} files.\n");
    if gitignore_written {
        text.push_str("A .gitignore for secrets, Python, Node and Rust was written.\n");
    }
    let named = |letter| {
        let paths: Vec<String> = printed.with(letter).map(shown_path).take(NAMED_MAX).collect();
        (!paths.is_empty()).then(|| paths.join(", "))
    };
    if let Some(paths) = named('S') {
        text.push_str(&format!(
            "Warning: files that may hold secrets were committed: {paths}. If they do, add them to .gitignore and run \
             `git rm --cached FILE` and `git commit --amend --no-edit` with run_command.\n"
        ));
    }
    if let Some(paths) = named('G') {
        text.push_str(&format!(
            "Warning: directories that are repositories of their own were committed as links, without their files: {paths}.\n"
        ));
    }
    text.push_str(
        "Next: run_command `git switch -c NAME` for a branch, and `git add -A && git commit -m MESSAGE` for what you change.",
    );
    let data = json!({
        "created": true, "branch": branch, "commit": commit, "files": files, "gitignore_written": gitignore_written,
    });
    ToolOutput::new(text, data)
}
