//! Prints the reference of the built-in tools, which is kept in `docs/tools.md`:
//! `cargo run -p orkestra-tools --example reference > docs/tools.md`.

fn main() {
    print!("{}", orkestra_tools::ToolSet::builtin().reference_page());
}
