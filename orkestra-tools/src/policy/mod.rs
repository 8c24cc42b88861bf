//! The policy: which tool calls an agent may make by itself, which a person decides on, and which are refused. Pure.
//!
//! ```text
//! TOML or JSON -> PolicySpec -> Policy (examples checked)        PolicyRequest -> Policy::decide -> Decision (explains itself)
//!                                                                      \-- command line -> shell: its commands, one by one
//! ```
//! The strictest rule that matches wins. A command line is split as a shell splits it, and each of its commands is decided on
//! alone. Where a word is not known (`$X`, `$(…)`, `*`), rules that ask or deny match if the word *may* be what they name,
//! and rules that allow do not match.
//!
//! **This is not a wall.** A command can write a program and run it. The sandbox confines what commands can do; the policy
//! decides which of that wants a person's consent.

mod load;
mod matching;
mod request;
mod rule;
mod shell;
mod spec;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use load::PolicyError;
use matching::Match;
pub use request::PolicyRequest;
use rule::Rule;
use shell::{Part, Script};
pub use spec::{OneOrMany, PolicySpec, RuleSpec};

/// The policy of [`Policy::default`], in TOML.
const DEFAULT: &str = include_str!("default.toml");

/// What is done about a call. Ordered by strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// The call is made.
    Allow,
    /// A person decides on the first call of the tool in a run; consent holds for the rest of it, while the tool is what it was.
    AskOnce,
    /// A person decides on each call.
    Ask,
    /// The call is refused.
    Deny,
}

/// What a policy decides on a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// The rule; `None` where a default holds.
    pub rule: Option<String>,
    /// The command, path, host or tool that the rule matched.
    pub subject: String,
    /// Why the subject matches although it is not known to, or why it could not be split.
    pub unclear: Option<String>,
    /// The reason that the rule gives.
    pub reason: String,
}

/// Rules that were loaded and checked. Cheap to clone.
///
/// ```
/// use orkestra_tools::policy::{Action, Policy, PolicyRequest};
/// use serde_json::json;
///
/// let policy = Policy::from_toml(r#"
///     [[rules]]
///     name = "publish"
///     action = "ask"
///     command = ["git push", "npm publish"]
///     examples = ["git push origin main", "cd app && npm publish"]
///     counterexamples = ["git pull"]
/// "#)?;
/// let decide = |command: &str| policy.decide(&PolicyRequest::call("run_command", &json!({"command": command})));
/// assert_eq!(decide("git commit -m 'git push'").action, Action::Allow);
/// let decision = decide("git commit -m x && sh -c 'git push'");
/// assert_eq!(decision.action, Action::Ask);
/// assert_eq!(decision.to_string(), "the rule `publish` asks about `git push`");
/// # Ok::<(), orkestra_tools::policy::PolicyError>(())
/// ```
#[derive(Clone)]
pub struct Policy {
    inner: Arc<Inner>,
}

struct Inner {
    default: Action,
    default_mcp: Action,
    rules: Vec<Rule>,
}

impl Policy {
    /// Compiles a policy and checks the examples of its rules.
    ///
    /// # Errors
    /// [`PolicyError`] names the rule and what is wrong with it.
    pub fn new(spec: PolicySpec) -> Result<Self, PolicyError> {
        load::policy(spec)
    }

