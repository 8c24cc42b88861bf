//! The tasks that are built in are proved: the oracle is right, an empty workspace is worth nothing, every mistake is found, and
//! texts alone satisfy text checks alone.

use std::path::Path;

use orkestra_bench::proof::prove;
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
}

async fn is_proved(name: &str) {
    let Some(place) = place().await else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks").join(name);
    let suite = Suite::in_directory(&directory).expect("valid");
    let scratch = tempfile::tempdir().expect("a directory");
    let [task] = suite.tasks() else { panic!("one task") };
    assert!(task.wrong.iter().any(|wrong| wrong.text_only), "{name} has no solution that is made for the text checks");
    let proofs = prove(task, &place, scratch.path(), |proof| {
        println!("{name} {}: documented {:.1}, strict {}", proof.solution, proof.documented, proof.strict.score());
    });
    let faults: Vec<_> = proofs.await.expect("graded").into_iter().filter(|proof| proof.fault.is_some()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
