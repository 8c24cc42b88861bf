//! Two agents and a plain task in one workflow: a writer with a tool and a validator, a count of its words, and a reviewer.
//! `cargo run --example agents`. Scripts play the models, so it needs no network.

use async_trait::async_trait;
use orkestra::prelude::*;
use orkestra_agents::model::{ScriptedModel, call, say};
use orkestra_agents::validate::{ErrorType, Submission, ValidateError, Validator, Verdict};
use orkestra_agents::{Agent, AgentOutput, Workplaces};
use orkestra_tools::{Effect, ToolError, ToolOutput, ToolScope, ToolSet, TypedTool, typed};
use serde_json::{Value, json};

struct Rhyme;
struct TwoLines;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Arguments {
    word: String,
}

#[async_trait]
impl TypedTool for Rhyme {
    type Arguments = Arguments;
    const NAME: &'static str = "rhyme";
    const DESCRIPTION: &'static str = "Finds a word that rhymes.";
    const EFFECT: Effect = Effect::ReadOnly;
    async fn call(&self, _: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::new(format!("{} rhymes with snow", arguments.word), Value::Null))
    }
}

#[async_trait]
impl Validator for TwoLines {
    async fn validate(&self, work: Submission<'_>) -> Result<Verdict, ValidateError> {
        Ok(match String::from_utf8_lossy(&work.scope.workspace().read("poem.txt")?).lines().count() {
            2 => Verdict::Passed { notes: vec!["two lines".to_owned()] },
            lines => work.refused(ErrorType::ValidationFailure, "wc -l poem.txt", format!("{lines} lines, not 2")),
        })
    }
}

async fn count(_cx: Context, poem: AgentOutput) -> TaskResult<usize> {
    Ok(poem.summary.split_whitespace().count())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workplaces = Workplaces::new(std::env::temp_dir().join("orkestra-agents"))?;
    let replies = [call("rhyme", json!({"word": "ago"})), say("A poem"), say("A word of snow\nmelts long ago")];
    let model = ScriptedModel::new("poet", replies.map(Ok));
    let writer = Agent::new("poet", "You write poems of two lines.", model, &workplaces).with_answer_file("poem.txt");
    let writer = writer.with_tools(ToolSet::empty().with(typed(Rhyme))).with_validator(TwoLines);
    let critic = ScriptedModel::new("critic", [Ok(say("Seven words are enough."))]);
    let reviewer = Agent::new("critic", "You review poems.", critic, &workplaces).with_tools(ToolSet::empty());
    let workflow = Workflow::new("poem").node("write", writer).retry(Retry::immediate(2)).node("count", count);
    let workflow = workflow.after("write").node("review", reviewer).after("count").build()?;
    let engine = Engine::builder().workflow(workflow).start().await?;
    let run = engine.run("poem").input("A poem about snow")?.start().await?;
    println!("{}", run.output::<AgentOutput>().await?.summary);
    engine.shutdown().await;
    workplaces.close_all().await;
    Ok(())
}
