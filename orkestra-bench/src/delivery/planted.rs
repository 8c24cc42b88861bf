//! Files that change how a grader, an interpreter or git behaves. Hidden tests never load them from the solution, because they
//! run elsewhere; a solution does not need them, and without them a program behaves as it would anywhere.

/// Whether the copy that hidden tests drive lacks this file.
pub(super) fn is_planted(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let is_startup = matches!(name.as_str(), "conftest.py" | "sitecustomize.py" | "usercustomize.py")
        || extension == Some("pth")
        || matches!(name.as_str(), ".npmrc" | "pip.conf" | "pyvenv.cfg" | ".pythonstartup" | ".coveragerc");
    let is_report = extension == Some("xml") && (name.contains("junit") || name.contains("report"))
        || matches!(
            name.as_str(),
            "report.json" | "results.json" | ".pytest_cache" | "pytest.ini" | "grader.py" | "grading.py"
        );
    is_startup || is_report
}
