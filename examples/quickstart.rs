//! A durable workflow in twenty lines. Kill it at any time and start it again: it continues where it was.
//!
//! `cargo run --example quickstart`

use orkestra::prelude::*;

async fn measure(cx: Context, text: String) -> TaskResult<usize> {
    cx.step("count", || async { TaskResult::Ok(text.split_whitespace().count()) }).await
}

async fn report(_cx: Context, words: usize) -> TaskResult<String> {
    Ok(format!("{words} words"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workflow = Workflow::new("count").node("measure", measure).node("report", report).after("measure").build()?;
    let store = SledStore::open(std::env::temp_dir().join("orkestra-quickstart"))?;
    let engine = Engine::builder().store(store).workflow(workflow).start().await?;
    let run = engine.run("count").id("first").input("nothing acknowledged is lost or done twice")?.start().await?;
    println!("{}: {}", run.id(), run.output::<String>().await?);
    engine.shutdown().await;
    Ok(())
}
