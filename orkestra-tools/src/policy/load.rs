//! From data to rules, with every check: a rule that is wrong, or whose examples it does not match, is an error at load.

use globset::{GlobBuilder, GlobMatcher};

use super::matching::Match;
use super::rule::{Rule, Subject};
use super::shell;
use super::spec::{OneOrMany, PolicySpec, RuleSpec};
use super::{Action, Policy};
use crate::limits::{POLICY_RULES_MAX, POLICY_TEXT_BYTES_MAX};

/// Why a policy cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is not TOML or JSON of the right form.
    #[error("cannot read the policy: {0}")]
    Syntax(String),
    /// A rule is wrong.
    #[error("the rule `{rule}` of the policy is not valid: {problem}")]
    Rule {
        /// Its name.
        rule: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// A rule does not match one of its examples, or matches a counterexample.
    #[error("the rule `{rule}` of the policy {} its example `{example}`; correct one of them", if *.must_match { "does not match" } else { "matches what must not match," })]
    Example {
        /// Its name.
        rule: String,
        /// The example.
        example: String,
        /// Whether it is an example, and not a counterexample.
        must_match: bool,
    },
    /// There are too many rules.
    #[error("the policy has more than {POLICY_RULES_MAX} rules; use globs and lists")]
    TooMany,
}

pub(super) fn policy(spec: PolicySpec) -> Result<Policy, PolicyError> {
    if spec.rules.len() > POLICY_RULES_MAX {
        return Err(PolicyError::TooMany);
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(spec.rules.len());
    for spec in spec.rules {
        let rule = rule(&spec).map_err(|problem| PolicyError::Rule { rule: spec.name.clone(), problem })?;
        if rules.iter().any(|known| known.name == rule.name) {
            let problem = "another rule has this name; use another one".to_owned();
            return Err(PolicyError::Rule { rule: spec.name, problem });
        }
        check(&rule, &spec)?;
        rules.push(rule);
    }
    Ok(Policy::of(spec.default, spec.default_mcp, rules))
}

fn rule(spec: &RuleSpec) -> Result<Rule, String> {
    let RuleSpec { name, action, reason, tool, command, arguments, path, host, examples, counterexamples } = spec;
    let texts = [tool, command, arguments, path, host].into_iter().flat_map(|texts| &texts.0);
    let longest = texts.chain(examples).chain(counterexamples).chain([name, reason]).map(String::len).max();
    if longest.is_some_and(|length| length > POLICY_TEXT_BYTES_MAX) {
        return Err(format!("a text is longer than {POLICY_TEXT_BYTES_MAX} bytes"));
    }
    if name.trim().is_empty() {
        return Err("its name is empty".to_owned());
    }
    if examples.is_empty() {
        return Err("it has no examples; give at least one that it must match".to_owned());
    }
    if !arguments.0.is_empty() && (command.0.is_empty() || *action == Action::Allow) {
        return Err("`arguments` narrow a `command` that is asked about or denied; leave them out".to_owned());
    }
    if *action == Action::AskOnce && !(command.0.is_empty() && path.0.is_empty() && host.0.is_empty()) {
        return Err(
            "`ask_once` is for rules with a `tool` alone, because consent holds for the tool; use `ask`".to_owned()
        );
    }
    let subject = match (command.0.as_slice(), path.0.as_slice(), host.0.as_slice()) {
        ([], [], []) if tool.0.is_empty() => return Err("it has no `tool`, `command`, `path` or `host`".to_owned()),
        ([], [], []) => Subject::Tool,
        (commands, [], []) => {
            let prefixes = commands.iter().map(|command| prefix(command, *action)).collect::<Result<_, _>>()?;
            Subject::Command { prefixes, arguments: globs(arguments, false)? }
        }
        ([], _, []) => Subject::Path(globs(path, true)?),
        ([], [], _) => Subject::Host(globs(host, false)?),
        _ => return Err("it has more than one of `command`, `path` and `host`; make a rule of each".to_owned()),
    };
    let (name, reason) = (name.clone(), reason.clone());
    Ok(Rule { name, action: *action, reason, tools: globs(tool, false)?, subject })
}

/// The words of the beginning of a command.
fn prefix(command: &str, action: Action) -> Result<Vec<String>, String> {
    let problem = || format!("`{command}` is not the beginning of one simple command, such as `git push`");
    let script = shell::parse(command);
    let [part, ..] = script.parts.as_slice() else { return Err(problem()) };
    let words: Option<Vec<String>> = part.words.iter().map(|word| word.literal().map(str::to_owned)).collect();
    let is_simple =
        script.unclear.is_none() && part.assigned.is_empty() && part.writes.is_empty() && !part.words.is_empty();
    // A wrapper has its command as a second part: a rule on `sudo` has one word, and then it has none.
    let words = words.filter(|_| is_simple && script.parts.len() == 1).ok_or_else(problem)?;
    if action != Action::Allow && words.iter().any(|word| word.starts_with('-')) {
        return Err(format!("`{command}` has an option, which can be written in many ways; put it into `arguments`"));
    }
    if action != Action::Allow && words[0].contains('/') {
        return Err(format!("`{command}` has a directory; give the name alone, which matches in every directory"));
    }
    Ok(words)
}

fn globs(texts: &OneOrMany, is_path: bool) -> Result<Vec<GlobMatcher>, String> {
    let glob = |text: &String| {
        let glob =
            GlobBuilder::new(text).literal_separator(is_path).backslash_escape(true).empty_alternates(true).build();
        glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))
    };
    texts.0.iter().map(glob).collect()
}

fn check(rule: &Rule, spec: &RuleSpec) -> Result<(), PolicyError> {
    let all = spec.examples.iter().map(|example| (example, true));
    let all = all.chain(spec.counterexamples.iter().map(|example| (example, false)));
    for (example, must_match) in all {
        if matches(rule, spec, example) != must_match {
            return Err(PolicyError::Example { rule: rule.name.clone(), example: example.clone(), must_match });
        }
    }
    Ok(())
}

/// Whether the rule matches an example: a command line, a path, a host, or a tool.
fn matches(rule: &Rule, spec: &RuleSpec, example: &str) -> bool {
    // A tool that the rule is for, so that the subject alone is tested.
    let tool = if rule.tools.is_empty() { "" } else { literal_of(&spec.tool) };
    let found = match &rule.subject {
        Subject::Tool => rule.matches_tool(example),
        Subject::Path(_) => rule.matches_path(tool, example),
        Subject::Host(_) => rule.matches_host(tool, &example.to_lowercase()),
        Subject::Command { .. } => {
            let script = shell::parse(example);
            let redefines = script.parts.iter().any(super::redefines);
            // A wrapper is decided on by what it runs.
            let parts = script.parts.iter().filter(|part| !(rule.action == Action::Allow && part.is_wrapper));
            let parts = parts.map(|part| rule.matches_part(tool, part, redefines));
            let unclear = script.unclear.iter().map(|_| rule.matches_unclear(tool));
            // Every command must be allowed, one is enough to be asked about or denied.
            match rule.action {
                Action::Allow => parts.chain(unclear).min(),
                Action::AskOnce | Action::Ask | Action::Deny => parts.chain(unclear).max(),
            }
            .unwrap_or(Match::No)
        }
    };
    found != Match::No
}

/// A name that the first glob matches: examples do not name a tool.
fn literal_of(tool: &OneOrMany) -> &str {
    tool.0.first().map_or("", String::as_str)
}
