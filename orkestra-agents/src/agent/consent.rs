//! Questions of an agent to a person: `ask_human`, and calls that the policy asks about.
//!
//! ```text
//! tool call -> step: decide -> allow: the call is made in this step
//!                           -> deny:  its result says why
//!                           -> ask:   its result is the question; then Context::ask waits, for days if need be, and
//!                                     a second step makes the call or tells the model the answer
//! ```
//! The decision is part of a step's result, so a policy that changes while a run waits changes nothing that was decided.

use std::path::PathBuf;
use std::time::Duration;

use orkestra_core::prelude::{Context, FailureKind, TaskResult};
use orkestra_tools::policy::{Action, Decision, Policy, PolicyRequest};
use orkestra_tools::{Effect, Secrets, Tool, ToolError, ToolOutput, ToolScope, ToolSet, TypedTool, Workspace, typed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tool_turn::ToolRecord;

/// The name of the tool that asks a person.
pub(super) const ASK_HUMAN: &str = "ask_human";
/// How long an answer is waited for by default: people answer the next day.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(24 * 60 * 60);

const QUESTION_CHARACTERS_MAX: u32 = 4_000;
const CHOICES_MAX: u32 = 12;
/// Arguments that a person is asked to consent to, bytes of JSON: some pages.
const CONSENT_BYTES_MAX: usize = 16 * 1024;
/// The answers that consent. Everything else refuses.
const CONSENTING: [&str; 8] = ["allow", "allowed", "approve", "approved", "yes", "y", "ok", "true"];
/// The answer that consents to one call where others consent to all of a run.
const ALLOW_ONCE: &str = "allow once";
/// Answers that refuse and say nothing else.
const REFUSING: [&str; 6] = ["deny", "denied", "no", "n", "false", ""];

/// The tool `ask_human(question, choices?)`: asks the person who watches the run, and waits for the answer. The wait is
/// durable. Only an [`Agent`](crate::Agent) can make the call; a bare `ToolSet` refuses it.
///
/// ```
/// use orkestra_agents::ask_human;
/// use orkestra_tools::ToolSet;
///
/// let tools = ToolSet::builtin().with(ask_human());
/// assert!(tools.get("ask_human").is_some());
/// ```
#[must_use]
pub fn ask_human() -> std::sync::Arc<dyn Tool> {
    typed(AskHuman)
}

struct AskHuman;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The question, with everything that is needed to answer it.
    #[schemars(length(min = 1, max = QUESTION_CHARACTERS_MAX))]
    question: String,
    /// The answers to choose from, if there are only a few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = CHOICES_MAX))]
    choices: Vec<String>,
}

#[async_trait::async_trait]
impl TypedTool for AskHuman {
    type Arguments = Question;
    const NAME: &'static str = ASK_HUMAN;
    const DESCRIPTION: &'static str = "Ask the person you work for and wait for the answer. Use it only for what you cannot find \
        out and must not guess.";
    // NOTE: not repeated after a crash; but the wait is a step of its own, which a crash does not interrupt.
    const EFFECT: Effect = Effect::ReadOnly;

    /// A question may have text that looks like a path.
    fn paths(&self, _: &Question) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    async fn call(&self, _: &ToolScope, _: Question) -> Result<ToolOutput, ToolError> {
        Err(ToolError::Refused(
            "ask_human has nobody to ask here; decide by yourself and say what you assumed".to_owned(),
        ))
    }
}

/// What a call waits for before it has a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Waiting {
    /// A person's consent.
    Consent(Consent),
    /// A person's answer.
    Answer(Question),
}

/// What consent is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consent {
    #[serde(flatten)]
    decision: Decision,
    /// What the tool was when the question was asked. See [`Tool::fingerprint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

impl Consent {
    /// Why a call must not be made although a person consented: the tool has become another one since.
    pub(super) fn is_outdated(&self, tools: &ToolSet, tool: &str) -> Option<String> {
        let now = tools.get(tool).and_then(|tool| tool.fingerprint());
        (self.fingerprint.as_deref() != now).then(|| {
            format!(
                "{tool} was not called: it has changed since the person who was asked consented to it. Read its description again \
                 and call it again if it still does what you need; the person is asked again."
            )
        })
    }

