//! What a new process does with the runs that an earlier one left.

use std::sync::Arc;

use orkestra_core::prelude::{MemoryStore, Outcome, Store};
use orkestra_testkit::compensating::{compensating, undoable};
use orkestra_tools::{Command, DockerOptions, Sandbox, SandboxError, Unobserved};

use crate::SandboxChoice;
use crate::model::{ModelChoice, PendingModel};

use super::*;

async fn start(data: &Path, store: &Arc<MemoryStore>) -> Orkestra {
    let builder =
        Orkestra::builder(data).model(ModelChoice::custom(Arc::new(PendingModel))).sandbox(SandboxChoice::Local);
    builder.start(Arc::clone(store) as Arc<dyn Store>).await.expect("it starts")
}

async fn create(orkestra: &Orkestra, id: &str) -> Run {
    let request =
        PipelineRequest { id: Some(id.to_owned()), objective: "Build it".to_owned(), ..PipelineRequest::default() };
    orkestra.create(request).await.expect("it is created")
}

/// A run whose only completed node is being compensated, by an agent whose model never answers.
async fn compensating_run(orkestra: &Orkestra, id: &str) -> Run {
    let job = Job {
        objective: "Build it".to_owned(),
        project_id: None,
        model: ModelSpec::named("pending"),
        sandbox: SandboxKind::Local.into(),
        tasks: Vec::new(),
    };
    let request = orkestra.engine.run_spec(&undoable("backend")).id(id).input(&job).expect("JSON");
    compensating(request).await.0
}

/// A store with the runs of an earlier process: a paused and a compensating one, which are live, and one that has ended.
async fn left(data: &Path) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let first = start(data, &store).await;
    create(&first, "paused").await.pause("lunch").await.expect("it runs");
    let compensating = compensating_run(&first, "compensating").await;
    let ended = create(&first, "ended").await;
    ended.terminate("now").await.expect("it runs");
    assert_eq!(ended.outcome().await.expect("it ends"), Outcome::Terminated("now".to_owned()));
    assert_eq!(compensating.status().await.expect("it is there").status, RunStatus::Compensating);
    first.shutdown().await;
    store
}

#[tokio::test]
async fn a_paused_and_a_compensating_run_keep_their_watchers() {
    let data = tempfile::tempdir().expect("a directory");
    let store = left(data.path()).await;
    let second = start(data.path(), &store).await;
    let live: BTreeSet<String> =
        second.watch_live_runs().await.expect("a store").iter().map(ToString::to_string).collect();
    assert_eq!(live, ["compensating", "paused"].map(str::to_owned).into());
    // Two of the start, two of the second call.
    assert_eq!(second.watchers().len(), 4);
    for id in ["paused", "compensating"] {
        let run = second.engine.handle(id).expect("an id");
        run.terminate("over").await.expect("it is live");
        run.outcome().await.expect("it ends");
    }
    // Returns when every watcher has ended.
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_and_a_compensating_run_keep_their_containers() {
    if let Err(error) = DockerSandbox::available().await {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Docker: {error}");
        eprintln!("SKIPPED, LOUDLY: {error}");
        return;
    }
    let data = tempfile::tempdir().expect("a directory");
    let store = left(data.path()).await;
    let container =
        async |run: &str| DockerSandbox::start(DockerOptions::default(), run, data.path()).await.expect("a container");
    let (ended, paused, compensating) =
        (container("ended").await, container("paused").await, container("compensating").await);
    let second = start(data.path(), &store).await;
    while works(&ended).await {
        tokio::task::yield_now().await;
    }
    assert!(works(&paused).await && works(&compensating).await);
    for sandbox in [paused, compensating] {
        sandbox.close().await.expect("it is removed");
    }
    second.shutdown().await;
}

async fn works(sandbox: &DockerSandbox) -> bool {
    let done: Result<_, SandboxError> = sandbox.execute(Command::new("true"), &Unobserved).await;
    done.is_ok()
}
