//! The network of a run of the pipeline: chosen when it is created, stored with it, and what a scripted model's commands reach.

use std::sync::Arc;

use orkestra_agents::{
    ErrorKind, Orkestra, PipelineRequest, SandboxChoice,
    model::{AssistantMessage, Message, ModelChoice, Request, ScriptedModel, call, say},
};
use orkestra_core::prelude::{MemoryStore, Outcome};
use orkestra_tools::{DockerSandbox, Network};
use serde_json::json;

use crate::support::{
    product::{events, named, start},
    writer::{last_result, turn},
};

fn system(request: &Request) -> &str {
    let Message::System { text } = &request.messages[0] else { panic!("a system message") };
    text
}

/// Whether Docker answers. In CI it must.
async fn has_docker() -> bool {
    let Err(error) = DockerSandbox::available().await else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Docker: {error}");
    eprintln!("SKIPPED, LOUDLY: {error}");
    false
}

/// A model whose planner plans and whose backend installs a package, uses it, and asks another host.
fn installing() -> Arc<ScriptedModel> {
    ScriptedModel::answering("scripted", |request| {
        if system(request).contains("You are the planner agent") {
            return Ok(say("Write main.py."));
        }
        let run = |command: &str| call("run_command", json!({"command": command, "timeout_s": 120}));
        Ok(match turn(request) {
            0 => call("write_file", json!({"path": "main.py", "content": "print('hello')\n"})),
            1 => {
                run("pip install --target lib iniconfig && PYTHONPATH=lib python3 -c 'import iniconfig; print(7 * 6)'")
            }
            2 => expect(
                request,
                &["exit code 0", "42"],
                run("python3 -c \"import urllib.request as u; u.urlopen('https://example.com/')\""),
            ),
            _ => expect(request, &["example.com", "start one with --allow-host"], say("done")),
        })
    })
}

/// `next`, when the last result has these parts.
fn expect(request: &Request, parts: &[&str], next: AssistantMessage) -> AssistantMessage {
    for part in parts {
        assert!(last_result(request).contains(part), "{part:?} is missing: {}", last_result(request));
    }
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_models_run_installs_packages_and_reaches_nothing_else() {
    if !has_docker().await {
        return;
    }
    let data = tempfile::tempdir().expect("a directory");
    let model = installing();
    let egress =
        orkestra_agents::egress_of_machine(data.path(), "tests").with_advice("start one with --allow-host HOST");
    let builder = Orkestra::builder(data.path()).model(ModelChoice::custom(model.clone())).egress(egress);
    let orkestra = builder.start(Arc::new(MemoryStore::new())).await.expect("it starts");
    let request = PipelineRequest {
        objective: "Write main.py".to_owned(),
        tasks: vec!["backend".to_owned()],
        ..PipelineRequest::default()
    };
    let run = orkestra.create(request).await.expect("it is created");
    let outcome = run.outcome().await.expect("it ends");
    assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
    let view = orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there");
    assert_eq!((view.sandbox.as_deref(), view.network.as_deref()), (Some("docker"), Some("registries")));
    let used = |host: &str| view.hosts.iter().find(|used| used.host == host).cloned().unwrap_or_default();
    assert!(view.hosts.iter().any(|used| used.allowed > 0 && used.refused == 0), "{:?}", view.hosts);
    assert!(used("example.com").refused >= 1 && used("example.com").allowed == 0, "{:?}", view.hosts);
    let events = events(&run).await;
    assert_eq!(named(&events, "sandbox_started").len(), 1);
    assert_eq!(named(&events, "sandbox_started")[0]["network"], "registries");
    let told: u64 = named(&events, "network_used")
        .iter()
        .flat_map(|event| event["hosts"].as_array().expect("hosts"))
        .map(|used| used["allowed"].as_u64().expect("a count") + used["refused"].as_u64().expect("a count"))
        .sum();
    assert_eq!(
        told,
        view.hosts.iter().map(|used| used.allowed + used.refused).sum::<u64>(),
        "each use is counted once"
    );
    let asked = model.asked();
    let last = system(asked.last().expect("it was asked"));
    assert!(
        last.contains("pip, npm and cargo install as usual") && !last.contains("nothing can be installed"),
        "{last}"
    );
    orkestra.shutdown().await;
}

#[tokio::test]
async fn a_network_that_is_not_possible_is_refused_before_there_is_a_run() {
    let data = tempfile::tempdir().expect("a directory");
    let model = ScriptedModel::answering("scripted", |_| Ok(say("done")));
    let orkestra = start(data.path(), ModelChoice::custom(model)).await;
    let build = || PipelineRequest { objective: "Build it".to_owned(), ..PipelineRequest::default() };
    for (request, part) in [
        (PipelineRequest { network: Some(Network::Registries), ..build() }, "the network `registries`"),
        (PipelineRequest { allowed_hosts: vec!["a.example".to_owned()], ..build() }, "needs Docker"),
        (PipelineRequest { allowed_hosts: vec!["a b".to_owned()], ..build() }, "invalid allowed host"),
    ] {
        let error = orkestra.create(request).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(part), "{error}");
    }
    let mut records = orkestra.engine().runs(orkestra_core::prelude::RunQuery::default());
    assert!(records.next().await.expect("it can be read").is_none(), "no run was made");
    let run = orkestra.create(build()).await.expect("it is created");
    let view = orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there");
    assert_eq!((view.sandbox.as_deref(), view.network.as_deref()), (Some("local"), Some("open")));
    orkestra.shutdown().await;
    let builder = Orkestra::builder(data.path()).sandbox(SandboxChoice::Docker).docker_runtime("no-such-runtime");
    let orkestra = builder.model(ModelChoice::demo()).start(Arc::new(MemoryStore::new())).await.expect("it starts");
    let error = orkestra.create(build()).await.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Sandbox);
    orkestra.shutdown().await;
}
