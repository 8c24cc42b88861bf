//! `aios tools` prints what the code says, and needs no store.

use serde_json::Value;

use super::support::{Place, done};

#[test]
fn the_tools_are_listed_as_text_and_as_json() {
    let place = Place::new();
    let text = place.good(&["tools"]).out;
    for part in [
        "read_file(path, limit?, offset?)  read-only",
        "apply_patch(patch)  mutating",
        "browser_click(selector)  mutating",
        "ask_human(question, choices?)  read-only",
        "limit: a file has at most 2 MiB",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut elsewhere = place.aios(&["tools", "--json"]);
    let listed = done(elsewhere.env("AIOS_API_URL", "http://127.0.0.1:9"));
    let tools: Vec<Value> = serde_json::from_str(&listed.out).expect("a JSON array");
    for tool in &tools {
        let name = tool["name"].as_str().expect("a name");
        assert!(text.contains(&format!("{name}(")), "{name}: {text}");
        assert!(tool["schema"]["properties"].is_object() && tool["description"].is_string(), "{tool}");
    }
    assert!(!place.path().join(".orkestra").exists(), "nothing was made");
}

/// A server of a few lines, with one tool.
const SERVER: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "a", "version": "1"}}
    elif message.get("method") == "tools/list":
        result = {"tools": [{"name": "greet", "description": "Greets.", "inputSchema": {"type": "object"}}]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

#[test]
fn the_tools_of_mcp_servers_are_listed_with_what_approves_them() {
    let place = Place::new();
    std::fs::write(place.path().join("server.py"), SERVER).expect("it is written");
    let script = place.path().join("server.py").display().to_string();
    let config = format!(
        "[[servers]]\nname = \"a\"\n[servers.transport.stdio]\ncommand = \"python3 {script}\"\nreadable = [\"{script}\"]\n"
    );
    std::fs::write(place.path().join("servers.toml"), &config).expect("it is written");
    let text = place.good(&["tools", "--mcp", "servers.toml", "--sandbox", "local"]).out;
    assert!(text.contains("a__greet()  mutating\n    [MCP server a] Greets.\n"), "{text}");
    assert!(text.contains("To approve the tools of a as they are: approved = { \"greet\" = \""), "{text}");

    let workspace = place.path().join(".orkestra/workspace/run_1");
    std::fs::create_dir_all(&workspace).expect("it is made");
    std::fs::write(workspace.join("servers.toml"), &config).expect("it is written");
    let secret = config.replace("readable", "secrets = [\"NO_SUCH_SECRET\"]\nreadable");
    std::fs::write(place.path().join("secret.toml"), secret).expect("it is written");
    std::fs::write(place.path().join("wrong.toml"), config.replace("command", "comand")).expect("it is written");
    let run = |file: &str| place.done(&["run", "x", "--sandbox", "local", "--model", "demo", "--mcp", file]);
    for (file, expected) in [
        ("none.toml", "cannot read the MCP servers in none.toml: "),
        (".orkestra/workspace/run_1/servers.toml", "it is in a workspace, where agents write"),
        ("secret.toml", "secret.toml names the secret NO_SUCH_SECRET, which is not set in the environment; set it"),
        ("wrong.toml", "unknown field `comand`"),
    ] {
        let refused = run(file);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(expected), "{refused:?}");
    }
}
