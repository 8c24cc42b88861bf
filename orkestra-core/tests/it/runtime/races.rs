//! Races and waits whose parts have their own keys, whatever is polled first.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::Winner;
use orkestra_core::prelude::*;

use super::moody::{Moods, MoodyStore};
use super::world::{engine, journal};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn run_of<M>(task: impl orkestra_core::IntoTask<M>, park_after: Duration) -> (Engine, Run) {
    let workflow = Workflow::new("w").node("n", task).retry(Retry::immediate(2)).build().expect("a workflow");
    let gate = Workflow::new("gate").gate::<u8>("open").build().expect("a workflow");
    let builder = engine(MemoryStore::new()).park_after(park_after).workflow(workflow).workflow(gate);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    (engine, run)
}

async fn one(value: u32) -> TaskResult<u32> {
    Ok(value)
}

#[tokio::test(start_paused = true)]
async fn the_losers_of_a_race_shift_no_later_keys() {
    async fn races(cx: Context, (): ()) -> TaskResult<Vec<u32>> {
        let slow = async {
            let first = cx.step("a", || one(1)).await?;
            tokio::time::sleep(secs(9)).await;
            cx.step("b", || one(first)).await
        };
        let mut all = match cx.race("r", slow, cx.sleep(ms(100))).await? {
            Winner::First(all) => vec![all?],
            Winner::Second(slept) => slept.map(|()| vec![0])?,
        };
        all.push(cx.step("a", || one(2)).await?);
        cx.sleep(secs(5)).await?;
        Ok(all)
    }
    let (_engine, run) = run_of(races, ms(5)).await;
    assert_eq!(run.output::<Vec<u32>>().await.expect("an output"), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_sides_of_a_race_use_one_key_and_keep_their_own_results() {
    async fn races(cx: Context, (): ()) -> TaskResult<u32> {
        let (hands, slow) = (&cx, ms(50));
        let side = |value, time| async move {
            let got = hands.step("a", || one(value)).await?;
            hands.sleep(time).await?;
            TaskResult::Ok(got)
        };
        let won = match hands.race("r", side(1, slow * 9), side(2, slow)).await? {
            Winner::First(got) | Winner::Second(got) => got?,
        };
        hands.sleep(secs(5)).await?;
        Ok(won)
    }
    let (_engine, run) = run_of(races, ms(5)).await;
    assert_eq!(run.output::<u32>().await.expect("an output"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_map_are_fixed_when_it_is_made() {
    async fn maps(cx: Context, (): ()) -> TaskResult<Vec<u32>> {
        let mut all = Vec::new();
        tokio::select! {
            biased;
            slept = cx.sleep(ms(50)) => slept?,
            done = cx.map("m", 1, [1, 2], |n| async move {
                tokio::time::sleep(ms(30)).await;
                one(n).await
            }) => all = done?,
        }
        all.extend(cx.map("m", 1, [10, 20], one).await?);
        cx.sleep(secs(5)).await?;
        Ok(all)
    }
    let (_engine, run) = run_of(maps, ms(5)).await;
    assert_eq!(run.output::<Vec<u32>>().await.expect("an output"), [10, 20]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_keeps_the_output_of_a_child_that_it_dropped() {
    async fn tries(cx: Context, (): ()) -> TaskResult<u8> {
        if cx.attempt() == 1 {
            // The first call waits for both; when the task is called again, both have arrived.
            let fails = async {
                cx.sleep(secs(1)).await?;
                Err::<(), _>(TaskError::new("no luck"))
            };
            return Ok(tokio::try_join!(fails, cx.child::<u8>("one", "gate", ()))?.1);
        }
        cx.child("one", "gate", ()).await
    }
    let (engine, run) = run_of(tries, ms(5)).await;
    tokio::time::sleep(ms(100)).await;
    let child = super::world::only_child(&engine, "r").await.expect("a child");
    run.pause("so that both are over at once").await.expect("it runs");
    child.signal("open", &7).await.expect("it waits");
    tokio::time::sleep(secs(3)).await;
    run.resume().await.expect("it is paused");
    tokio::time::sleep(secs(3)).await;
    assert_eq!(super::world::children(&engine, "r").await.len(), 1, "the child is not started again");
    assert_eq!(run.output::<u8>().await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_while_its_task_is_being_parked_is_kept() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    async fn calls(cx: Context, time: u64) -> TaskResult<u64> {
        BEGUN.fetch_add(1, SeqCst);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            tokio::time::sleep(ms(time)).await;
            sender.send(time).await.ok();
        });
        tokio::select! {
            biased;
            got = receiver.recv() => Ok(got.unwrap_or_default()),
            slept = cx.sleep(secs(2)) => { slept?; Ok(0) }
        }
    }
    for park_after in [1, 2, 3, 5, 7, 10] {
        for time in 1..40 {
            BEGUN.store(0, SeqCst);
            let workflow = Workflow::new("w").node("n", calls).build().expect("a workflow");
            let builder = engine(MemoryStore::new()).park_after(ms(park_after)).workflow(workflow);
            let engine = builder.start().await.expect("an engine");
            let run = engine.run("w").input(&time).expect("json").start().await.expect("a run");
            assert_eq!(run.output::<u64>().await.expect("an output"), time, "{park_after}");
            assert_eq!(BEGUN.load(SeqCst), 1, "park {park_after}, time {time}: {:?}", journal(&run).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_at_most_once_step_starts_once_in_a_loop_of_races() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let mut said = Vec::new();
        for round in 0..3 {
            let work = || async {
                PAID.fetch_add(1, SeqCst);
                tokio::time::sleep(secs(1)).await;
                TaskResult::Ok(())
            };
            let pay = async { cx.step("pay", work).at_most_once().await };
            said.push(match cx.race("r", pay, cx.sleep(ms(100))).await? {
                Winner::First(paid) => paid.map_or_else(|error| error.failure().kind.clone(), |()| "paid".into()),
                Winner::Second(slept) => slept.map(|()| "dropped".into())?,
            });
            cx.sleep(secs(1 + round)).await?;
        }
        Ok(said)
    }
    let (_engine, run) = run_of(pays, ms(5)).await;
    assert_eq!(run.output::<Vec<String>>().await.expect("an output"), ["dropped", "interrupted", "interrupted"]);
    assert_eq!(PAID.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn independent_parts_of_a_join_use_scopes() {
    async fn joins(cx: Context, (): ()) -> TaskResult<(u32, u32)> {
        let part = |key: &'static str, value, time| {
            let side = cx.scope(key);
            async move {
                let side = side?;
                side.sleep(ms(time)).await?;
                side.step("a", || one(value)).await
            }
        };
        let (left, right) = tokio::join!(part("left", 1, 200), part("right", 2, 100));
        cx.sleep(secs(5)).await?;
        Ok((left?, right?))
    }
    let (_engine, run) = run_of(joins, ms(5)).await;
    assert_eq!(run.output::<(u32, u32)>().await.expect("an output"), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_race_dropped_before_its_winner_is_durable_returns_the_signal() {
    async fn drops(cx: Context, (): ()) -> TaskResult<String> {
        let got = tokio::select! {
            biased;
            slept = cx.sleep(ms(200)) => {
                slept?;
                format!("late: {}", cx.signal::<String>("go").timeout(secs(9)).await?)
            }
            won = cx.race("r", cx.signal::<String>("go"), cx.sleep(days(1))) => match won? {
                Winner::First(got) => format!("in time: {}", got?),
                Winner::Second(slept) => slept.map(|()| String::new())?,
            },
        };
        cx.sleep(secs(5)).await?;
        Ok(got)
    }
    let mut said = std::collections::BTreeMap::<String, u32>::new();
    for sent in (0..400).step_by(10) {
        let workflow = Workflow::new("w").node("n", drops).build().expect("a workflow");
        let store = MoodyStore::default();
        store.is(Moods { appends_take: ms(40), ..Moods::default() });
        let builder = engine(store).park_after(ms(50)).workflow(workflow);
        let engine = builder.start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        tokio::time::sleep(ms(sent)).await;
        run.signal("go", "yes").await.expect("it waits");
        let output = run.output::<String>().await.unwrap_or_else(|error| panic!("sent after {sent} ms: {error}"));
        *said.entry(output).or_default() += 1;
    }
    assert_eq!(said.keys().collect::<Vec<_>>(), ["in time: yes", "late: yes"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_dropped_while_its_result_is_written_runs_once() {
    static PAID: AtomicU32 = AtomicU32::new(0);
    async fn pays(cx: Context, limit: u64) -> TaskResult<String> {
        let work = || async {
            PAID.fetch_add(1, SeqCst);
            tokio::time::sleep(ms(10)).await;
            TaskResult::Ok("paid".to_owned())
        };
        let pay = cx.step("pay", work).at_most_once();
        if cx.attempt() == 1 {
            let paid = tokio::time::timeout(ms(limit), pay).await;
            cx.sleep(secs(1)).await?;
            return Err(TaskError::new(format!("no luck: {paid:?}")));
        }
        Ok(pay.await.unwrap_or_else(|error| error.failure().kind.clone()))
    }
    let mut said = std::collections::BTreeSet::new();
    for limit in (5..200).step_by(5) {
        PAID.store(0, SeqCst);
        let workflow = Workflow::new("w").node("n", pays).retry(Retry::immediate(2)).build().expect("a workflow");
        let store = MoodyStore::default();
        store.is(Moods { appends_take: ms(40), ..Moods::default() });
        let engine = engine(store).park_after(ms(50)).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&limit).expect("json").start().await.expect("a run");
        let output = run.output::<String>().await.unwrap_or_else(|error| error.to_string());
        assert_eq!(PAID.load(SeqCst), 1, "{limit} ms: {output}");
        said.insert(output);
    }
    assert_eq!(said.into_iter().collect::<Vec<_>>(), ["interrupted", "paid"]);
}

#[tokio::test(start_paused = true)]
async fn a_side_whose_signal_was_never_delivered_returns_it() {
    async fn drops(cx: Context, (): ()) -> TaskResult<String> {
        let side = async { cx.signal::<String>("go").await };
        let got = tokio::select! {
            biased;
            slept = cx.sleep(ms(200)) => {
                slept?;
                format!("late: {}", cx.signal::<String>("go").timeout(secs(9)).await?)
            }
            won = cx.race("r", side, cx.sleep(days(1))) => match won? {
                Winner::First(got) => format!("in time: {}", got?),
                Winner::Second(slept) => slept.map(|()| String::new())?,
            },
        };
        cx.sleep(secs(5)).await?;
        Ok(got)
    }
    for sent in (0..400).step_by(10) {
        let workflow = Workflow::new("w").node("n", drops).build().expect("a workflow");
        let store = MoodyStore::default();
        store.is(Moods { appends_take: ms(40), ..Moods::default() });
        let engine = engine(store).park_after(ms(50)).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        tokio::time::sleep(ms(sent)).await;
        run.signal("go", "yes").await.expect("it waits");
        let output = run.output::<String>().await;
        assert!(output.is_ok(), "sent after {sent} ms: {output:?}: {:?}", &journal(&run).await[1..]);
    }
}

/// When the task is called again, the first side has won before the other is polled; the wait of the other was
/// requested by the earlier call.
#[tokio::test(start_paused = true)]
async fn a_side_that_lost_while_parked_consumes_no_signal() {
    async fn races(cx: Context, dropped: bool) -> TaskResult<String> {
        let side = async { cx.signal::<String>("go").await };
        if dropped {
            tokio::select! {
                biased;
                slept = cx.sleep(secs(10)) => slept?,
                _ = cx.race("r", side, cx.ask::<String>("sure?")) => {}
            }
        } else {
            let asks = async { cx.race("asks", side, cx.ask::<String>("sure?")).await };
            match cx.race("r", cx.sleep(secs(10)), asks).await? {
                Winner::First(slept) => slept?,
                Winner::Second(_) => return Ok("early".into()),
            }
        }
        cx.signal("go").timeout(secs(100)).await
    }
    for dropped in [false, true] {
        let workflow = Workflow::new("w").node("n", races).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&dropped).expect("json").start().await.expect("a run");
        tokio::time::sleep(secs(20)).await;
        assert_eq!(run.view().await.expect("a view").questions.len(), 0, "it is withdrawn");
        run.signal("go", "yes").await.expect("it waits");
        assert_eq!(run.output::<String>().await.expect("an output"), "yes", "dropped: {dropped}");
    }
}
