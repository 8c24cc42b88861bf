//! Runs git in the sandbox of a scope, and nowhere else.
//!
//! A repository can name programs in its configuration, attributes and hooks. They could only do what every command can, but they
//! could also hang git or make it lie, so they are turned off: settings of the environment win over those of the repository.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::ToolError;
use crate::limits::{GIT_LINES_BYTES_MAX, OUTPUT_LINE_BYTES_MAX, STREAM_LINES_MAX};
use crate::sandbox::Command;
use crate::scope::{Happening, Observer, ToolScope};
use crate::web::one_line;

/// Who commits. Repositories that `git_init` creates get it as their own configuration, so that `git commit` works.
pub(super) const NAME: &str = "Orkestra agent";
/// See [`NAME`]. The domain cannot exist (RFC 2606).
pub(super) const EMAIL: &str = "agent@orkestra.invalid";

/// An error of git in an answer, bytes.
const GIT_ERROR_BYTES_MAX: usize = 500;

/// Exit codes of the scripts, above those of git and below those of the shell.
const NO_GIT: i32 = 96;
const NOT_A_FILE: i32 = 95;
const NOT_A_DIRECTORY: i32 = 94;
/// There is no `.git`.
pub(super) const NO_REPOSITORY: i32 = 93;
/// There is a `.git` directory that git does not take for a repository.
const BROKEN: i32 = 92;

/// Settings that a repository cannot override.
const SETTINGS: &[(&str, &str)] = &[
    // What names programs.
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.alternateRefsCommand", ""),
    ("credential.helper", ""),
    ("commit.gpgSign", "false"),
    ("log.showSignature", "false"),
    // What reads files elsewhere, starts work in the background, or contacts a server.
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.allow", "never"),
    // What enters other repositories.
    ("submodule.recurse", "false"),
    ("status.submoduleSummary", "false"),
    // What changes answers.
    ("core.commitGraph", "false"),
    ("core.quotePath", "true"),
    ("color.ui", "false"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("advice.addEmbeddedRepo", "false"),
    ("user.name", NAME),
    ("user.email", EMAIL),
];

/// Before every script. `PATH` begins with the directories that commands cannot write, so that a `git` of theirs is not used.
const PRELUDE: &str = r#"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
command -v git >/dev/null || exit 96
for file in .git/HEAD .git/config .git/index .git/packed-refs .git/info/exclude .git/info/attributes .gitignore .gitattributes; do
  # Opening a FIFO would wait for ever.
  if [ -e "$file" ] && [ ! -f "$file" ] && [ ! -d "$file" ]; then echo "$file"; exit 95; fi
done
if [ -L .git ] || { [ -e .git ] && [ ! -d .git ]; }; then exit 94; fi
export LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=false \
  GIT_EDITOR=false GIT_PAGER=cat GIT_OPTIONAL_LOCKS=0 GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1 GIT_GRAFT_FILE=/dev/null \
  GIT_ALLOW_PROTOCOL= GIT_DEFAULT_HASH=sha1 GIT_DIR=.git GIT_WORK_TREE=.
number=0
set_config() { export "GIT_CONFIG_KEY_$number=$1" "GIT_CONFIG_VALUE_$number=$2"; number=$((number + 1)); }
"#;

/// After the settings, when there is a repository: filters are named by the repository, so they are looked up, and turned off.
const FILTERS: &str = r#"
export GIT_CONFIG_COUNT=$number
disable_filters() {
  keys=$(git config --name-only --get-regexp '^filter\.')
  while IFS= read -r key; do
    case $key in
      *.clean | *.smudge | *.process) set_config "$key" "" ;;
      *.required) set_config "$key" false ;;
    esac
  done <<KEYS
$keys
KEYS
  export GIT_CONFIG_COUNT=$number
}
"#;

/// For scripts that need a repository.
const REPOSITORY: &str = r#"
[ -e .git ] || exit 93
git rev-parse --git-dir >/dev/null || exit 92
disable_filters
"#;

/// What a script printed.
#[derive(Debug, Default)]
pub(super) struct Printed {
    pub(super) exit_code: i32,
    pub(super) lines: Vec<String>,
    /// Whether lines are missing.
    pub(super) is_cut: bool,
    errors: Vec<String>,
}

impl Printed {
    /// The lines that begin with this letter and a space, without both.
    pub(super) fn with(&self, letter: char) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(move |line| line.strip_prefix(letter)?.strip_prefix(' '))
    }

    /// Those lines of stderr that say what went wrong, in one.
    pub(super) fn why(&self) -> String {
        let is_error = |line: &&String| line.starts_with("fatal:") || line.starts_with("error:");
        let errors: Vec<&str> = self.errors.iter().filter(is_error).map(String::as_str).collect();
        let all = || self.errors.iter().map(String::as_str).collect();
        let errors: Vec<&str> = if errors.is_empty() { all() } else { errors };
        one_line(&errors.join("; "), GIT_ERROR_BYTES_MAX)
    }
}

/// Whether a script needs a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Repository,
    Nothing,
}

