//! One run that meets its secrets in every way, and everything that it leaves is searched: journal, events, view, artifacts,
//! call log. Only the workspace, which is the user's, may have them.

use std::{fs, path::Path, sync::Arc};

use orkestra_agents::{
    Agent, AgentOutput, Brief, SandboxKind, Workplaces,
    feed::product_event,
    model::{Message, ModelError, ScriptedModel, call, say},
    validate::CodeValidator,
};
use orkestra_core::prelude::{Cursor, Engine, MemoryStore, Retry, Run, Workflow};
use orkestra_tools::Secrets;
use serde_json::json;

use crate::support::writer::turn;

const MODEL_KEY: &str = "sk-proj-Aa0/+9_Zz~k3y&v4lue";
const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Commands that print the file `token.txt` in many forms. Python is used where the shell has no encoder.
const COMMANDS: [&str; 14] = [
    "cat token.txt",
    "cat token.txt >&2; exit 3",
    "base64 token.txt",
    "base64 -w 5 token.txt",
    "(printf x; cat token.txt) | base64 -w 0",
    "(printf xy; cat token.txt; printf abc) | base64 -w 0 | tr '+/' '-_' | tr -d =",
    "head -c 20 token.txt; sleep 0.2; tail -c +21 token.txt",
    "python3 -c 'print(open(\"token.txt\").read().encode().hex()); print(open(\"token.txt\").read().encode().hex().upper())'",
    "python3 -c 'import urllib.parse as u; t = open(\"token.txt\").read(); print(u.quote(t), u.quote(t, safe=\"\"), u.quote_plus(t))'",
    "python3 -c 'import urllib.parse as u; print(u.quote(open(\"token.txt\").read(), safe=\"\").replace(\"%2F\", \"%2f\").replace(\"%2B\", \"%2b\"))'",
    "python3 -c 'import json; print(json.dumps({\"t\": open(\"token.txt\").read()}))'",
    "fold -w 11 token.txt",
    "for i in 1 2 3 4 5 6 7 8; do head -c 9000 /dev/zero | tr '\\0' a; cat token.txt; done",
    "env; cat /proc/self/environ | tr '\\0' '\\n'",
];

/// The run, its engine, and what its model was asked.
async fn play(data: &Path, store: &Arc<MemoryStore>) -> (Engine, Run, Arc<ScriptedModel>) {
    let secrets = Secrets::new([("MODEL_KEY", MODEL_KEY), ("GITHUB_TOKEN", TOKEN)]).expect("two secrets");
    let workplaces = Workplaces::new(data).and_then(|workplaces| workplaces.with_call_log(&data.join("calls.log")));
    let workplaces =
        workplaces.expect("the directory can be used").with_sandbox(SandboxKind::Local).with_secrets(secrets);
    let workspace = workplaces.workspace_path("r1", None);
    fs::create_dir_all(&workspace).expect("it is created");
    fs::write(workspace.join("token.txt"), format!("{TOKEN}\n{MODEL_KEY}")).expect("it is written");
    let model = ScriptedModel::answering("scripted", |request| {
        let turn = turn(request);
        let is_second = request
            .messages
            .iter()
            .any(|message| matches!(message, Message::User { text } if text.contains("This is attempt")));
        Ok(match turn {
            _ if turn < COMMANDS.len() && !is_second => call("run_command", json!({"command": COMMANDS[turn]})),
            14 if !is_second => call("read_file", json!({"path": "token.txt"})),
            15 if !is_second => call("read_file", json!({"path": TOKEN})),
            16 if !is_second => call("edit_file", json!({"path": "token.txt", "old": "absent", "new": MODEL_KEY})),
            17 if !is_second => call("run_command", json!({"command": format!("echo {MODEL_KEY}"), "bad": TOKEN})),
            18 if !is_second => call("read_test_output", json!({})),
            19 if !is_second => call(TOKEN, json!({})),
            20 if !is_second => call(
                "write_file",
                json!({"path": format!("{TOKEN}.py"), "content": format!("# {TOKEN}\nraise SystemExit(")}),
            ),
            21 if !is_second => say(format!("I used the key {MODEL_KEY}.")),
            0 => call("write_file", json!({"path": "a.py", "content": "print(open('token.txt').read())\n"})),
            1 => call("run_command", json!({"command": "rm -f -- ghp*.py *secret*.py"})),
            _ => return Err(ModelError::Authentication(format!("incorrect API key provided: {MODEL_KEY}"))),
        })
    });
    let agent = Agent::new("writer", format!("You write with {TOKEN}."), model.clone(), &workplaces)
        .with_validator(CodeValidator::own_work())
        .with_brief(|cx, input| {
            Ok(Brief::of_run(cx, input)?.with_notice(format!("with {TOKEN}")).with_file("token", "token.txt"))
        });
    let workflow = Workflow::new("writing").node("writer", agent).retry(Retry::immediate(2)).build().expect("one node");
    let engine =
        Engine::builder().shared_store(Arc::clone(store) as _).workflow(workflow).start().await.expect("it starts");
    let run = engine.run("writing").id("r1").input("Write").expect("JSON").start().await.expect("it starts");
    let error = run.output::<AgentOutput>().await.expect_err("the model refuses the key at last");
    assert!(error.to_string().contains("[secret MODEL_KEY]"), "{error}");
    workplaces.close_all().await;
    (engine, run, model)
}