    /// A policy in TOML.
    ///
    /// # Errors
    /// As [`Policy::new`], and for a syntax error or an unknown field.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        load::policy(toml::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?)
    }

    /// A policy in JSON.
    ///
    /// # Errors
    /// As [`Policy::from_toml`].
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        load::policy(serde_json::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?)
    }

    /// The policy that allows everything. Tools of MCP servers are allowed too.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::of(Action::Allow, Action::Allow, Vec::new())
    }

    fn of(default: Action, default_mcp: Action, rules: Vec<Rule>) -> Self {
        Self { inner: Arc::new(Inner { default, default_mcp, rules }) }
    }

    /// Decides on a request: the strictest of all its parts.
    #[must_use]
    pub fn decide(&self, request: &PolicyRequest) -> Decision {
        let mut decisions: Vec<Decision> = Vec::new();
        for command in &request.commands {
            decisions.extend(self.command(request, &shell::parse(command), command));
        }
        for path in &request.paths {
            let matches = |rule: &Rule| rule.matches_path(&request.tool, path);
            decisions.push(self.strictest(&request.tool, path, None, matches));
        }
        for host in &request.hosts {
            let matches = |rule: &Rule| rule.matches_host(&request.tool, host);
            decisions.push(self.strictest(&request.tool, host, None, matches));
        }
        // An allowed command, path or host does not allow a tool of a stranger that takes one.
        let is_covered = |decision: &Decision| self.is_named_by(decision, &request.tool);
        if decisions.is_empty() || (is_mcp(&request.tool) && !decisions.iter().all(is_covered)) {
            decisions.push(self.strictest(&request.tool, &request.tool, None, |rule| rule.matches_tool(&request.tool)));
        }
        if request.has_more_texts {
            let matches = |rule: &Rule| rule.matches_unread(&request.tool);
            decisions.extend(self.strictest_rule(&request.tool, Some("it has more texts than are looked at"), matches));
        }
        for path in &request.possible_paths {
            let matches = |rule: &Rule| rule.matches_possible_path(&request.tool, path);
            decisions.extend(self.strictest_rule(path, Some("the tool does not say whether it is a path"), matches));
        }
        // The first of the strictest: it comes first in the command line too.
        let strictest = decisions.iter().map(|decision| decision.action).max().unwrap_or(self.inner.default);
        let found = decisions.into_iter().find(|decision| decision.action == strictest);
        found.unwrap_or_else(|| self.otherwise(&request.tool, &request.tool))
    }

    /// Whether the rule that decided is one for this tool.
    fn is_named_by(&self, decision: &Decision, tool: &str) -> bool {
        let rules = self.inner.rules.iter().filter(|rule| Some(&rule.name) == decision.rule.as_ref());
        rules.into_iter().any(|rule| !rule.tools.is_empty() && rule.is_for(tool))
    }

    /// The decisions on the parts of a command line.
    fn command(&self, request: &PolicyRequest, script: &Script, line: &str) -> Vec<Decision> {
        let tool = request.tool.as_str();
        let redefines = script.parts.iter().any(redefines);
        let moves = request.has_cwd || script.parts.iter().any(may_move);
        let mut decisions = Vec::new();
        for part in &script.parts {
            let matches = |rule: &Rule| rule.matches_part(tool, part, redefines);
            let decision = self.strictest(tool, &part.text, part.opaque.as_deref(), matches);
            // A wrapper adds nothing to what it runs, which is decided on as a part of its own.
            if !(part.is_wrapper && decision.rule.is_none()) {
                decisions.push(decision);
            }
            for target in &part.writes {
                let matches = |rule: &Rule| rule.matches_target(tool, target, moves);
                decisions.extend(self.strictest_rule(&format!("> {}", target.show()), None, matches));
            }
        }
        if let Some(reason) = &script.unclear {
            let matches = |rule: &Rule| rule.matches_unclear(tool);
            decisions.push(self.strictest(tool, &shortened(line), Some(reason), matches));
        } else if script.parts.is_empty() {
            decisions.push(self.strictest(tool, tool, None, |rule| rule.matches_tool(tool)));
        }
        decisions
    }

    fn strictest(
        &self,
        tool: &str,
        subject: &str,
        unclear: Option<&str>,
        matches: impl Fn(&Rule) -> Match,
    ) -> Decision {
        self.strictest_rule(subject, unclear, matches).unwrap_or_else(|| self.otherwise(tool, subject))
    }

    fn strictest_rule(
        &self,
        subject: &str,
        unclear: Option<&str>,
        matches: impl Fn(&Rule) -> Match,
    ) -> Option<Decision> {
        let found = self.inner.rules.iter().map(|rule| (rule, matches(rule))).filter(|(_, found)| *found != Match::No);
        // Of equally strict rules the one that matches for certain explains best, and then the first.
        let (rule, found) = found.rev().max_by_key(|(rule, found)| (rule.action, *found))?;
        let guess = || unclear.map_or_else(|| "a part of it is not known before it runs".to_owned(), str::to_owned);
        Some(Decision {
            action: rule.action,
            rule: Some(rule.name.clone()),
            subject: shortened(subject),
            unclear: (found == Match::Maybe).then(guess),
            reason: rule.reason.clone(),
        })
    }

    fn otherwise(&self, tool: &str, subject: &str) -> Decision {
        let action = if is_mcp(tool) { self.inner.default_mcp } else { self.inner.default };
        Decision { action, rule: None, subject: shortened(subject), unclear: None, reason: String::new() }
    }
}

/// Whether the part may change the directory for those after it.
fn may_move(part: &Part) -> bool {
    !part.words.is_empty() && part.name().is_none_or(|name| matches!(name, "cd" | "pushd" | "popd"))
}

/// Tools of MCP servers are named `server__tool`.
fn is_mcp(tool: &str) -> bool {
    tool.contains("__")
}

/// Whether the part changes where programs are found or what is loaded into them.
fn redefines(part: &Part) -> bool {
    let words = part.words.iter().skip(1).map(shell::Word::leading);
    let declares = matches!(
        part.name(),
        Some("export" | "readonly" | "local" | "declare" | "typeset" | "read" | "printf" | "unset")
    );
    part.assigned.iter().any(|name| shell::is_special(name))
        || (declares && words.map(|word| word.split('=').next().unwrap_or_default()).any(shell::is_special))
}

/// A subject for people: one line, not too long.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let mut line: String =
        text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(CHARACTERS_MAX).collect();
    if text.chars().count() > CHARACTERS_MAX {
        line.push('…');
    }
    line
}

impl Default for Policy {
    /// The policy of this crate: see `docs/policy.md`. Its examples are checked by a test.
    #[expect(clippy::expect_used, reason = "a constant that a test loads")]
    fn default() -> Self {
        Self::from_toml(DEFAULT).expect("the built-in policy is valid")
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.inner.rules.iter().map(|rule| &rule.name)).finish()
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.action {
            Action::Allow => "allows",
            Action::AskOnce => "asks once about",
            Action::Ask => "asks about",
            Action::Deny => "denies",
        };
        match &self.rule {
            Some(rule) => write!(formatter, "the rule `{rule}` {verb} `{}`", self.subject)?,
            None => write!(formatter, "the policy {verb} `{}` because no rule matches", self.subject)?,
        }
        if let Some(unclear) = &self.unclear {
            write!(formatter, " (it may match: {unclear})")?;
        }
        if !self.reason.is_empty() {
            write!(formatter, ": {}", self.reason)?;
        }
        Ok(())
    }
}
