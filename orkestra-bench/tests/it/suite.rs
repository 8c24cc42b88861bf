//! The tasks that are built in are proved: the oracle is right, an empty workspace is worth nothing, every mistake is found, and
//! texts alone satisfy text checks alone.

use std::path::Path;

use orkestra_bench::delivery::Delivery;
use orkestra_bench::grade::strict;
use orkestra_bench::proof::{Depth, prove};
use orkestra_bench::task::Suite;

use crate::place::place;

macro_rules! proved {
    ($($test:ident: $task:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                is_proved($task).await;
            }
        )*
    };
}

proved! {
    hello_world_is_proved: "hello_world",
    calculator_is_proved: "calculator",
    fastapi_health_is_proved: "fastapi_health",
    todo_api_is_proved: "todo_api",
    data_processing_is_proved: "data_processing",
    auth_jwt_is_proved: "auth_jwt",
    websocket_chat_is_proved: "websocket_chat",
    async_scraper_is_proved: "async_scraper",
    react_component_is_proved: "react_component",
    docker_compose_is_proved: "docker_compose",
}

#[test]
fn the_ten_documented_tasks_are_built_in() {
    let suite = Suite::built_in().expect("valid");
    let listed: Vec<String> =
        suite.list().map(|(name, difficulty, _)| format!("{name} {}", difficulty.name())).collect();
    // As in the documentation of the product.
    let documented = [
        "hello_world trivial",
        "calculator easy",
        "fastapi_health easy",
        "todo_api medium",
        "data_processing medium",
        "auth_jwt medium",
        "websocket_chat hard",
        "async_scraper hard",
        "react_component medium",
        "docker_compose medium",
    ];
    assert_eq!(listed, documented);
}

/// Such as when their sandbox is lost. It must never count as a trial that was not solved.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_tests_that_end_early_give_no_verdict() {
    let Some(place) = place().await else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks/hello_world");
    let mut task = Suite::in_directory(&directory).expect("valid").tasks()[0].clone();
    let scratch = tempfile::tempdir().expect("a directory");
    for (end, why) in [("os._exit(0)", "the hidden tests ended early"), ("raise SystemExit('no idea')", "no idea")] {
        task.grader = format!("import os\nfrom grading import program\nprogram.files()\n{end}\n");
        let oracle = Delivery::of(task.oracle.clone());
        let graded = strict(&task, &oracle, &place, &scratch.path().join("g")).await;
        let error = graded.expect_err("it is trouble");
        assert!(error.is_retryable() && error.to_string().contains(why), "{error}");
    }
}

async fn is_proved(name: &str) {
    let Some(place) = place().await else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks").join(name);
    let suite = Suite::in_directory(&directory).expect("valid");
    let scratch = tempfile::tempdir().expect("a directory");
    let [task] = suite.tasks() else { panic!("one task") };
    assert!(task.wrong.iter().any(|wrong| wrong.text_only), "{name} has no solution that is made for the text checks");
    let proofs = prove(task, &place, scratch.path(), Depth::FirstFailure, |proof| {
        println!("{name} {}: documented {:.1}, strict {}", proof.solution, proof.documented, proof.strict.score());
    });
    let faults: Vec<_> = proofs.await.expect("graded").into_iter().filter(|proof| proof.fault.is_some()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
