//! The names that a model gives, checked before they become part of an address or of a command. Pure.

use std::fmt;

use crate::limits::{GITHUB_BODY_BYTES_MAX, GITHUB_TITLE_CHARS_MAX};
use crate::web::one_line;

/// A repository and two of its branches.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::git) struct Place {
    pub(in crate::git) owner: String,
    pub(in crate::git) repo: String,
    pub(in crate::git) head: String,
    pub(in crate::git) base: String,
}

impl Place {
    /// An error names the field and what is allowed.
    pub(super) fn new(owner: &str, repo: &str, head: &str, base: &str) -> Result<Self, String> {
        check_owner(owner).map_err(|why| format!("`owner` {why}"))?;
        check_repo(repo).map_err(|why| format!("`repo` {why}"))?;
        check_branch(head).map_err(|why| format!("`head` {why}"))?;
        check_branch(base).map_err(|why| format!("`base` {why}"))?;
        if head == base {
            return Err(format!(
                "`head` and `base` are both `{head}`; commit to a branch of its own (run_command `git switch -c NAME`) and give its name as head"
            ));
        }
        let [owner, repo, head, base] = [owner, repo, head, base].map(str::to_owned);
        Ok(Self { owner, repo, head, base })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.repo)
    }
}

/// The rules of GitHub; names of managed users have an underscore.
fn check_owner(owner: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if owner.is_empty() || owner.len() > 39 || owner.starts_with('-') || !owner.bytes().all(is_allowed) {
        return Err(format!(
            "is not a user or an organisation of GitHub: {}; letters, digits and `-`, at most 39",
            shown(owner)
        ));
    }
    Ok(())
}

fn check_repo(repo: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let lower = repo.to_ascii_lowercase();
    if lower.ends_with(".git") || lower.ends_with(".wiki") {
        return Err(format!("must not have the end of {}; give the name alone", shown(repo)));
    }
    if repo.is_empty() || repo.len() > 100 || repo.bytes().all(|byte| byte == b'.') || !repo.bytes().all(is_allowed) {
        return Err(format!(
            "is not the name of a repository: {}; the name alone, without owner and address: letters, digits, `-`, `_` and `.`",
            shown(repo)
        ));
    }
    Ok(())
}

/// The rules of `git check-ref-format` and of GitHub. Of characters only visible ASCII: a person who is asked for consent must see
/// what is pushed.
fn check_branch(branch: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("is not the name of a branch: {}: {why}", shown(branch)));
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"~^:?*[\\\"'`$&|;<>(){}!".contains(&byte);
    match branch {
        "" => return refuse("it is empty"),
        "@" | "HEAD" => return refuse("give the name of the branch itself"),
        _ if branch.len() > 200 => return refuse("it is longer than 200 characters"),
        _ if branch.starts_with("refs/") => return refuse("give it without `refs/heads/`"),
        _ if !branch.bytes().all(is_allowed) => return refuse("use letters, digits, `-`, `_`, `.` and `/`"),
        _ if branch.starts_with('-') => return refuse("it begins with `-`"),
        _ if branch.contains("..") => return refuse("it contains `..`"),
        _ if branch.len() == 40 && branch.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            return refuse("it looks like a commit");
        }
        _ => {}
    }
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    if branch.split('/').all(is_part) {
        Ok(())
    } else {
        refuse("a part between `/` is empty, begins or ends with `.`, or ends with `.lock`")
    }
}

/// One line, not empty, not too long.
pub(super) fn check_title(title: &str) -> Result<String, String> {
    let clean = one_line(title, usize::MAX);
    if clean.is_empty() {
        return Err("`title` is empty; say in one line what the pull request changes".to_owned());
    }
    if clean.chars().count() > GITHUB_TITLE_CHARS_MAX {
        return Err(format!(
            "`title` has more than {GITHUB_TITLE_CHARS_MAX} characters; shorten it and put the rest into body"
        ));
    }
    Ok(clean)
}

pub(super) fn check_body(body: &str) -> Result<(), String> {
    if body.len() > GITHUB_BODY_BYTES_MAX {
        return Err(format!("`body` has more than {} KiB; shorten it", GITHUB_BODY_BYTES_MAX >> 10));
    }
    Ok(())
}

fn shown(name: &str) -> String {
    format!("`{}`", one_line(name, 60).replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_branches_that_github_has_pass() {
        let branches_good = ["main", "feature/login", "fix-1.2", "a@b", "user/x_y", "v1", "a=b,c+d#1%2"];
        let branches_bad = [
            "",
            "@",
            "HEAD",
            "refs/heads/main",
            "-x",
            "a..b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.",
            "a.lock",
            "a.lock/b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a@{1}",
            "a\nb",
            "a\0b",
            "a\u{1b}[31m",
            "größe",
            "a\u{202e}b",
            "$(x)",
            "a`x`",
            "a;b",
            "a'b",
            "0123456789abcdef0123456789abcdef01234567",
            "../../x",
            "owner:branch",
            &"x".repeat(201),
        ];
        for name in branches_good {
            assert_eq!(check_branch(name), Ok(()), "{name}");
        }
        for name in branches_bad {
            let error = check_branch(name).expect_err(name);
            assert!(!error.chars().any(char::is_control) && error.len() < 250, "{error:?}");
        }
    }

    #[test]
    fn only_owners_and_repositories_that_github_has_pass() {
        for name in ["octocat", "a", "my-org", "0x", "jane_corp", &"x".repeat(39)] {
            assert_eq!(check_owner(name), Ok(()), "{name}");
        }
        for name in ["", "-a", "a/b", "..", ".", "a.b", "a b", "a%2fb", "a?b", "a#b", "ö", "a@b", &"x".repeat(40)] {
            check_owner(name).expect_err(name);
        }
        for name in ["repo", "a.b", "-a", "_", "x.git.y", ".github"] {
            assert_eq!(check_repo(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "...",
            "a/b",
            "a.git",
            "a.GIT",
            "a.wiki",
            "a?b",
            "a#",
            "a%2e",
            "https://x/y",
            "a b",
            &"x".repeat(101),
        ] {
            check_repo(name).expect_err(name);
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let table = [
            (["a/b", "r", "h", "b"], "`owner`"),
            (["o", "a/b", "h", "b"], "`repo`"),
            (["o", "r", "h h", "b"], "`head`"),
            (["o", "r", "h", "b b"], "`base`"),
            (["o", "r", "main", "main"], "both `main`"),
        ];
        for ([owner, repo, head, base], expected) in table {
            let error = Place::new(owner, repo, head, base).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(Place::new("o", "r", "h", "b").expect("valid").to_string(), "o/r");
        assert_eq!(check_title(" Add\n\u{1b}[31mlogin "), Ok("Add login".to_owned()));
        for title in [" \n", "\u{200b}", &"x".repeat(257)] {
            check_title(title).expect_err(title);
        }
        check_body(&"x".repeat(GITHUB_BODY_BYTES_MAX + 1)).expect_err("too long");
    }
}
