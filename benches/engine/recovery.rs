//! Measures how fast a process recovers the runs that the previous one left half-done.

use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use orkestra::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How long a restart took.
pub(crate) struct Restart {
    /// Until the store was open.
    pub(crate) opened: Duration,
    /// From there until every interrupted task was called again and had the results of its earlier steps.
    pub(crate) live: Duration,
}

/// Counts running tasks.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<(AtomicU32, Notify)>);

impl Count {
    fn up(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.notify_one();
    }

    pub(crate) async fn reaches(&self, count: u32) {
        while self.0.0.load(Ordering::Relaxed) < count {
            self.0.1.notified().await;
        }
    }
}

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

type Half = Pin<Box<dyn Future<Output = TaskResult<()>> + Send>>;

/// A task with steps that waits forever half-way, unless `finish` is set, and a count of the tasks that got there.
pub(crate) fn half_done(finish: bool) -> (impl Fn(Context, ()) -> Half + Send + Sync, Count) {
    let count = Count::default();
    let counted = count.clone();
    let task = move |cx: Context, (): ()| {
        let count = counted.clone();
        let work = async move {
            for _ in 0..3 {
                cx.step("step", || async { TaskResult::Ok(()) }).await?;
            }
            count.up();
            if !finish {
                std::future::pending::<()>().await;
            }
            cx.step("last", || async { TaskResult::Ok(()) }).await
        };
        Box::pin(work) as Half
    };
    (task, count)
}

fn workflow(count: &Count) -> Result<Workflow, Box<dyn Error>> {
    let count = count.clone();
    let half = move |cx: Context, (): ()| {
        let count = count.clone();
        async move {
            for _ in 0..3 {
                cx.step("step", || async { TaskResult::Ok(()) }).await?;
            }
            count.up();
            std::future::pending::<TaskResult<()>>().await
        }
    };
    Ok(Workflow::new("half").node("first", nothing).node("second", half).after("first").build()?)
}

/// Leaves `count` runs half-done and restarts the engine.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn restart(runtime: &Runtime, place: &Path, count: u32) -> Result<Restart, Box<dyn Error>> {
    let under_way = Count::default();
    runtime.block_on(async {
        let engine = Engine::builder().store(SledStore::open(place)?).workflow(workflow(&under_way)?).start().await?;
        for _ in 0..count {
            engine.run("half").start().await?;
        }
        under_way.reaches(count).await;
        engine.shutdown().await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    let again = Count::default();
    let begun = Instant::now();
    let store = SledStore::open(place)?;
    let opened = begun.elapsed();
    runtime.block_on(async {
        let begun = Instant::now();
        let engine = Engine::builder().store(store).workflow(workflow(&again)?).start().await?;
        again.reaches(count).await;
        let live = begun.elapsed();
        engine.shutdown().await;
        Ok(Restart { opened, live })
    })
}
