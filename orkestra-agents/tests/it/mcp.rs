//! Agents with the tools of MCP servers that others wrote: a person is asked once for each tool, and the agent is told when a
//! server is killed in the middle of a call.

use std::{path::Path, path::PathBuf, sync::Arc};

use orkestra_agents::{
    Agent, AgentOutput, SandboxKind, Workplaces,
    model::{Request, ScriptedModel, call, say},
};
use orkestra_core::prelude::{Engine, MemoryStore, Run, Workflow};
use orkestra_tools::mcp::{McpConfig, McpOptions, McpSandboxes, McpServer, McpTools};
use orkestra_tools::{LocalOptions, ToolSource as _};
use serde_json::json;

use crate::consent::question;
use crate::support::writer::{last_result, turn};

/// As in the tests of orkestra-tools.
fn installed() -> Option<PathBuf> {
    let directory = std::env::var_os("ORKESTRA_TEST_MCP").map(PathBuf::from);
    assert!(directory.is_some() || std::env::var("CI").as_deref() != Ok("true"), "CI needs ORKESTRA_TEST_MCP");
    if directory.is_none() {
        eprintln!(
            "\n==== SKIPPED, no MCP servers: run scripts/setup-mcp and set ORKESTRA_TEST_MCP to its directory ====\n"
        );
    }
    directory
}

/// The two servers; `mark` is in the command line of the one of npm.
async fn both(directory: &Path, data: &Path, mark: &str) -> McpTools {
    let python = directory.join("python/bin/python");
    let node = directory.join("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let interpreter = python.canonicalize().expect("it is there");
    let home = interpreter.parent().and_then(Path::parent).expect("a directory").to_owned();
    let servers = vec![
        McpServer::stdio("time", format!("exec {} -m mcp_server_time", python.display())),
        McpServer::stdio("everything", format!("exec node {} stdio {mark}", node.display())),
    ];
    connect(servers, data, vec![directory.to_owned(), home]).await
}

async fn connect(servers: Vec<McpServer>, data: &Path, readable: Vec<PathBuf>) -> McpTools {
    let mut options = LocalOptions::default();
    options.readable = readable;
    let mut config = McpConfig::default();
    config.servers = servers;
    let options = McpOptions::new(Arc::new(McpSandboxes::local(data.join("mcp"), options)));
    McpTools::connect(config, options).await.expect("the servers start")
}

/// A process with one agent that has these tools.
async fn start(
    data: &Path,
    store: &Arc<MemoryStore>,
    model: &Arc<ScriptedModel>,
    tools: &McpTools,
) -> (Engine, Workplaces) {
    let workplaces = Workplaces::new(data).expect("it can be used").with_sandbox(SandboxKind::Local);
    let agent =
        Agent::new("writer", "You write.", model.clone(), &workplaces).with_tool_source(Arc::new(tools.clone()));
    let workflow = Workflow::new("writing").node("writer", agent).build().expect("one node");
    let engine =
        Engine::builder().shared_store(Arc::clone(store) as _).workflow(workflow).start().await.expect("it starts");
    (engine, workplaces)
}

async fn run(engine: &Engine) -> Run {
    engine.run("writing").id("r1").input("Write").expect("JSON").start().await.expect("it starts")
}

/// The processes whose command line has this word, except shells.
fn processes(word: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let found = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_it = line.contains(word) && line.starts_with("node");
        is_it.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    });
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_of_two_servers_are_called_and_a_kill_in_the_middle_is_told() {
    let Some(directory) = installed() else { return };
    let data = tempfile::tempdir().expect("a directory");
    let mark = format!("mark-{}", std::process::id());
    let tools = both(&directory, data.path(), &mark).await;

    let script = |request: &Request| {
        let result = if turn(request) == 0 { "" } else { last_result(request) };
        match turn(request) {
            0 => call("time__get_current_time", json!({"timezone": "Asia/Tokyo"})),
            1 => {
                assert!(result.contains("Asia/Tokyo"), "{result}");
                call("time__get_current_time", json!({"timezone": "Europe/Berlin"}))
            }
            2 => {
                assert!(result.contains("Europe/Berlin"), "{result}");
                call("everything__get-sum", json!({"a": 2, "b": 40}))
            }
            3 => {
                assert!(result.contains("42"), "{result}");
                call("everything__trigger-long-running-operation", json!({"duration": 500, "steps": 500}))
            }
            // The pause before the next start is longer than that between two kills.
            4 => call("everything__get-sum", json!({"a": 1, "b": 2})),
            _ => say(format!("told: {}", request_results(request).join("\n----\n"))),
        }
    };
    let model = ScriptedModel::answering("scripted", move |request| Ok(script(request)));
    let store = Arc::new(MemoryStore::new());
    let (engine, workplaces) = start(data.path(), &store, &model, &tools).await;
    let run = run(&engine).await;
    for (number, tool) in
        [(1, "time__get_current_time"), (2, "everything__get-sum"), (3, "everything__trigger-long-running-operation")]
    {
        let (id, asked) = question(&run, number).await;
        assert_eq!(asked["tool"], tool);
        assert_eq!(asked["choices"], json!(["allow", "allow once", "deny"]));
        assert_eq!(asked["rule"], json!(null));
        let text = format!(
            "may {tool} be called in this run, now and later? the policy asks once about `{tool}` because no rule matches"
        );
        assert_eq!(asked["text"], text);
        let fingerprint = tools.tools().get(tool).and_then(|tool| tool.fingerprint().map(str::to_owned));
        assert_eq!(asked["fingerprint"], json!(fingerprint));
        run.answer(id, "allow").await.expect("it is asked");
    }
    // The third call never ends by itself. It is killed until the model is asked again.
    let killed = async {
        while model.asked().len() < 5 {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            for process in processes(&mark) {
                let process = rustix::process::Pid::from_raw(process).expect("an id");
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), killed).await.expect("the model is asked again");
    let output: AgentOutput = run.output().await.expect("it completes");
    engine.shutdown().await;
    workplaces.close_all().await;
    tools.close().await;
    // The end of the summary is what the model saw; the whole is in its last request.
    let results = model.asked().last().map(request_results).expect("it was asked");
    assert_eq!(results.len(), 5, "{}", output.summary);
    assert!(results[3].starts_with("everything__trigger-long-running-operation failed."), "{}", results[3]);
    assert!(
        results[3].contains("did not answer, and it is not known what it did: the server was killed by signal 9"),
        "{}",
        results[3]
    );
    assert!(results[4].contains('3'), "it was started again, and nobody was asked again: {}", results[4]);
    assert!(processes(&mark).is_empty(), "nothing is left");
}

/// The results of tools in a conversation.
fn request_results(request: &Request) -> Vec<String> {
    use orkestra_agents::model::Message;
    let results = request.messages.iter().filter_map(|message| match message {
        Message::Tool(result) => Some(result.text.clone()),
        _ => None,
    });
    results.collect()
}
