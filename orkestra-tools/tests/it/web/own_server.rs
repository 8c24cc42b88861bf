//! The agent's own dev server: the only loopback service that its browser reaches, in each sandbox.

use std::sync::Arc;

use orkestra_tools::web::{AddressPolicy, GuardedClient, WebTools};
use orkestra_tools::{DockerOptions, DockerSandbox, LocalOptions, LocalSandbox, Network, Sandbox, ToolSet};
use serde_json::json;
use tempfile::TempDir;

use super::Agent;
use super::server::{Server, html};
use crate::support::{docker_options, run_id};

/// A page that is empty without scripts, and one behind a link.
const INDEX: &str = "<title>App</title><p>static text</p><div id=app></div><noscript>switch it on</noscript>\
    <script>document.getElementById('app').innerHTML = '<p>by a script</p><button id=b>Press</button><a href=next.html>Next page</a>';\
    document.getElementById('b').onclick = () => { document.getElementById('app').innerHTML = '<p>pressed</p>'; };</script>";

/// An agent in each sandbox of this machine, with the name of the sandbox.
pub(super) async fn agents(web: &WebTools, name: &str) -> Vec<(&'static str, Agent)> {
    let tools = ToolSet::builtin().with_web(web);
    let mut agents = Vec::new();
    let mut private = LocalOptions::default();
    private.private_network = true;
    let mut kinds = vec![("local", LocalOptions::default())];
    if rustix::process::geteuid().is_root() {
        kinds.push(("private", private));
    }
    for (kind, options) in kinds {
        let root = TempDir::new().expect("a temporary directory");
        let sandbox = LocalSandbox::start(options, &root.path().join("workspace")).await.expect("started");
        agents.push((kind, Agent::within(tools.clone(), root, Arc::new(sandbox))));
    }
    if let Some(options) = docker_options().await {
        agents.push(("docker", in_docker(options, name, &tools).await));
    }
    agents
}

async fn in_docker(options: DockerOptions, name: &str, tools: &ToolSet) -> Agent {
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = DockerSandbox::start(options, &run_id(name), &root.path().join("workspace")).await.expect("started");
    Agent::within(tools.clone(), root, Arc::new(sandbox))
}

/// Starts the server through the tools and opens its page; returns its address and what the tool answered.
pub(super) async fn serve(agent: &Agent) -> (String, orkestra_tools::ToolOutput) {
    // A sandbox that shares the host's network needs a port that is free there.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    for (path, content) in [("site/index.html", INDEX), ("site/next.html", "<title>Next</title><p>the next page")] {
        agent.text("write_file", json!({"path": path, "content": content})).await;
    }
    let command = format!("python3 -m http.server {port} --bind 127.0.0.1");
    agent.text("start_process", json!({"command": command, "cwd": "site", "name": "server"})).await;
    let url = format!("http://127.0.0.1:{port}/");
    let opened = async {
        loop {
            match agent.call("browser_navigate", json!({"url": url})).await {
                Ok(opened) => return opened,
                // The server may need a moment.
                Err(error) => assert!(error.to_string().contains("start_process"), "{error}"),
            }
        }
    };
    let opened = tokio::time::timeout(std::time::Duration::from_secs(40), opened).await.expect("the server answers");
    (url, opened)
}

/// Closes the sandbox, as the end of a run does.
pub(super) async fn close(agent: &Agent) {
    agent.scope.sandbox().close().await.expect("closed");
}

#[tokio::test]
async fn without_a_browser_the_agents_own_server_is_read_and_no_other_service_of_the_host() {
    let web = WebTools::new(GuardedClient::new(AddressPolicy::global()).expect("a client"));
    let secret = Server::start(|_| html("secret")).await;
    for (kind, agent) in agents(&web, "own-server-http").await {
        let (url, opened) = serve(&agent).await;
        assert!(opened.text.contains("static text") && opened.text.contains("No JavaScript ran"), "{kind}: {opened:?}");
        assert!(opened.text.contains("switch it on") && !opened.text.contains("by a script"), "{kind}: {opened:?}");
        assert_eq!(opened.data["javascript"], false);
        let localhost = url.replace("127.0.0.1", "localhost");
        let next = agent.text("browser_navigate", json!({"url": format!("{localhost}next.html")})).await;
        assert!(next.contains("the next page"), "{kind}: {next}");
        let expected = if kind == "local" { "was not started by this run" } else { "refused" };
        for url in [secret.url("/"), secret.url("/").replace("127.0.0.1", "localhost")] {
            let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
            assert!(refusal.contains(expected) && refusal.contains("start_process"), "{kind}: {refusal}");
        }
        let refusal = agent.refusal("browser_screenshot", json!({})).await;
        assert!(refusal.contains("PLAYWRIGHT_ENABLED=1"), "{refusal}");
        agent.text("stop_process", json!({"id": "server"})).await;
        let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
        assert!(refusal.contains("start a server with start_process"), "{kind}: {refusal}");
        if kind != "local" {
            // There is no way out of these.
            let refusal = agent.refusal("browser_navigate", json!({"url": "http://example.com/"})).await;
            assert!(refusal.contains("has no network") && refusal.contains("registries"), "{kind}: {refusal}");
        }
        close(&agent).await;
    }
    assert_eq!(secret.paths(), [] as [&str; 0]);
}

#[tokio::test]
async fn in_registries_the_egress_proxy_decides_counts_and_says_how_a_host_is_allowed() {
    let Some(options) = docker_options().await else { return };
    let web = WebTools::new(GuardedClient::new(AddressPolicy::global()).expect("a client"));
    let tools = ToolSet::builtin().with_web(&web);
    let agent = in_docker(options.with_network(Network::Registries), "own-server-registries", &tools).await;
    for url in ["https://blocked.example/x", "http://blocked.example/x"] {
        let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
        assert!(
            refusal.contains("blocked.example") && refusal.contains("not on the list of allowed hosts"),
            "{refusal}"
        );
        assert!(refusal.contains("ask a person to add it"), "{refusal}");
    }
    let hosts = agent.scope.sandbox().hosts();
    let counted = hosts.iter().find(|host| host.host == "blocked.example").map(|host| (host.allowed, host.refused));
    assert_eq!(counted, Some((0, 2)), "{hosts:?}");
    close(&agent).await;
}

#[tokio::test]
async fn a_socket_of_the_host_is_never_taken_for_one_of_the_sandbox() {
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = LocalSandbox::start(LocalOptions::default(), &root.path().join("workspace")).await.expect("started");
    let sandbox: Arc<dyn Sandbox> = Arc::new(sandbox);
    let host = Server::start(|_| html("secret")).await;
    // It also listens on all addresses, which would take the connection if the other one ended.
    let free = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
    for port in [host.port, free.local_addr().expect("an address").port()] {
        let error = sandbox.connect(port).await.map(|_| ()).expect_err("it is the host's");
        assert!(error.to_string().contains("was not started by this run"), "{error}");
    }
    drop(free);
    sandbox.close().await.expect("closed");
    assert!(sandbox.connect(host.port).await.is_err());
    assert_eq!(host.paths(), [] as [&str; 0]);
}
