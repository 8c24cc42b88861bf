//! Engines that share runs in one database.

use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_store::{LeaseClock, PostgresStore};

use super::support::Database;

async fn double(cx: Context, number: u64) -> TaskResult<u64> {
    cx.step("double", move || async move { Ok::<_, TaskError>(number * 2) }).await
}

async fn wait(cx: Context, number: u64) -> TaskResult<u64> {
    let more: u64 = cx.signal("more").await?;
    Ok(number + more)
}

async fn engine(store: PostgresStore, worker: &str) -> Engine {
    let workflow = Workflow::new("w").node("double", double).node("wait", wait).after("double").build();
    let workflow = workflow.expect("a workflow");
    let engine = Engine::builder().store(store).worker(worker).park_after(Duration::from_millis(1)).workflow(workflow);
    engine.start().await.expect("an engine")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_lets_engines_share_runs() {
    let Some(database) = Database::new() else { return };
    let open = async || database.open_as(database.options().with_lease_clock(LeaseClock::Database)).await;
    let (one, two) = (engine(open().await, "one").await, engine(open().await, "two").await);
    let mut runs = Vec::new();
    for number in 0..20_u64 {
        let engine = if number.is_multiple_of(2) { &one } else { &two };
        let request = engine.run("w").id(format!("r{number}")).input(&number).expect("an input");
        runs.push(request.start().await.expect("a run"));
    }
    for (number, run) in (0..20_u64).zip(&runs) {
        // Through the other engine, which does not drive the run.
        let other = if number.is_multiple_of(2) { &two } else { &one };
        let there = other.get(run.id()).await.expect("it is read").expect("it is there");
        there.signal("more", &1_u64).await.expect("it is sent");
    }
    for (number, run) in (0..20_u64).zip(&runs) {
        assert_eq!(run.output::<u64>().await.expect("an output"), number * 2 + 1);
    }
    one.shutdown().await;
    two.shutdown().await;
}

/// By the database's clock, whose times no engine has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_says_which_engine_drives_a_run_and_until_when() {
    let Some(database) = Database::new() else { return };
    let open = async || database.open_as(database.options().with_lease_clock(LeaseClock::Database)).await;
    let start = async |worker: &str, runs_max| {
        let workflow = Workflow::new("w").gate::<()>("go").build().expect("a workflow");
        let engine = Engine::builder().store(open().await).worker(worker).runs_max(runs_max);
        engine.lease(secs(20)).park_after(secs(600)).workflow(workflow).start().await.expect("an engine")
    };
    let (driver, reader) = (start("driver", 9).await, start("reader", 0).await);
    let run = driver.run("w").id("r").start().await.expect("a run");
    let (here, there) = (run.view().await.expect("a view"), reader.get(run.id()).await.expect("a store"));
    let there = there.expect("the run");
    let view = there.view().await.expect("a view");
    let (own, lease) = (here.lease.expect("its own lease"), view.lease.expect("it is driven"));
    assert_eq!((lease.worker.as_str(), lease.epoch), ("driver", own.epoch));
    // Both clocks are of this machine, or close.
    assert!(own.until.as_millis().abs_diff(lease.until.as_millis()) < 5_000, "{own:?}, {lease:?}");
    assert_eq!(view.nodes[0].waits_for, here.nodes[0].waits_for);
    assert_eq!((view.waits_for, here.waits_for), (None, None));
    driver.shutdown().await;
    let left = there.view().await.expect("a view");
    assert_eq!((left.lease, left.waits_for), (None, None), "it only waits");
    reader.shutdown().await;
}
