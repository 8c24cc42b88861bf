//! A policy as data: the form in TOML and JSON. `docs/policy.md` describes it.

use serde::{Deserialize, Serialize};

use super::Action;

/// A policy before its rules are compiled and their examples checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicySpec {
    /// What holds where no rule matches.
    #[serde(default = "allow")]
    pub default: Action,
    /// What holds for a tool of an MCP server (`server__tool`) where no rule matches.
    #[serde(default = "ask_once")]
    pub default_mcp: Action,
    /// The rules. Their order does not matter: the strictest that matches wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
}

/// A rule. It has a `tool`, a `command`, a `path` or a `host`; `tool` may limit one of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RuleSpec {
    /// The name, unique in the policy, by which decisions and errors refer to it.
    pub name: String,
    /// What it decides.
    pub action: Action,
    /// Why, for people and for the model: what to do instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Globs of tools' names.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub tool: OneOrMany,
    /// Beginnings of commands, as words of a shell: `git push`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub command: OneOrMany,
    /// Globs, of which one must match an argument of the command.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub arguments: OneOrMany,
    /// Globs of paths, relative to the workspace.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub path: OneOrMany,
    /// Globs of host names.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub host: OneOrMany,
    /// What it must match: command lines, paths, hosts or names of tools. Checked when the policy is loaded.
    pub examples: Vec<String>,
    /// What it must not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterexamples: Vec<String>,
}

impl Default for PolicySpec {
    /// No rules: everything is allowed, and tools of MCP servers are asked about once.
    fn default() -> Self {
        Self { default: allow(), default_mcp: ask_once(), rules: Vec::new() }
    }
}

impl RuleSpec {
    /// A rule that is about nothing yet: set `tool`, `command`, `path` or `host`, and `examples`.
    pub fn new(name: impl Into<String>, action: Action) -> Self {
        let none = OneOrMany::default;
        let (tool, command, arguments, path, host) = (none(), none(), none(), none(), none());
        let (name, reason, examples, counterexamples) = (name.into(), String::new(), Vec::new(), Vec::new());
        Self { name, action, reason, tool, command, arguments, path, host, examples, counterexamples }
    }
}

/// A text, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Vec<String>")]
pub struct OneOrMany(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Many(Vec<String>),
}

impl From<Written> for OneOrMany {
    fn from(written: Written) -> Self {
        match written {
            Written::One(one) => Self(vec![one]),
            Written::Many(many) => Self(many),
        }
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(texts: OneOrMany) -> Self {
        texts.0
    }
}

impl OneOrMany {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const fn allow() -> Action {
    Action::Allow
}

const fn ask_once() -> Action {
    Action::AskOnce
}