    /// As a line of the file of what was consented to.
    fn key(&self, tool: &str) -> Value {
        json!({"tool": tool, "fingerprint": self.fingerprint, "rule": self.decision.rule})
    }
}

/// What was consented to for the rest of a run: a file with a line for each. Losing it costs a question.
#[derive(Debug, Clone)]
pub(crate) struct Consents(PathBuf);

impl Consents {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn has(&self, key: &Value) -> bool {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().any(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line == *key))
    }

    /// Keeps the consent. Called in the step that makes the call, before it: a crash repeats both or neither.
    pub(super) fn keep(&self, tool: &str, consent: &Consent) {
        let write = || -> std::io::Result<()> {
            if let Some(directory) = self.0.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.0)?;
            // NOTE: a newline before it too, in case that a crash cut the last line.
            std::io::Write::write_all(&mut file, format!("\n{}\n", consent.key(tool)).as_bytes())?;
            file.sync_data()
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "cannot keep a person's consent; the question is asked again");
        }
    }
}

/// A person's consent to a call.
#[derive(Clone, Copy)]
pub(super) struct Consented<'a> {
    pub(super) consent: &'a Consent,
    /// Whether it holds for the rest of the run.
    pub(super) for_run: bool,
}

/// What a person said.
pub(super) enum Said<'a> {
    /// The call is to be made.
    Consented(Consented<'a>),
    /// What the model reads instead of a result, and whether it is an error.
    Told(String, bool),
}

/// What is to be done about a valid call, before it is made.
pub(super) enum Verdict {
    Make,
    Wait(Waiting),
    Refuse(String),
}

/// A call with valid arguments, and what a policy decides on.
pub(super) struct Valid {
    arguments: Value,
    request: PolicyRequest,
}

/// Looks at a call with what its paths lead to. `None` when its arguments are invalid or its tool is unknown, which the tool set
/// explains. Blocks on disk I/O.
pub(super) fn look(tools: &ToolSet, workspace: &Workspace, tool: &str, arguments: &Value) -> Option<Valid> {
    let arguments = tools.validate(tool, arguments.clone()).ok()?;
    let request = tools.policy_request(tool, &arguments, Some(workspace));
    Some(Valid { arguments, request })
}

/// Decides on a call.
pub(super) fn judge(policy: &Policy, tools: &ToolSet, consents: &Consents, tool: &str, call: Option<Valid>) -> Verdict {
    let Some(Valid { arguments, request }) = call else { return Verdict::Make };
    let decision = policy.decide(&request);
    let is_question = tool == ASK_HUMAN && decision.action <= Action::Ask;
    if is_question && let Ok(question) = serde_json::from_value(arguments) {
        // A person is asked anyway.
        Verdict::Wait(Waiting::Answer(question))
    } else if decision.action == Action::Allow {
        Verdict::Make
    } else if matches!(decision.action, Action::AskOnce | Action::Ask) {
        let found = tools.get(tool);
        let fingerprint = found.and_then(|found| found.fingerprint()).map(str::to_owned);
        let is_once = decision.action == Action::AskOnce;
        let consent = Consent { decision, fingerprint };
        let is_known = found.is_some_and(|found| found.is_approved()) || consents.has(&consent.key(tool));
        if is_once && is_known { Verdict::Make } else { Verdict::Wait(Waiting::Consent(consent)) }
    } else {
        // NOTE: also what a newer version may decide.
        Verdict::Refuse(denied(tool, &decision))
    }
}

impl Waiting {
    /// Whether a person cannot be expected to read what they would consent to.
    pub(super) fn is_too_long(&self, arguments: &Value) -> bool {
        matches!(self, Self::Consent(_)) && arguments.to_string().len() > CONSENT_BYTES_MAX
    }

