//! Servers behind an address: bodies, streams of events, sessions, refusals, and addresses that are denied.

use std::sync::{Arc, Mutex};

use orkestra_tools::ToolSource as _;
use orkestra_tools::mcp::{McpConfig, McpServer, McpTools, McpTransport};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Bench;

/// What the endpoint does.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Bodies,
    Events,
    Redirects,
    Refuses,
}

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// An endpoint, its address, and the heads and bodies of its requests.
async fn endpoint(mode: Mode) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, mode, Arc::clone(&seen)));
        }
    });
    (url, requests)
}

async fn serve(mut socket: TcpStream, mode: Mode, seen: Requests) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let read = socket.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head, serde_json::from_str::<Value>(body).unwrap_or_default());
        }
    };
    seen.lock().expect("no panic").push((head.clone(), body.clone()));
    let reply = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    };
    let result = match body["method"].as_str().unwrap_or_default() {
        _ if mode == Mode::Redirects => {
            let _ = socket.write_all(reply("307 Moved", "location: http://169.254.169.254/\r\n", "").as_bytes()).await;
            return;
        }
        _ if mode == Mode::Refuses => {
            let _ = socket.write_all(reply("401 Unauthorized", "", "who are you").as_bytes()).await;
            return;
        }
        "initialize" => {
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "h", "version": "1"}})
        }
        "tools/list" => {
            json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}, {"name": "break", "inputSchema": {"type": "object"}}]})
        }
        "tools/call" if body["params"]["name"] == "break" => {
            let _ = socket.write_all(reply("500 Oops", "", "a \u{1b}[1mfault").as_bytes()).await;
            return;
        }
        "tools/call" => json!({"content": [{"type": "text", "text": body["params"]["arguments"].to_string()}]}),
        _ => {
            let _ = socket.write_all(reply("202 Accepted", "", "").as_bytes()).await;
            return;
        }
    };
    let message = json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string();
    let session = "mcp-session-id: s-1\r\n";
    if mode == Mode::Bodies {
        let headers = format!("{session}content-type: application/json\r\n");
        let _ = socket.write_all(reply("200 OK", &headers, &message).as_bytes()).await;
        return;
    }
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{session}content-type: text/event-stream\r\n\r\n");
    let noise =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "noise"}});
    let _ = socket
        .write_all(format!("{head}: hello\n\ndata: {noise}\n\nevent: message\ndata: {message}\n\n").as_bytes())
        .await;
    // A stream that stays open after the answer.
    let _ = socket.read(&mut [0; 1]).await;
}

async fn connect(bench: &Bench, url: &str) -> Result<McpTools, orkestra_tools::mcp::McpError> {
    let mut server = McpServer::http("web", url);
    if let McpTransport::Http(http) = &mut server.transport {
        http.headers.insert("authorization".to_owned(), "Bearer ${TOKEN}".to_owned());
    }
    let mut config = McpConfig::default();
    config.servers = vec![server];
    McpTools::connect(config, bench.options(&[]).with_secret("TOKEN", "t0ken-0123456789")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_behind_an_address_are_called_with_bodies_and_streams() {
    for mode in [Mode::Bodies, Mode::Events] {
        let bench = Bench::new().await;
        let (url, requests) = endpoint(mode).await;
        let tools = connect(&bench, &url).await.expect("it answers");
        assert!(tools.tools().get("web__echo").is_some());
        let said = bench.call(&tools, "web__echo", json!({"a": "t0ken-0123456789"})).await.expect("it answers");
        assert!(said.text.contains(r#"{"a":"[secret TOKEN]"}"#), "{}", said.text);
        let broken = bench.call(&tools, "web__break", json!({})).await.expect_err("a fault").to_string();
        assert!(broken.contains("answered with an error: HTTP 500: a fault"), "{broken}");
        bench.call(&tools, "web__echo", json!({})).await.expect("the session goes on");
        tools.close().await;
        let requests = requests.lock().expect("no panic").clone();
        assert!(requests.iter().all(|(head, _)| head.contains("authorization: bearer t0ken-0123456789")));
        let (first, later) = requests.split_first().expect("there are some");
        assert!(!first.0.contains("mcp-session-id"), "{}", first.0);
        for (head, _) in later {
            assert!(
                head.contains("mcp-session-id: s-1") && head.contains("mcp-protocol-version: 2025-06-18"),
                "{head}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_refusals_and_denied_addresses_are_errors() {
    let bench = Bench::new().await;
    for (mode, expected) in [
        (Mode::Redirects, "it redirects (HTTP 307); configure its final address"),
        (Mode::Refuses, "it refuses our credentials (HTTP 401); check `transport.http.headers`"),
    ] {
        let (url, requests) = endpoint(mode).await;
        let error = connect(&bench, &url).await.expect_err("it is no server").to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(requests.lock().expect("no panic").len(), 1, "it was not followed");
    }
    for url in ["https://10.0.0.1/mcp", "https://169.254.169.254/mcp", "https://[fd00::1]/mcp"] {
        let error = connect(&bench, url).await.expect_err("it is denied").to_string();
        assert!(error.contains("is denied: it is not a public address"), "{error}");
    }
    // A name is not a loopback address because it resolves to one.
    let error = connect(&bench, "https://localhost.localdomain:1/mcp").await.expect_err("it is denied").to_string();
    assert!(error.contains("cannot use the MCP server `web`"), "{error}");
}
