//! The agent loop: from the brief to a validated output.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use orkestra_core::prelude::{Context, FailureKind, Task, TaskError, TaskResult};
use orkestra_tools::{Network, Tool, ToolSet, egress::HostUse};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ErrorKind,
    agent::{
        Agent, AgentOutput, Brief, CALLS_PER_TURN_MAX,
        condense::cut,
        detector::Advice,
        events::{self, ToolWatch, Voice},
        mask,
        model_turn::ModelTurn,
        prompt::{self, Opening},
        talk::Talk,
        tool_turn::{ToolRecord, ToolTurn},
    },
    model::{FinishReason, Message, Model, Reply, ToolDefinition},
    validate::{ErrorType, Submission, Verdict},
    workplace::Workplace,
};

/// Characters of a summary, which goes into the prompts of the agents after this one.
const SUMMARY_CHARACTERS: usize = 1_500;
/// Empty answers in a row before the attempt fails.
const EMPTY_ANSWERS_MAX: u32 = 3;

/// The word with which a nudged model asks for its tools.
const CONTINUE: &str = "CONTINUE";
/// Sent to a model that repeats itself. It has no tools for the next answer: weak models that are done would repeat a call
/// for ever, and strong ones ask for their tools.
const NUDGE: &str = "For this one answer you have no tools. If your work is done, sum it up in a sentence or two. If it is \
    not, answer with the one word CONTINUE, and go on in another way.";
/// Sent to a model whose calls brought nothing new.
const IDLE: &str = "Nothing new has come of that: these calls were made before, with the same results. If something is \
    missing, do that now; else your work is done: answer in words, with a short summary, without calling a tool.";

/// The beginning of the keys under which attempts publish what their commands used of the network.
pub(crate) const NETWORK_KEY: &str = "network:";

/// How a conversation ended.
enum Finish {
    /// The agent is done; this is its summary.
    Done(String),
    /// The agent was stopped, for this reason.
    Stopped(String),
}

/// What the first prompt says about the workspace. Stored, so that a replay sends the same prompt.
#[derive(Clone, Serialize, Deserialize)]
struct Surroundings {
    files: Vec<String>,
    /// The files that the brief quotes, by the names of their sections.
    #[serde(flatten)]
    quoted: BTreeMap<String, Option<String>>,
}

/// One attempt of one agent.
struct Attempt<'a> {
    agent: &'a Agent,
    tools: &'a ToolSet,
    cx: &'a Context,
    brief: &'a Brief,
    workplace: &'a Workplace,
    /// The outputs of the agents before this one.
    before: &'a [AgentOutput],
}

#[async_trait]
impl Task for Agent {
    type Input = Value;
    type Output = AgentOutput;

    async fn run(&self, cx: Context, input: Value) -> TaskResult<AgentOutput> {
        let brief = (self.brief)(&cx, &input)?;
        brief.check().map_err(TaskError::permanent)?;
        let workplace = self.workplaces.open(cx.run_id(), brief.project_id.as_deref(), brief.sandbox.as_ref());
        let workplace = workplace.map_err(|error| match error.kind() {
            ErrorKind::Usage => TaskError::permanent(error.to_string()),
            _ => TaskError::new(error.to_string()),
        })?;
        self.workplaces.check(cx.run_id(), &workplace).await;
        let before = AgentOutput::all_in(&input);
        let tools = (self.tools)(&cx)?;
        let attempt =
            Attempt { agent: self, tools: &tools, cx: &cx, brief: &brief, workplace: &workplace, before: &before };
        tokio::select! {
            output = attempt.run() => output.map_err(|error| mask::error(workplace.secrets(), error)),
            // NOTE: dropping the attempt drops the model's stream and kills the command that runs.
            () = cx.cancelled() => Err(TaskError::permanent("the attempt was cancelled").with_kind(FailureKind::Cancelled)),
        }
    }
}