    /// Asks and waits. A call of the same task after a restart finds the question asked, and the answer if there is one.
    pub(super) async fn ask(
        &self,
        cx: &Context,
        tool: &str,
        shown: &Value,
        limit: Duration,
        secrets: &Secrets,
    ) -> TaskResult<Said<'_>> {
        let mut question = self.question(tool, shown);
        secrets.mask_json(&mut question);
        let answer = cx.ask::<Value>(question).timeout(limit).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.failure().kind == FailureKind::TimedOut => return Ok(self.unanswered(tool, limit)),
            Err(error) => return Err(error),
        };
        Ok(self.answered(tool, &secrets.masked(text_of(&answer))))
    }

    /// What the event `human_input_required` shows.
    fn question(&self, tool: &str, shown: &Value) -> Value {
        match self {
            Self::Answer(Question { question, choices }) if choices.is_empty() => json!(question),
            Self::Answer(Question { question, choices }) => json!({"text": question, "choices": choices}),
            Self::Consent(Consent { decision, fingerprint }) => {
                let mut question = json!({
                    "text": format!("may {tool} be called? {decision}"),
                    "choices": ["allow", "deny"],
                    "tool": tool,
                    "arguments": shown,
                    "rule": decision.rule,
                });
                if decision.action == Action::AskOnce {
                    let text = format!("may {tool} be called in this run, now and later? {decision}");
                    (question["text"], question["choices"]) = (json!(text), json!(["allow", ALLOW_ONCE, "deny"]));
                }
                if let Some(fingerprint) = fingerprint {
                    question["fingerprint"] = json!(fingerprint);
                }
                question
            }
        }
    }

    fn answered(&self, tool: &str, answer: &str) -> Said<'_> {
        match self {
            Self::Answer(_) => Said::Told(format!("The person answered: {answer}"), false),
            Self::Consent(consent) if CONSENTING.contains(&plain(answer).as_str()) => {
                Said::Consented(Consented { consent, for_run: consent.decision.action == Action::AskOnce })
            }
            Self::Consent(consent) if plain(answer) == ALLOW_ONCE => {
                Said::Consented(Consented { consent, for_run: false })
            }
            Self::Consent(Consent { decision, .. }) => {
                let note = if REFUSING.contains(&plain(answer).as_str()) {
                    "answered no".to_owned()
                } else {
                    format!("answered: {answer}")
                };
                Said::Told(not_called(tool, &format!("{decision}. The person who was asked {note}")), true)
            }
        }
    }

    fn unanswered(&self, tool: &str, limit: Duration) -> Said<'_> {
        let time = format!("Nobody answered within {} minutes", limit.as_secs().div_ceil(60).max(1));
        match self {
            Self::Answer(_) => Said::Told(
                format!(
                    "{time}. Decide by yourself, choose what is easiest to undo, and say in your summary what you assumed."
                ),
                true,
            ),
            Self::Consent(Consent { decision, .. }) => {
                Said::Told(not_called(tool, &format!("{decision}. {time}")), true)
            }
        }
    }
}

/// What the model reads about a call that needs consent and is too long for it.
pub(super) fn too_long(tool: &str) -> String {
    format!(
        "{tool} was not called: a person has to consent to it, and its arguments have more than {CONSENT_BYTES_MAX} bytes. Call it with \
         shorter ones; write long content to a file first."
    )
}

/// What the model reads about a call that the policy denies.
fn denied(tool: &str, decision: &Decision) -> String {
    let hint = match &decision.unclear {
        Some(_) => {
            " If it is not what the rule is about, write the command plainly: no variables or substitutions where a \
                    command, its subcommand or a path stands, one simple command per call."
        }
        None => "",
    };
    format!("{}{hint}", not_called(tool, &decision.to_string()))
}

fn not_called(tool: &str, why: &str) -> String {
    format!(
        "{tool} was not called: {why}. Do not try to do the same in another way. Go on with the rest of your work, and say in \
         your summary what is left to do."
    )
}

/// An answer as text: people send texts, programs also `true` or an object.
fn text_of(answer: &Value) -> String {
    match answer {
        Value::String(text) => text.clone(),
        Value::Object(fields) if fields.contains_key("answer") => text_of(&fields["answer"]),
        other => other.to_string(),
    }
}

fn plain(answer: &str) -> String {
    answer.trim().trim_end_matches(['.', '!']).to_lowercase()
}

/// The record of a call that a person did not consent to, or of an answer.
pub(super) fn record(text: String, is_error: bool) -> ToolRecord {
    ToolRecord { is_error, ..ToolRecord::error(text) }
}
