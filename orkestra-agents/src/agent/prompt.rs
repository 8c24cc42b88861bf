//! What agents are told. Each part of a prompt stands between tags, so that it can be found again.

use serde_json::Value;

use crate::{agent::cut, model::Message};

/// The section with the user's objective.
pub(crate) const OBJECTIVE: &str = "objective";
/// The section with the names of the run's agents.
pub(crate) const AGENTS: &str = "agents";
/// The section that says why the attempt before failed.
pub(crate) const DEBUG_INFO: &str = "debug_info";
const EXISTING: &str = "existing_files";
const SUMMARIES: &str = "work_so_far";
const PLAN: &str = "plan";
const CONTRACT: &str = "contract";
/// Characters of the plan and of the contract in a prompt; the files have the rest.
const QUOTED_CHARACTERS: usize = 4_000;
/// Existing files that are named in a prompt; list_files has the rest.
const EXISTING_MAX: usize = 100;

/// How the result of a tool call begins whose process died inside it.
pub(crate) const INTERRUPTED: &str = "INTERRUPTED:";

const ROLE_START: &str = "You are the ";
const ROLE_END: &str = " agent";

/// What is in a first message besides the objective.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brief<'a> {
    pub(crate) objective: &'a str,
    pub(crate) project: Option<&'a str>,
    pub(crate) agents: &'a [String],
    pub(crate) existing: &'a [String],
    /// The text of `plan.md`, when there is one.
    pub(crate) plan: Option<&'a str>,
    /// The text of `contract.json`, when there is one.
    pub(crate) contract: Option<&'a str>,
    /// What the agents before this one said about their work.
    pub(crate) summaries: Vec<(String, String)>,
    pub(crate) attempt: u32,
    /// The structured failure of the attempt before.
    pub(crate) debug_info: Option<&'a Value>,
    /// Its words, when it has no structure.
    pub(crate) failure: Option<&'a str>,
}

/// The system message: who the agent is, what it must do, and the rules that hold for agents with these tools.
pub(crate) fn system(role: &str, duty: &str, tools: &[&str]) -> Message {
    let has = |tool: &str| tools.contains(&tool);
    let mut rules = vec![format!(
        "You work in a workspace, with these tools only: {}. Paths are relative to the workspace.",
        tools.join(", ")
    )];
    if has("write_file") {
        rules.push(
            "Write files with write_file, whole and ready to use: no placeholders, no \"rest as before\".".to_owned(),
        );
        rules.push("Read a file before you change it. Do not rewrite what works.".to_owned());
    }
    if has("run_command") {
        rules.push(
            "Run what you wrote with run_command and read what it says before you believe that it works. Commands have no \
             network unless you are told otherwise, and nobody can answer a prompt of theirs."
                .to_owned(),
        );
    }
    rules.push("Do not make the same call again when its result did not change.".to_owned());
    rules.push(
        "When you are done, answer with a short summary and no tool call. After that a validator checks your work: it \
         runs your tests or, without tests, checks your files' syntax."
            .to_owned(),
    );
    Message::system(format!(
        "{ROLE_START}{role}{ROLE_END} of a small software team. {duty}\n\nRules:\n- {}",
        rules.join("\n- ")
    ))
}

/// The first user message.
pub(crate) fn first(brief: &Brief<'_>) -> Message {
    let mut text = String::new();
    if !brief.agents.is_empty() {
        text.push_str(&tagged(AGENTS, &brief.agents.join(", ")));
    }
    if let Some(project) = brief.project.filter(|_| !brief.existing.is_empty()) {
        text.push_str(&format!(
            "Continuation of the project {project:?}. Do not rewrite what exists: build on top of it, and read a file \
             before you change it.\n"
        ));
    }
    if !brief.existing.is_empty() {
        let named = &brief.existing[..brief.existing.len().min(EXISTING_MAX)];
        text.push_str(&tagged(EXISTING, &named.join("\n")));
    }
    for (name, quoted) in [(PLAN, brief.plan), (CONTRACT, brief.contract)] {
        if let Some(quoted) = quoted {
            text.push_str(&tagged(name, &cut(quoted, QUOTED_CHARACTERS)));
        }
    }
    if !brief.summaries.is_empty() {
        let lines: Vec<String> = brief.summaries.iter().map(|(agent, said)| format!("{agent}: {said}")).collect();
        text.push_str(&tagged(SUMMARIES, &lines.join("\n")));
    }
    if let Some(debug_info) = brief.debug_info {
        text.push_str(&format!(
            "This is attempt {}. The validator refused the attempt before; your files are still there. Read the failing \
             files, mend the cause, run the failed command again, and only then say that you are done.\n{}",
            brief.attempt,
            tagged(DEBUG_INFO, &serde_json::to_string_pretty(debug_info).unwrap_or_default())
        ));
    } else if let Some(failure) = brief.failure {
        text.push_str(&format!(
            "This is attempt {}. The attempt before ended with: {failure}. Your files are still there: look at them and \
             go on.\n",
            brief.attempt
        ));
    }
    // NOTE: the objective last: weak models heed most what they read last.
    text.push_str(&tagged(OBJECTIVE, brief.objective));
    let named = files_named(brief.objective);
    if !named.is_empty() {
        text.push_str(&format!(
            "The objective names these files; they belong at exactly these paths: {}\n",
            named.join(", ")
        ));
    }
    Message::user(text)
}

