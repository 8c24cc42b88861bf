//! Pictures that tools make: shown once to a model that sees, kept as a file, and only a reference in the journal.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use orkestra_agents::model::{ScriptedModel, call, say};
use orkestra_core::prelude::{Cursor, MemoryStore};
use orkestra_tools::{Effect, ToolError, ToolImage, ToolOutput, ToolScope, ToolSet, TypedTool, typed};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::support::writer::{Process, turn};

/// Makes a picture in the artifacts of the agent, or names another file.
struct Camera;

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    other: Option<String>,
}

#[async_trait]
impl TypedTool for Camera {
    type Arguments = Arguments;
    const NAME: &'static str = "camera";
    const DESCRIPTION: &'static str = "Makes a picture.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        std::fs::create_dir_all(scope.artifacts_path()).expect("it can be made");
        let own = scope.artifacts_path().join("picture.png");
        std::fs::write(&own, vec![7; 100_000]).expect("it can be written");
        let path = arguments.other.map_or(own, PathBuf::from);
        let image = ToolImage::new(path, "image/png", 100_000, "");
        Ok(ToolOutput { images: vec![image], ..ToolOutput::new("Made it.", json!({})) })
    }
}

#[tokio::test]
async fn a_picture_is_shown_once_and_only_its_reference_is_stored() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let secret = data.path().join("secret.png");
    std::fs::write(&secret, "of another program").expect("it can be written");
    let outside = secret.to_string_lossy().into_owned();
    let model = ScriptedModel::answering("scripted", move |request| {
        Ok(match turn(request) {
            0 => call("camera", json!({})),
            1 => call("camera", json!({"other": outside})),
            2 => call("write_file", json!({"path": "a.py", "content": "pass"})),
            _ => say("done"),
        })
    });
    let change = |agent: orkestra_agents::Agent| agent.with_tools(ToolSet::builtin().with(typed(Camera)));
    let process = Process::start(data.path(), &store, model.clone(), &change).await;
    let run = process.run().await;
    run.outcome().await.expect("it ends");
    let shown: Vec<usize> = model.asked().iter().map(|request| request.images.len()).collect();
    assert_eq!(shown, [0, 1, 0, 0], "in the turn after it; a file outside the artifacts of the agent is not shown");
    assert_eq!(model.asked()[1].images[0].content.len(), 100_000);
    let commits = run.commits(Cursor::START).await.expect("they can be read");
    assert!(format!("{commits:?}").len() < 100_000, "the journal has no picture");
    process.engine.shutdown().await;
}
