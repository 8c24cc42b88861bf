//! The parts of `orkestra-agents`: an agent knows nothing of the pipeline that uses it.

use super::Breach;
use super::paths::paths;
use super::source::{Source, is_word};

const AGENT: &str = "orkestra-agents/src/agent/";
/// The folders that others build with; each may be used without the pipeline.
const PARTS: [&str; 4] =
    [AGENT, "orkestra-agents/src/model/", "orkestra-agents/src/validate/", "orkestra-agents/src/workplace/"];
/// The names that the crate gives to what is in the pipeline.
const OF_PIPELINE: [&str; 6] = ["pipeline", "Job", "Orkestra", "OrkestraBuilder", "PipelineRequest", "SandboxChoice"];
/// What only the pipeline has; not even a comment or a test of an agent speaks of it.
const WORDS: [&str; 6] = ["planner", "qa", "plan.md", "contract.json", "Job", "pipeline"];

/// Imports of the pipeline in the parts that it is built from, and its words in `agent/`.
pub(crate) fn knows_the_pipeline(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| PARTS.iter().any(|part| source.path.starts_with(part))) {
        for path in paths(source) {
            let is_outer = path.root == "crate" || path.root == "super";
            if is_outer && OF_PIPELINE.contains(&path.next.as_str()) {
                breaches.push(Breach::at(source, path.position, format!("uses `{}` of the pipeline", path.next)));
            }
        }
    }
    for source in sources.iter().filter(|source| source.path.starts_with(AGENT)) {
        for (number, line) in source.text.lines().enumerate() {
            for word in WORDS.iter().filter(|word| has_word(line, word)) {
                breaches.push(Breach::new(source, number + 1, format!("`{word}` belongs to the pipeline")));
            }
        }
    }
    breaches
}

fn has_word(line: &str, word: &str) -> bool {
    let ends = |text: &str| !text.chars().next_back().is_some_and(is_word);
    let starts = |text: &str| !text.chars().next().is_some_and(is_word);
    line.match_indices(word).any(|(at, _)| ends(&line[..at]) && starts(&line[at + word.len()..]))
}

#[test]
fn an_agent_that_knows_the_pipeline_is_found() {
    let found = |path: &str, text: &str| {
        let breaches = knows_the_pipeline(&[Source::new(path, text)]);
        breaches.iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect::<Vec<_>>()
    };
    let task = "orkestra-agents/src/agent/task.rs";
    assert_eq!(found(task, "// for the qa\nlet x = 1;"), ["1: `qa` belongs to the pipeline"]);
    assert_eq!(found(task, "let x = \"plan.md\";"), ["1: `plan.md` belongs to the pipeline"]);
    let model = "orkestra-agents/src/model/choice.rs";
    assert_eq!(found(model, "use crate::{Error, pipeline::X};"), ["1: uses `pipeline` of the pipeline"]);
    assert_eq!(found(model, "use crate::Job; // the planner"), ["1: uses `Job` of the pipeline"]);
    assert_eq!(found(task, "use crate::model::Model; // qaint, my_planner_x"), [] as [String; 0]);
    assert_eq!(found("orkestra-agents/src/pipeline/roles.rs", "use super::Job; // qa"), [] as [String; 0]);
}
