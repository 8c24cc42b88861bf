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