impl Attempt<'_> {
    async fn run(&self) -> TaskResult<AgentOutput> {
        let model = (self.agent.model)(self.cx)?;
        let mut talk = Talk::new(self.opening(&*model).await?);
        let finish = self.converse(&model, &mut talk).await;
        let mut written = self.written(talk.written()).await?;
        let output = match finish? {
            Finish::Done(summary) => {
                written.extend(self.write_answer(&written, &summary).await?);
                self.judge(written, summary).await
            }
            Finish::Stopped(reason) => Err(TaskError::new(reason).with_kind(ErrorType::ToolError.name())),
        };
        let counted = self.count_rest(&mut talk).await;
        output.and_then(|output| counted.map(|()| output))
    }

    /// Counts what the validator's commands and processes in the background used of the network.
    async fn count_rest(&self, talk: &mut Talk) -> TaskResult<()> {
        // NOTE: other networks count nothing, and runs of older versions have no such step.
        if self.workplace.spec().network_used() != Network::Registries {
            return Ok(());
        }
        let count = || async {
            let hosts = self.workplace.take_hosts().await;
            events::sandbox_news(&self.voice(), self.workplace, &hosts);
            mask::value(self.workplace.secrets(), hosts)
        };
        let hosts = self.cx.step(self.key("network"), count).await?;
        self.count(&hosts, talk).await
    }

    /// Publishes the sum of the attempt, which views read.
    async fn count(&self, hosts: &[HostUse], talk: &mut Talk) -> TaskResult<()> {
        if hosts.is_empty() {
            return Ok(());
        }
        let key = format!("{NETWORK_KEY}{}:{}", self.cx.node(), self.cx.attempt());
        self.cx.publish(&key, talk.used(hosts)).await
    }

    fn key(&self, rest: &str) -> String {
        format!("a{}/{rest}", self.cx.attempt())
    }

    /// The first messages.
    async fn opening(&self, model: &dyn Model) -> TaskResult<Vec<Message>> {
        let surroundings: Surroundings = self.cx.step(self.key("brief"), || self.look_around(model)).await?;
        let failure = self.cx.last_failure();
        let detail = failure.and_then(|failure| failure.detail.as_ref()?.to::<Value>().ok());
        let opening = Opening {
            brief: self.brief,
            existing: &surroundings.files,
            quoted: &surroundings.quoted,
            summaries: AgentOutput::summaries_of(self.before),
            attempt: self.cx.attempt(),
            debug_info: detail.as_ref().filter(|detail| detail.get("error_type").is_some()),
            failure: failure.map(|failure| failure.message.as_str()),
        };
        let current = self.tools.current();
        let tools: Vec<&str> = current.iter().map(|tool| tool.name()).collect();
        let checks = self.agent.validator.as_ref().map(|validator| validator.checks());
        let system = prompt::system(&self.agent.role, &self.agent.duty, &tools, checks, self.workplace.spec());
        Ok(mask::messages(self.workplace.secrets(), vec![system, prompt::first(&opening)]))
    }

    async fn look_around(&self, model: &dyn Model) -> Result<Surroundings, TaskError> {
        if self.cx.attempt() == 1 && self.before.is_empty() {
            let notices = model.notice().into_iter().chain(self.brief.notices.iter().map(String::as_str));
            notices.for_each(|notice| events::notice(&self.voice(), notice));
        }
        let quoted = self.brief.files.clone();
        let workspace = self.workplace.workspace().clone();
        let looked = tokio::task::spawn_blocking(move || {
            let read = |path: &str| workspace.read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let files = match workspace.list() {
                Ok(listing) => listing.files.into_iter().map(|entry| entry.path).collect(),
                // A command made it unreadable: the agent learns it from its own list_files and can correct it.
                Err(error) if error.is_for_model() => Vec::new(),
                Err(error) => return Err(error),
            };
            let quoted = quoted.into_iter().map(|(section, path)| (section, read(&path))).collect();
            Ok::<_, orkestra_tools::WorkspaceError>(Surroundings { files, quoted })
        });
        mask::value(self.workplace.secrets(), looked.await??)
    }

    fn voice(&self) -> Voice {
        Voice::new(self.cx, self.workplace.secrets())
    }

    /// Calls the model and its tools in turn, until the agent is done or is stopped.
    async fn converse(&self, model: &Arc<dyn Model>, talk: &mut Talk) -> TaskResult<Finish> {
        let mut empty = 0;
        let mut words_only = false;
        for turn in 1..=self.agent.turns_max {
            let key = self.key(&format!("turn-{turn}"));
            let call_log = self.agent.workplaces.call_log();
            let secrets = self.workplace.secrets();
            // What the model chooses from is what its calls are judged and made by.
            let current = self.tools.current();
            let tools = definitions(&current);
            let turn = ModelTurn { cx: self.cx, model, tools: &tools, call_log, secrets, key: &key, words_only };
            let reply = turn.ask(talk).await?;
            let wants_tools_back = words_only && reply.message.text.trim_start().starts_with(CONTINUE);
            words_only = false;
            talk.push(Message::Assistant(reply.message.clone()));
            if !reply.message.tool_calls.is_empty() {
                match self.use_tools(&key, &current, &reply, talk).await? {
                    Advice::GoOn => {}
                    Advice::Nudge(_) => words_only = true,
                    Advice::Stop(reason) => return Ok(Finish::Stopped(reason)),
                }
            } else if wants_tools_back {
                talk.push(Message::user("Go on. You have your tools again; do something else with them than before."));
            } else if reply.stop == FinishReason::Length {
                talk.push(Message::user("Your answer was cut off at its limit. Go on, in smaller pieces."));
            } else if reply.message.text.trim().is_empty() {
                empty += 1;
                if empty == EMPTY_ANSWERS_MAX {
                    return Ok(Finish::Stopped(format!(
                        "the model gave an empty answer {empty} times; use another model"
                    )));
                }
                talk.push(Message::user("Your answer was empty. Go on, or sum up what you did."));
            } else {
                return Ok(Finish::Done(cut(reply.message.text.trim(), SUMMARY_CHARACTERS)));
            }
        }
        Ok(Finish::Stopped(format!(
            "the agent was not done after {} turns; allow more, or make its task smaller",
            self.agent.turns_max
        )))
    }

    /// Makes the calls of one answer. Returns what to do about an agent that repeats itself.
    async fn use_tools(&self, key: &str, tools: &ToolSet, reply: &Reply, talk: &mut Talk) -> TaskResult<Advice> {
        let call_log = self.agent.workplaces.call_log();
        let turn = ToolTurn { cx: self.cx, tools, workplace: self.workplace, call_log };
        let mut advice = Advice::GoOn;
        let mut is_idle = true;
        for (position, call) in reply.message.tool_calls.iter().enumerate() {
            let record = if position < CALLS_PER_TURN_MAX {
                turn.call(&format!("{key}/tool-{position}-{}", step_name(&call.name)), call).await?
            } else {
                ToolRecord::error(format!("not called: at most {CALLS_PER_TURN_MAX} calls in one answer"))
            };
            self.count(&record.hosts, talk).await?;
            talk.show(&record.pictures);
            let seen = talk.answer(call, &record.text, record.is_error, &record.files);
            is_idle &= !seen.is_new;
            if seen.advice != Advice::GoOn && !matches!(advice, Advice::Stop(_)) {
                advice = seen.advice;
            }
        }
        // NOTE: after all results, because providers refuse anything between a call and its result.
        match &advice {
            Advice::Nudge(circle) => talk.push(Message::user(format!("{circle} {NUDGE}"))),
            Advice::GoOn if is_idle => talk.push(Message::user(IDLE)),
            Advice::GoOn | Advice::Stop(_) => {}
        }
        Ok(advice)
    }

    /// The files of this attempt and of earlier ones; a step of its own remembers the files of each attempt.
    async fn written(&self, now: &[String]) -> TaskResult<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        for attempt in 1..=self.cx.attempt() {
            let files = if attempt == self.cx.attempt() { now.to_vec() } else { Vec::new() };
            let remember = || std::future::ready(Ok::<_, TaskError>(files.clone()));
            for file in self.cx.step(format!("a{attempt}/files"), remember).await? {
                if !all.contains(&file) {
                    all.push(file);
                }
            }
        }
        Ok(all)
    }

    /// Writes the agent's answer into its answer file, unless it has none or wrote it itself.
    async fn write_answer(&self, written: &[String], answer: &str) -> TaskResult<Option<String>> {
        let Some(path) = self.agent.answer_file.as_ref().filter(|path| !written.contains(path)) else {
            return Ok(None);
        };
        let write = || async {
            let (workspace, path, content) =
                (self.workplace.workspace().clone(), path.clone(), format!("{answer}\n").into_bytes());
            let written = path.clone();
            match tokio::task::spawn_blocking(move || workspace.write(&written, &content)).await? {
                Ok(bytes) => events::file_written(&self.voice(), path, bytes),
                // The agent left something else at this path: the validator judges that.
                Err(error) if error.is_for_model() => {
                    tracing::warn!(%error, path, "cannot write the answer of an agent");
                }
                Err(error) => return Err(error.into()),
            }
            Ok::<_, TaskError>(())
        };
        self.cx.step(self.key("answer-file"), write).await?;
        Ok(Some(path.clone()))
    }

    /// Lets the validator judge the work, and puts the output together.
    async fn judge(&self, written: Vec<String>, summary: String) -> TaskResult<AgentOutput> {
        let verdict = match &self.agent.validator {
            Some(_) => self.cx.step(self.key("validate"), || self.validate(&written)).await?,
            None => Verdict::Passed { notes: Vec::new() },
        };
        let checks = match verdict {
            Verdict::Passed { notes } => notes,
            Verdict::Failed(info) => {
                let message =
                    format!("the validator refused the work: {} failed ({:?})", info.failed_command, info.error_type);
                return Err(TaskError::new(message)
                    .with_kind(ErrorType::ValidationFailure.name())
                    .with_detail(serde_json::to_value(&info)?));
            }
        };
        let agent = self.agent.role.clone();
        let mut files = AgentOutput::files_of(self.before);
        files.extend(written.iter().filter(|file| !files.contains(file)).cloned().collect::<Vec<_>>());
        files.sort();
        let mut summaries = AgentOutput::summaries_of(self.before);
        summaries.push((agent.clone(), summary.clone()));
        Ok(AgentOutput { agent, files_written: written, summary, checks, files, summaries })
    }

    async fn validate(&self, written: &[String]) -> Result<Verdict, TaskError> {
        let Some(validator) = &self.agent.validator else { return Ok(Verdict::Passed { notes: Vec::new() }) };
        let scope = self.workplace.scope(self.cx.node(), Arc::new(ToolWatch::new(self.voice(), self.workplace)));
        let work = Submission { scope: &scope, written, wanted: &self.brief.wanted, attempt: self.cx.attempt() };
        let verdict = validator.validate(work).await;
        let verdict = verdict.map_err(|error| mask::error(self.workplace.secrets(), error.into()))?;
        let verdict = mask::value(self.workplace.secrets(), verdict)?;
        if let Verdict::Failed(info) = &verdict {
            events::validation_failed(&self.voice(), info);
        }
        Ok(verdict)
    }
}

fn definitions(tools: &ToolSet) -> Vec<ToolDefinition> {
    let definition = |tool: &Arc<dyn Tool>| ToolDefinition {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        schema: tool.schema().clone(),
    };
    tools.iter().map(definition).collect()
}

/// A tool's name as part of a step's key. A model may ask for any name.
fn step_name(name: &str) -> String {
    name.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '_').take(64).collect()
}
