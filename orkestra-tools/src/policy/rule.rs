//! One compiled rule, and what it matches.

use globset::GlobMatcher;

use super::Action;
use super::matching::{Match, begins, cleaned, is_exactly};
use super::shell::{Part, Word};

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) reason: String,
    /// The tools that it is limited to; none for every tool.
    pub(super) tools: Vec<GlobMatcher>,
    pub(super) subject: Subject,
}

#[derive(Debug)]
pub(super) enum Subject {
    Tool,
    Command { prefixes: Vec<Vec<String>>, arguments: Vec<GlobMatcher> },
    Path(Vec<GlobMatcher>),
    Host(Vec<GlobMatcher>),
}

impl Rule {
    pub(super) fn matches_tool(&self, tool: &str) -> Match {
        Match::of(matches!(self.subject, Subject::Tool) && self.is_for(tool))
    }

    pub(super) fn matches_path(&self, tool: &str, path: &str) -> Match {
        match &self.subject {
            Subject::Path(globs) if self.is_for(tool) => Match::of(any_path(globs, path)),
            _ => self.matches_tool(tool),
        }
    }

    /// As [`Self::matches_path`], for a text that may be something else.
    pub(super) fn matches_possible_path(&self, tool: &str, text: &str) -> Match {
        match &self.subject {
            Subject::Path(globs) if self.action != Action::Allow && self.is_for(tool) && any_path(globs, text) => {
                Match::Maybe
            }
            _ => Match::No,
        }
    }

    pub(super) fn matches_host(&self, tool: &str, host: &str) -> Match {
        match &self.subject {
            Subject::Host(globs) if self.is_for(tool) => Match::of(globs.iter().any(|glob| glob.is_match(host))),
            _ => self.matches_tool(tool),
        }
    }

    /// Whether it matches one command of a command line. `redefines`: the line changes where programs are found.
    pub(super) fn matches_part(&self, tool: &str, part: &Part, redefines: bool) -> Match {
        match &self.subject {
            Subject::Command { prefixes, arguments } if self.is_for(tool) => match self.action {
                Action::Allow => Match::of(!redefines && prefixes.iter().any(|prefix| is_exactly(part, prefix))),
                Action::AskOnce | Action::Ask | Action::Deny => {
                    prefixes.iter().map(|prefix| begins(part, prefix, arguments)).max().unwrap_or(Match::No)
                }
            },
            _ => self.matches_tool(tool),
        }
    }

    /// Whether it matches a file that a command line writes with `>`. `moves`: the line changes its directory.
    pub(super) fn matches_target(&self, tool: &str, target: &Word, moves: bool) -> Match {
        let Subject::Path(globs) = &self.subject else { return Match::No };
        if !self.is_for(tool) {
            return Match::No;
        }
        match target.literal() {
            Some(path) if any_path(globs, path) => Match::Yes,
            Some(path) if !moves || path.starts_with('/') => Match::No,
            _ if self.action == Action::Allow => Match::No,
            _ => Match::Maybe,
        }
    }

    /// Whether it may match a command line that could not be split.
    pub(super) fn matches_unclear(&self, tool: &str) -> Match {
        match &self.subject {
            Subject::Tool => self.matches_tool(tool),
            Subject::Command { .. } | Subject::Path(_) if self.is_for(tool) && self.action != Action::Allow => {
                Match::Maybe
            }
            Subject::Command { .. } | Subject::Path(_) | Subject::Host(_) => Match::No,
        }
    }

    /// Whether it may match a path among texts that were not looked at.
    pub(super) fn matches_unread(&self, tool: &str) -> Match {
        match &self.subject {
            Subject::Path(_) if self.action != Action::Allow && self.is_for(tool) => Match::Maybe,
            _ => Match::No,
        }
    }

    pub(super) fn is_for(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|glob| glob.is_match(tool))
    }
}

fn any_path(globs: &[GlobMatcher], path: &str) -> bool {
    let cleaned = cleaned(path);
    globs.iter().any(|glob| glob.is_match(&cleaned))
}
