//! Servers that others wrote: one of PyPI, one of npm, in both sandboxes.

use std::path::PathBuf;
use std::sync::Arc;

use orkestra_tools::ToolSource as _;
use orkestra_tools::mcp::{McpConfig, McpNetwork, McpOptions, McpSandboxes, McpServer, McpTools, McpTransport};
use serde_json::json;

use super::Bench;
use crate::support;

/// Where `scripts/setup-mcp` has installed the servers. Without it, prints that the test is skipped and returns `None`; panics if
/// CI=true.
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

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_pypi_and_npm_are_called_in_local_sandboxes() {
    let Some(directory) = installed() else { return };
    let bench = Bench::new().await;
    let python = directory.join("python/bin/python");
    let node = directory.join("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let mut config = McpConfig::default();
    let mut web = McpServer::stdio("everything", format!("exec node {} stdio", node.display()));
    web.deny.insert("get-env".to_owned());
    config.servers = vec![McpServer::stdio("time", format!("exec {} -m mcp_server_time", python.display())), web];
    // The interpreter of a virtual environment is a link to where Python is installed.
    let interpreter = python.canonicalize().expect("it is there");
    let home = interpreter.parent().and_then(std::path::Path::parent).expect("a directory").to_owned();
    let tools = McpTools::connect(config, bench.options(&[directory, home])).await.expect("they start");
    assert_eq!(tools.warnings(), [] as [String; 0]);
    let names: Vec<String> = tools.tools().iter().map(|tool| tool.name().to_owned()).collect();
    assert!(
        names.contains(&"everything__get-sum".to_owned()) && names.contains(&"time__convert_time".to_owned()),
        "{names:?}"
    );
    assert!(!names.contains(&"everything__get-env".to_owned()), "it is denied");

    let arguments = json!({"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let said = bench.call(&tools, "time__convert_time", arguments).await.expect("it answers");
    assert!(
        said.text.contains("Asia/Tokyo") && said.text.contains("T19:00:00+09:00")
            || said.text.contains("T20:00:00+09:00"),
        "{}",
        said.text
    );
    let wrong = bench.call(&tools, "time__get_current_time", json!({"timezone": "Nowhere/City"})).await;
    assert!(
        wrong.expect_err("an error of the tool").to_string().starts_with("time__get_current_time reports an error.")
    );
    let sum = bench.call(&tools, "everything__get-sum", json!({"a": 2, "b": 40})).await.expect("it answers");
    assert!(sum.text.contains("42"), "{}", sum.text);
    let image = bench.call(&tools, "everything__get-tiny-image", json!({})).await.expect("it answers");
    assert!(image.text.contains("[picture image/png of "), "{}", image.text);
    let weather = bench.call(&tools, "everything__get-structured-content", json!({"location": "Chicago"})).await;
    assert!(weather.expect("it answers").text.contains("temperature"));
    tools.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_npm_is_installed_and_called_in_a_container_of_its_own() {
    let Some(options) = support::docker_options().await else { return };
    if !options.image.starts_with("orkestra-sandbox") {
        eprintln!("\n==== SKIPPED, the image {} has no npx ====\n", options.image);
        return;
    }
    let bench = Bench::new().await;
    let mut server = McpServer::stdio(
        format!("c{}", std::process::id()),
        "exec npx --yes @modelcontextprotocol/server-everything@2026.8.31 stdio",
    );
    let name = server.name.clone();
    if let McpTransport::Stdio(stdio) = &mut server.transport {
        stdio.network = McpNetwork::Registries;
        stdio.environment.insert("npm_config_cache".to_owned(), "/workspace/.npm".to_owned());
    }
    let mut config = McpConfig::default();
    config.servers = vec![server];
    let sandboxes = McpSandboxes::docker(bench.directory.path().join("servers"), options);
    let tools = McpTools::connect(config, McpOptions::new(Arc::new(sandboxes))).await.expect("it starts");
    let sum = bench.call(&tools, &format!("{name}__get-sum"), json!({"a": 2, "b": 40})).await.expect("it answers");
    assert!(sum.text.contains("42"), "{}", sum.text);
    tools.close().await;
}