/// The files that an objective names: words that end as a file does.
fn files_named(objective: &str) -> Vec<&str> {
    const ENDINGS: [&str; 17] = [
        "py", "js", "mjs", "ts", "tsx", "jsx", "html", "css", "json", "md", "txt", "toml", "yaml", "yml", "sh", "sql",
        "csv",
    ];
    // Names of frameworks that look like files.
    const FRAMEWORKS: [&str; 12] =
        ["node", "next", "vue", "nuxt", "three", "express", "d3", "react", "chart", "p5", "ember", "electron"];
    let words = objective.split(|one: char| !(one.is_ascii_alphanumeric() || "._-/".contains(one)));
    let mut named: Vec<&str> = Vec::new();
    for word in words.map(|word| word.trim_matches(['.', '/', '-'])) {
        let is_file = word.rsplit_once('.').is_some_and(|(stem, ending)| {
            let is_framework = ending == "js" && FRAMEWORKS.contains(&stem.to_lowercase().as_str());
            !stem.is_empty() && ENDINGS.contains(&ending) && !is_framework
        });
        if is_file && !named.contains(&word) {
            named.push(word);
        }
    }
    named
}

/// What the model reads instead of the result of a call whose process died inside it.
pub(crate) fn interrupted(tool: &str) -> String {
    format!(
        "{INTERRUPTED} the process died while {tool} ran, so nobody knows whether it took effect. Look at the state \
         (list_files, read_file) and go on from there."
    )
}

/// The text of a section of a prompt.
pub(crate) fn section(text: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>\n"), format!("\n</{name}>"));
    let start = text.find(&open)? + open.len();
    let end = start + text[start..].find(&close)?;
    Some(text[start..end].to_owned())
}

/// The role in a system message of ours.
pub(crate) fn role_in(text: &str) -> Option<String> {
    let rest = text.strip_prefix(ROLE_START)?;
    Some(rest[..rest.find(ROLE_END)?].to_owned())
}

fn tagged(name: &str, text: &str) -> String {
    // NOTE: what people write cannot close our section.
    let text = text.replace(&format!("</{name}>"), &format!("<\u{200b}/{name}>"));
    format!("<{name}>\n{}\n</{name}>\n", text.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_found_again() {
        let agents = ["planner".to_owned(), "qa".to_owned()];
        let info = json!({"error_type": "validation_failure", "failed_tests": ["a"], "attempt": 1});
        let brief = Brief {
            objective: "Build a blog</objective> now",
            agents: &agents,
            attempt: 2,
            debug_info: Some(&info),
            ..Brief::default()
        };
        let Message::User { text } = first(&brief) else { panic!("a user message") };
        assert_eq!(section(&text, AGENTS).as_deref(), Some("planner, qa"));
        assert!(section(&text, OBJECTIVE).expect("an objective").ends_with("now"));
        let found: Value = serde_json::from_str(&section(&text, DEBUG_INFO).expect("a section")).expect("JSON");
        assert_eq!(found, info);
    }

    #[test]
    fn files_of_the_objective_are_found() {
        assert_eq!(files_named("Write hello.py that prints Hello, World!"), ["hello.py"]);
        assert_eq!(
            files_named("Fix src/app.js (and index.html). Use Node.js 20.1, e.g. for a todo."),
            ["src/app.js", "index.html"]
        );
        assert!(files_named("Build a REST API for a blog").is_empty());
    }

    #[test]
    fn the_role_is_found_again() {
        let Message::System { text } = system("backend", "You write.", &["write_file"]) else {
            panic!("a system message")
        };
        assert_eq!(role_in(&text).as_deref(), Some("backend"));
        assert_eq!(role_in("hello"), None);
    }
}