/// Parts of each secret that no output may have: the value, and what each encoder makes of its middle.
fn traces() -> Vec<String> {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
    let mut traces = Vec::new();
    for secret in [MODEL_KEY, TOKEN] {
        traces.push(secret.to_owned());
        for before in ["", "x", "xy"] {
            let encoded = encode(&format!("{before}{secret}"));
            let core = encoded[4..encoded.len() - 2].to_owned();
            traces.extend([core.replace('+', "-").replace('/', "_"), core]);
        }
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        traces.extend([hex.to_uppercase(), hex]);
    }
    traces.extend(
        ["sk-proj-Aa0%2F%2B9_Zz~k3y%26v4lue", "sk-proj-Aa0/%2B9_Zz~k3y%26v4lue", "sk-proj-Aa0%2f%2b9"]
            .map(str::to_owned),
    );
    // Halves: a secret must not be left in two parts either.
    traces.extend([&TOKEN[..15], &TOKEN[TOKEN.len() - 15..], &MODEL_KEY[..12]].map(str::to_owned));
    traces
}

fn check(place: &str, text: &str) {
    // Wrapped output: lines are joined.
    let joined: String = text.replace("\\n", "").chars().filter(|one| !matches!(one, '\n' | '\r')).collect();
    for trace in traces() {
        assert!(!text.contains(&trace) && !joined.contains(&trace), "{place} has {trace:?}:\n{text}");
    }
}

fn check_files(directory: &Path, count: &mut usize) {
    for entry in fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("an entry").path();
        check("the name of a file", &path.to_string_lossy());
        if path.is_dir() {
            check_files(&path, count);
        } else {
            check(&path.to_string_lossy(), &String::from_utf8_lossy(&fs::read(&path).expect("it can be read")));
            *count += 1;
        }
    }
}

#[tokio::test]
async fn secrets_are_in_no_journal_event_artifact_prompt_or_error() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let (engine, run, model) = play(data.path(), &store).await;
    let commits = run.commits(Cursor::START).await.expect("it can be read");
    let mut events = run.events(Cursor::START);
    let mut masked = 0;
    while let Some(event) = events.next().await.expect("it can be read") {
        let journal = serde_json::to_string(&event.event).expect("JSON");
        check("the journal", &journal);
        masked += journal.matches("[secret GITHUB_TOKEN]").count();
        check("the feed", &serde_json::to_string(&product_event(&event)).expect("JSON"));
    }
    assert!(masked > 50, "the commands did print it: {masked}");
    check("the commits", &format!("{commits:?}"));
    check("the view", &format!("{:?}", run.view().await.expect("it can be read")));
    for request in model.asked() {
        check("a prompt", &format!("{request:?}"));
    }
    let mut files = 0;
    check_files(&data.path().join("artifacts"), &mut files);
    check("the call log", &fs::read_to_string(data.path().join("calls.log")).expect("it is there"));
    assert!(files > COMMANDS.len(), "whole outputs are kept: {files}");
    engine.shutdown().await;
}
