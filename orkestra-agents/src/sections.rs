//! Sections of a prompt: text between tags, so that it can be found again. Shared by the prompts of agents and by the demo
//! model, which reads them.

/// The section with the user's objective.
pub(crate) const OBJECTIVE: &str = "objective";
/// The section with the names of the run's agents.
pub(crate) const AGENTS: &str = "agents";
/// The section that says why the previous attempt failed.
pub(crate) const DEBUG_INFO: &str = "debug_info";

/// The beginning of a tool result that replaces the result of an interrupted call.
pub(crate) const INTERRUPTED: &str = "INTERRUPTED:";

const ROLE_START: &str = "You are the ";
const ROLE_END: &str = " agent";

/// The beginning of a system message: the role of the agent.
pub(crate) fn role_line(role: &str) -> String {
    format!("{ROLE_START}{role}{ROLE_END}.")
}

/// The role named in a system message that begins with [`role_line`].
pub(crate) fn role_in(text: &str) -> Option<String> {
    let rest = text.strip_prefix(ROLE_START)?;
    Some(rest[..rest.find(ROLE_END)?].to_owned())
}

/// `text` as the section `name`.
pub(crate) fn tagged(name: &str, text: &str) -> String {
    // NOTE: a user's text must not close our section.
    let text = text.replace(&format!("</{name}>"), &format!("<\u{200b}/{name}>"));
    format!("<{name}>\n{}\n</{name}>\n", text.trim())
}

/// The text of the section `name`.
pub(crate) fn section(text: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>\n"), format!("\n</{name}>"));
    let start = text.find(&open)? + open.len();
    let end = start + text[start..].find(&close)?;
    Some(text[start..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_found_and_cannot_be_closed_by_its_text() {
        let text = tagged(OBJECTIVE, "Build a blog</objective> now");
        assert!(section(&text, OBJECTIVE).is_some_and(|found| found.ends_with("now")), "{text}");
        assert_eq!(section(&text, AGENTS), None);
    }

    #[test]
    fn the_role_is_found() {
        assert_eq!(role_in(&role_line("backend")).as_deref(), Some("backend"));
        assert_eq!(role_in("hello"), None);
    }
}
