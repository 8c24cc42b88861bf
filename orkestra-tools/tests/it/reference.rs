//! `docs/tools.md` says what the code says.

use orkestra_tools::ToolSet;

#[test]
fn the_page_of_tools_is_the_one_that_the_code_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tools.md");
    let page = std::fs::read_to_string(path).expect("docs/tools.md is readable");
    assert!(
        page == ToolSet::builtin().reference_page(),
        "docs/tools.md is stale; run: cargo run -p orkestra-tools --example reference > docs/tools.md"
    );
}

#[test]
fn every_tool_and_parameter_is_described() {
    for tool in ToolSet::builtin().reference() {
        assert!(tool.description.ends_with('.') && tool.description.len() < 300, "{}: {}", tool.name, tool.description);
        for parameter in &tool.parameters {
            assert!(parameter.description.ends_with('.'), "{} {}", tool.name, parameter.name);
            assert!(parameter.required || parameter.default.is_some(), "{} {}: no default", tool.name, parameter.name);
        }
    }
}
