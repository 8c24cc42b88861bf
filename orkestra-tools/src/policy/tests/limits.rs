//! Input that is long, and tools of strangers.

use super::*;

/// A script can set thousands of variables for thousands of commands.
#[test]
fn what_a_wrapper_sets_is_not_kept_for_each_command() {
    let script = format!("{}sh -c '{}'", "a= ".repeat(2000), "b;".repeat(4000));
    let parsed = shell::parse(&script);
    let names: usize = parsed.parts.iter().map(|part| part.assigned.len()).sum();
    assert!(parsed.parts.len() > 4000 && names < 2 * parsed.parts.len(), "{names}");
    let special = shell::parse("a= LD_PRELOAD=x sh -c 'b'");
    assert!(special.parts.iter().any(|part| part.name() == Some("b") && part.assigned == ["LD_PRELOAD"]));
    let long = shell::parse(&"true;".repeat(20_000));
    assert!(long.unclear.is_some() && long.parts.is_empty());
    let policy =
        Policy::from_toml("[[rules]]\nname = \"m\"\naction = \"deny\"\ncommand = \"marker\"\nexamples = [\"marker\"]");
    assert_eq!(command(&policy.expect("valid"), &"true;".repeat(20_000)).action, Action::Deny);
}

/// What is allowed as a command, a path or a host does not allow the tool of a stranger that takes one.
#[test]
fn a_rule_for_something_else_does_not_allow_a_tool_of_a_server() {
    let policy = Policy::from_toml(
        r#"
        default = "ask"
        [[rules]]
        name = "commands"
        action = "allow"
        command = "ls"
        examples = ["ls"]
        [[rules]]
        name = "files"
        action = "allow"
        tool = "files__*"
        path = "src/**"
        examples = ["src/a"]
        "#,
    );
    let policy = policy.expect("valid");
    let decide = |tool: &str, arguments: Value| policy.decide(&PolicyRequest::call_of_unknown(tool, &arguments)).action;
    assert_eq!(decide("mail__send", json!({"body": "x", "command": "ls"})), Action::AskOnce);
    assert_eq!(decide("mail__send", json!({"path": "src/a"})), Action::AskOnce);
    assert_eq!(decide("files__read", json!({"path": "src/a"})), Action::Allow);
    assert_eq!(decide("files__read", json!({"path": "b"})), Action::AskOnce);
    assert_eq!(command(&policy, "ls").action, Action::Allow);
}

#[test]
fn texts_beyond_the_limit_and_names_of_fields_are_looked_at() {
    let rule = "[[rules]]\nname = \"m\"\naction = \"deny\"\npath = \".env\"\nexamples = [\".env\"]";
    let policy = Policy::from_toml(&format!("default_mcp = \"allow\"\n{rule}")).expect("valid");
    let decide = |arguments: Value| policy.decide(&PolicyRequest::call_of_unknown("files__get", &arguments)).action;
    assert_eq!(decide(json!({"target": "a"})), Action::Allow);
    assert_eq!(decide(json!({"edits": {".env": "x"}})), Action::Deny);
    let many: Vec<String> = (0..crate::limits::POLICY_GUESSES_MAX + 1).map(|number| format!("f{number}")).collect();
    assert_eq!(decide(json!({"aaa": many, "target": ".env"})), Action::Deny);
}