/// Runs a script after the prelude. An exit code other than 0 is an error, except [`NO_REPOSITORY`], for which each tool has its
/// own answer, and 1, which scripts use for their own purpose.
pub(super) async fn run(scope: &ToolScope, needs: Needs, script: &str, time: Duration) -> Result<Printed, ToolError> {
    let lines = Lines::default();
    let command = Command::new(line(needs, script)).with_timeout(time);
    let result = scope.sandbox().execute(command, &lines).await?;
    let mut printed = lines.0.into_inner().unwrap_or_else(PoisonError::into_inner).printed;
    printed.exit_code = result.exit_code;
    if result.timed_out {
        return Err(ToolError::Refused(format!(
            "git did not finish within {} s and was killed; look for FIFOs and very large files, and at .git/config, with run_command",
            time.as_secs()
        )));
    }
    match result.exit_code {
        0 | 1 | NO_REPOSITORY => Ok(printed),
        code => Err(ToolError::Refused(refusal(code, &printed))),
    }
}

fn line(needs: Needs, script: &str) -> String {
    let settings: String =
        SETTINGS.iter().map(|(key, value)| format!("set_config {} {}\n", quoted(key), quoted(value))).collect();
    let repository = if needs == Needs::Repository { REPOSITORY } else { "" };
    [PRELUDE, &settings, FILTERS, repository, script].concat()
}

fn refusal(code: i32, printed: &Printed) -> String {
    let why = printed.why();
    match code {
        NO_GIT => "git is not installed in the sandbox; work without it, and ask the operator for an image with git".to_owned(),
        NOT_A_FILE => format!(
            "cannot use the repository: `{}` is a FIFO, a device or a socket; remove it with run_command, then call again",
            printed.lines.first().map_or(".git", String::as_str)
        ),
        NOT_A_DIRECTORY => "cannot use the repository: `.git` is a link or a file that points elsewhere, and only a directory is used; \
             rename it with run_command `mv .git git.old`, then call git_init"
            .to_owned(),
        BROKEN => format!("`.git` is not a usable repository: {why}; rename it with run_command `mv .git git.old`, then call git_init"),
        _ if why.contains("index.lock") => "another git command is running here, or one was killed; if none is running, remove the lock with run_command \
             `rm -f .git/index.lock`, then call again"
            .to_owned(),
        137 => "git was killed, probably because it needs too much memory; look for very large files with run_command".to_owned(),
        _ => format!("git failed (exit code {code}): {why}; correct this with run_command, then call again"),
    }
}

/// A word of the shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Collects the lines of both streams, up to a limit.
#[derive(Default)]
struct Lines(Mutex<Collected>);

#[derive(Default)]
struct Collected {
    printed: Printed,
    bytes: usize,
    count: u64,
    /// Whether the last line of each stream goes on.
    is_split: [bool; 2],
}

impl Observer for Lines {
    fn observe(&self, happening: Happening) {
        let Happening::CommandOutput { line, stderr } = happening else { return };
        let mut collected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The rest of a line that was split could look like another line.
        let is_rest =
            std::mem::replace(&mut collected.is_split[usize::from(stderr)], line.len() >= OUTPUT_LINE_BYTES_MAX);
        if is_rest {
            return;
        }
        collected.count += 1;
        collected.bytes += line.len();
        if collected.count > STREAM_LINES_MAX || collected.bytes > GIT_LINES_BYTES_MAX {
            collected.printed.is_cut = true;
        } else if stderr {
            collected.printed.errors.push(line);
        } else {
            collected.printed.lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (text, expected) in [("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$(x)`y`\\", "'$(x)`y`\\'"), ("", "''")] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn the_rest_of_a_split_line_is_not_a_line() {
        let lines = Lines::default();
        let say = |line: String| lines.observe(Happening::CommandOutput { line, stderr: false });
        let long = OUTPUT_LINE_BYTES_MAX;
        for line in ["? a".to_owned(), "x".repeat(long), "y".repeat(long), "? forged".to_owned(), "? b".to_owned()] {
            say(line);
        }
        let printed = lines.0.into_inner().expect("no test panics inside").printed;
        assert_eq!(printed.with('?').collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(printed.lines.len(), 3);
    }

    #[test]
    fn each_failure_says_the_next_step() {
        let printed = |error: &str| Printed { errors: vec![error.to_owned()], ..Printed::default() };
        let table = [
            (NO_GIT, "", "not installed"),
            (NOT_A_FILE, "", "FIFO"),
            (NOT_A_DIRECTORY, "", "mv .git git.old"),
            (BROKEN, "fatal: not a git repository: '.git'", "not a git repository"),
            (128, "fatal: Unable to create '/workspace/.git/index.lock': File exists.", "rm -f .git/index.lock"),
            (137, "", "memory"),
            (128, "fatal: bad \u{1b}[31mthing", "bad thing; correct"),
        ];
        for (code, error, expected) in table {
            let text = refusal(code, &printed(error));
            assert!(text.contains(expected) && !text.ends_with('.'), "{code}: {text}");
        }
    }
}
