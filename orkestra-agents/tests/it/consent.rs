//! Calls that wait for a person: the policy asks or denies, `ask_human` asks, answers come after a restart, or never.

use std::{path::Path, sync::Arc, time::Duration};

use orkestra_agents::{
    Agent, AgentOutput, SandboxKind, Workplaces, ask_human,
    model::{Request, ScriptedModel, call, say},
};
use orkestra_core::prelude::{Cursor, Engine, Event, MemoryStore, Run, Seq, Workflow};
use orkestra_tools::{ToolSet, policy::Policy};
use serde_json::{Value, json};

use crate::support::writer::{last_result, turn};

const POLICY: &str = r#"
[[rules]]
name = "touching"
action = "ask"
command = "touch"
reason = "it touches"
examples = ["touch a"]

[[rules]]
name = "no-removal"
action = "deny"
command = "rm"
reason = "write an empty file instead"
examples = ["rm a"]
"#;

/// A process with one agent, whose parked task leaves memory at once.
struct Process {
    engine: Engine,
    workplaces: Workplaces,
}

impl Process {
    async fn start(
        data: &Path,
        store: &Arc<MemoryStore>,
        model: &Arc<ScriptedModel>,
        policy: &str,
        limit: Duration,
    ) -> Self {
        let workplaces = Workplaces::new(data).expect("it can be used").with_sandbox(SandboxKind::Local);
        let policy = Policy::from_toml(policy).expect("it is valid");
        let workplaces = workplaces.with_policy(policy).with_answer_time(limit);
        let tools = ToolSet::builtin().with(ask_human());
        let agent = Agent::new("writer", "You write.", model.clone(), &workplaces).with_tools(tools);
        let workflow = Workflow::new("writing").node("writer", agent).build().expect("one node");
        let builder = Engine::builder().shared_store(Arc::clone(store) as _).park_after(Duration::ZERO);
        let engine = builder.workflow(workflow).start().await.expect("it starts");
        Self { engine, workplaces }
    }

    async fn run(&self) -> Run {
        self.engine.run("writing").id("r1").input("Write").expect("JSON").start().await.expect("it starts")
    }

    async fn stop(self) {
        self.engine.shutdown().await;
        self.workplaces.close_all().await;
    }
}

/// Waits for the question number `number`; returns its id and text.
pub(crate) async fn question(run: &Run, number: usize) -> (Seq, Value) {
    let mut events = run.events(Cursor::START);
    let mut seen = 0;
    while let Some(event) = events.next().await.expect("the store can be read") {
        if let Event::QuestionAsked { question, .. } = &event.event {
            seen += 1;
            if seen == number {
                return (event.seq, question.to().expect("JSON"));
            }
        }
    }
    panic!("the run ended without question {number}");
}

fn touching(then: impl Fn(&Request) -> String + Send + Sync + 'static) -> Arc<ScriptedModel> {
    ScriptedModel::answering("scripted", move |request| {
        Ok(match turn(request) {
            0 => call("run_command", json!({"command": "mkdir d && touch d/made"})),
            _ => say(then(request)),
        })
    })
}

#[tokio::test]
async fn a_call_that_the_policy_asks_about_waits_through_restarts_and_is_made_once() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let model = touching(|request| last_result(request).to_owned());
    let hour = Duration::from_secs(3600);
    let made = data.path().join("workspace/run_r1/d/made");

    let process = Process::start(data.path(), &store, &model, POLICY, hour).await;
    let (_, asked) = question(&process.run().await, 1).await;
    assert_eq!(asked["tool"], "run_command");
    assert_eq!(asked["rule"], "touching");
    assert_eq!(asked["choices"], json!(["allow", "deny"]));
    assert_eq!(asked["text"], "may run_command be called? the rule `touching` asks about `touch d/made`: it touches");
    assert_eq!(asked["arguments"]["command"], "mkdir d && touch d/made");
    assert!(!made.exists());
    process.stop().await;

    // A stricter policy changes nothing that was decided.
    let denies = POLICY.replace("\"ask\"", "\"deny\"");
    let process = Process::start(data.path(), &store, &model, &denies, hour).await;
    let run = process.run().await;
    let (id, again) = question(&run, 1).await;
    assert_eq!(again, asked);
    run.answer(id, "Yes").await.expect("it is asked");
    let output: AgentOutput = run.output().await.expect("it completes");
    assert!(output.summary.contains("exit code 0"), "{}", output.summary);
    assert!(made.exists());
    assert_eq!(model.asked().len(), 2, "no model call is repeated");
    process.stop().await;
}

