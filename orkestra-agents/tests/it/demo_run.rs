//! The demo model through the whole pipeline: real files, real commands, one real failing test, and a second attempt.

use orkestra_agents::RunRequest;

use crate::support::product::{demo, events, named, start};

#[tokio::test(flavor = "multi_thread")]
async fn one_objective_becomes_a_tested_project() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), demo()).await;
    let request = RunRequest { objective: "Build a REST API for a blog".to_owned(), ..RunRequest::default() };
    let run = orkestra.create(request).await.expect("it is created");
    let events = events(&run).await;
    let last = events.last().expect("there are events");
    assert_eq!(last["event"], "run_completed", "{events:#?}");
    for file in [
        "plan.md",
        "contract.json",
        "backend/service.py",
        "frontend/app.js",
        "tests/test_end_to_end.py",
        "qa_report.md",
    ] {
        assert!(last["files"].as_array().expect("files").iter().any(|one| one == file), "{file}: {last}");
    }
    let failed = named(&events, "validation_failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["agent"], "backend");
    let info = &failed[0]["debug_info"];
    assert_eq!(info["error_type"], "validation_failure");
    assert_eq!(info["attempt"], 1);
    let tests = info["failed_tests"].as_array().expect("a list");
    assert!(
        tests
            .iter()
            .all(|test| test.as_str().is_some_and(|name| name.ends_with("test_create_answers_201_with_the_new_post")))
    );
    assert_eq!(tests.len(), 1, "{info:#?}");
    let attempts: Vec<_> =
        named(&events, "node_started").iter().map(|event| (event["agent"].clone(), event["attempt"].clone())).collect();
    assert_eq!(attempts.len(), 5, "{attempts:?}");
    assert_eq!(named(&events, "notice").len(), 2);
    orkestra.shutdown().await;
}
