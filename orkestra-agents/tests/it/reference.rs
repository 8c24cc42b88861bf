//! `docs/tools.md` says what the code says.

use orkestra_agents::every_tool;

#[test]
fn the_page_of_tools_is_the_one_that_the_code_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tools.md");
    let page = std::fs::read_to_string(path).expect("docs/tools.md is readable");
    assert!(
        page == every_tool().expect("tools").reference_page(),
        "docs/tools.md is stale; run: cargo run -p orkestra-agents --example reference > docs/tools.md"
    );
}

/// The documented names, and those of the peers.
#[test]
fn every_documented_tool_exists_with_its_parameters_and_each_is_described() {
    let tools = every_tool().expect("tools").reference();
    for (name, parameters) in [
        ("write_file", &["path", "content"][..]),
        ("read_file", &["path"]),
        ("list_files", &[]),
        ("run_command", &["command"]),
        ("read_test_output", &[]),
        ("web_search", &["query"]),
        ("browser_navigate", &["url"]),
        ("browser_get_content", &[]),
        ("browser_click", &["selector"]),
        ("browser_screenshot", &[]),
        ("git_init", &["message"]),
        ("git_status", &[]),
        ("github_create_pr", &["owner", "repo", "title", "body", "head", "base"]),
        ("edit_file", &["path", "search", "replace"]),
        ("apply_patch", &["patch"]),
        ("grep", &["pattern"]),
        ("glob", &["pattern"]),
        ("ask_human", &["question", "choices"]),
        ("start_process", &["command"]),
        ("read_process", &["id"]),
        ("stop_process", &["id"]),
    ] {
        let tool = tools.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("the tool {name} is missing"));
        for wanted in parameters {
            assert!(tool.parameters.iter().any(|parameter| parameter.name == *wanted), "{name} {wanted}");
        }
    }
    for tool in tools {
        assert!(tool.description.ends_with('.') && tool.description.len() < 300, "{}: {}", tool.name, tool.description);
        for parameter in &tool.parameters {
            assert!(parameter.description.ends_with('.'), "{} {}", tool.name, parameter.name);
            // Without choices the answer is free text.
            let is_free = (tool.name.as_str(), parameter.name.as_str()) == ("ask_human", "choices");
            let has_default = parameter.required || parameter.default.is_some() || is_free;
            assert!(has_default, "{} {}: no default", tool.name, parameter.name);
        }
    }
}