#[tokio::test]
async fn a_refusal_a_note_and_no_answer_are_results_that_say_what_to_do() {
    for (answer, limit, expected) in [
        (Some(json!("deny")), Duration::from_secs(3600), "The person who was asked answered no."),
        (Some(json!(false)), Duration::from_secs(3600), "The person who was asked answered no."),
        (
            Some(json!({"answer": "use mkdir"})),
            Duration::from_secs(3600),
            "The person who was asked answered: use mkdir.",
        ),
        (None, Duration::from_millis(30), "Nobody answered within 1 minutes."),
    ] {
        let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
        let model = touching(|request| last_result(request).to_owned());
        let process = Process::start(data.path(), &store, &model, POLICY, limit).await;
        let run = process.run().await;
        let (id, _) = question(&run, 1).await;
        if let Some(answer) = answer {
            run.answer(id, &answer).await.expect("it is asked");
        }
        let output: AgentOutput = run.output().await.expect("it completes");
        assert!(output.summary.starts_with("run_command was not called: the rule `touching`"), "{}", output.summary);
        assert!(output.summary.contains(expected), "{}", output.summary);
        assert!(output.summary.contains("Go on with the rest of your work"), "{}", output.summary);
        assert!(!data.path().join("workspace/run_r1/d").exists(), "no part of the command ran");
        process.stop().await;
    }
}

#[tokio::test]
async fn a_denied_call_is_a_result_and_nobody_is_asked() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => call("write_file", json!({"path": "a", "content": "kept"})),
            1 => call("run_command", json!({"command": "X=a; r\"m\" $X; touch b"})),
            _ => say(last_result(request)),
        })
    });
    let process = Process::start(data.path(), &store, &model, POLICY, Duration::from_secs(3600)).await;
    let output: AgentOutput = process.run().await.output().await.expect("it completes");
    let expected = "run_command was not called: the rule `no-removal` denies `rm …`: write an empty file instead.";
    assert!(output.summary.starts_with(expected), "{}", output.summary);
    assert!(data.path().join("workspace/run_r1/a").exists() && !data.path().join("workspace/run_r1/b").exists());
    process.stop().await;
}

#[tokio::test]
async fn invalid_arguments_are_explained_and_nobody_is_asked() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => call("run_command", json!({"command": "touch a", "wrong": 1})),
            1 => {
                assert!(
                    last_result(request).starts_with("run_command was not called because"),
                    "{}",
                    last_result(request)
                );
                call("ask_human", json!({"choices": ["a"]}))
            }
            _ => say(last_result(request)),
        })
    });
    let process = Process::start(data.path(), &store, &model, POLICY, Duration::from_secs(3600)).await;
    let output: AgentOutput = process.run().await.output().await.expect("it completes");
    assert!(
        output.summary.contains("ask_human was not called because its arguments are invalid"),
        "{}",
        output.summary
    );
    process.stop().await;
}

#[tokio::test]
async fn an_agent_asks_a_person_and_goes_on_after_a_restart() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => call("ask_human", json!({"question": "Which database?", "choices": ["sled", "postgres"]})),
            1 => call("ask_human", json!({"question": format!("Sure? {}", last_result(request))})),
            _ => say(last_result(request)),
        })
    });
    let hour = Duration::from_secs(3600);
    let process = Process::start(data.path(), &store, &model, POLICY, hour).await;
    let run = process.run().await;
    let (id, asked) = question(&run, 1).await;
    assert_eq!(asked, json!({"text": "Which database?", "choices": ["sled", "postgres"]}));
    process.stop().await;

    let process = Process::start(data.path(), &store, &model, POLICY, hour).await;
    let run = process.run().await;
    run.answer(id, "sled").await.expect("it is asked");
    let (id, asked) = question(&run, 2).await;
    assert_eq!(asked, json!("Sure? The person answered: sled"));
    run.answer(id, &true).await.expect("it is asked");
    let output: AgentOutput = run.output().await.expect("it completes");
    assert_eq!(output.summary, "The person answered: true");
    assert_eq!(model.asked().len(), 3, "no model call is repeated");
    process.stop().await;
}
