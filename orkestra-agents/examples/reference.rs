//! Prints the reference of the tools of agents, which is kept in `docs/tools.md`:
//! `cargo run -p orkestra-agents --example reference > docs/tools.md`.

fn main() -> Result<(), orkestra_agents::Error> {
    print!("{}", orkestra_agents::every_tool()?.reference_page());
    Ok(())
}
