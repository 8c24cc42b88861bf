//! Schedules that change, and clocks that jump, exactly while a run is started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_core::{Clock, FireOutcome, Overlap, Schedule};

use super::moody::{Moods, MoodyStore};
use super::world::{TokioClock, engine};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn pass(millis: u64) {
    tokio::time::sleep(ms(millis)).await;
}

#[derive(Clone)]
struct Jumping(Arc<TokioClock>, Arc<AtomicU64>);
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        self.0.now().saturating_add(secs(self.1.load(SeqCst)))
    }
}

fn waits() -> Workflow {
    let task = async |cx: Context, _what: String| cx.signal::<()>("go").await;
    Workflow::new("work").node("work", task).build().expect("a workflow")
}

async fn started(engine: &Engine) -> Vec<String> {
    let labels = [("schedule".to_owned(), "s".to_owned())].into();
    let page = engine.list(&RunQuery { labels, ..RunQuery::default() }).await.expect("a list");
    let mut ids: Vec<_> = page.items.iter().map(|run| run.id.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_started_run_counts_although_its_schedule_changed_meanwhile() {
    let store = MoodyStore::default();
    let first = engine(store.clone()).workflow(waits()).start().await.expect("an engine");
    let schedule = Schedule::every("s", "work", secs(60)).expect("a schedule").with_input("done").expect("json");
    first.schedules().put(schedule.with_overlap(Overlap::Skip)).await.expect("it is put");
    let behind = TokioClock::at(Timestamp::from_millis(900_000));
    let other = engine(store.inner.clone()).clock(behind).workflow(waits()).start().await.expect("an engine");
    pass(15_000).await;
    // 00:16:55. The run of 00:17:00 is started at once; recording it conflicts with the change of the other engine.
    store.is(Moods { values_take: (ms(0), ms(2000)), ..Moods::default() });
    pass(6_000).await;
    let by_hand = other.schedules().trigger("s").await.expect("by hand");
    pass(10_000).await;
    store.is(Moods::default());
    let status = first.schedules().get("s").await.expect("a store").expect("the schedule");
    other.get(by_hand.id()).await.expect("a store").expect("the run").signal("go", &()).await.expect("sent");
    pass(130_000).await;
    assert_eq!(started(&first).await.len(), 2, "the first is still running");
    assert!(matches!(status.last.expect("a fire time").outcome, FireOutcome::Started(_)));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_and_returns_while_a_schedule_fires_does_not_stop_it() {
    let store = MoodyStore::default();
    let clock = Jumping(Arc::new(TokioClock::new()), Arc::default());
    let task = async |_: Context, _what: String| Ok(());
    let w = Workflow::new("work").node("work", task).build().expect("a workflow");
    let first = engine(store.clone()).clock(clock.clone()).workflow(w).start().await.expect("an engine");
    let schedule = Schedule::every("s", "work", secs(60)).expect("a schedule").with_input("done").expect("json");
    first.schedules().put(schedule).await.expect("it is put");
    pass(15_000).await;
    store.is(Moods { values_take: (ms(2000), ms(2000)), ..Moods::default() });
    pass(6_000).await;
    clock.1.store(31_536_000, SeqCst);
    pass(2_000).await;
    clock.1.store(0, SeqCst);
    store.is(Moods::default());
    pass(600_000).await;
    assert!(started(&first).await.len() > 8);
}
