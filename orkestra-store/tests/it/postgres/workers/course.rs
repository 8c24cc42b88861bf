//! What happens to the workers, and what must hold afterwards.

use std::time::Duration;

use orkestra_core::model::Timestamp;
use orkestra_core::store::{DueQuery, Store};

use super::load::{Done, Load};
use super::scene::Scene;
use super::witness::Effects;
use super::worker::{LEASE, micros};

/// The size of a test.
struct Size {
    runs: usize,
    at_once: usize,
}

fn size() -> Size {
    let long = std::env::var_os("ORKESTRA_LONG").is_some();
    if long { Size { runs: 5_000, at_once: 150 } } else { Size { runs: 300, at_once: 40 } }
}

/// Prints the number, maximum and median of some times.
fn say(what: &str, times: &[Duration]) {
    let (Some(most), middle) = (times.last(), times.get(times.len() / 2)) else {
        println!("{what}: none");
        return;
    };
    println!("{what}: {} in all, at most {most:.2?}, median {:.2?}", times.len(), middle.copied().unwrap_or_default());
}

/// Checks everything that must hold in the end, and prints statistics.
async fn must_be_whole(scene: &mut Scene, done: &[Done], workers: &[usize]) -> Effects {
    assert_eq!(scene.engine.blocked().len(), 0, "{:?}", scene.engine.blocked());
    let mut fenced = 0;
    for worker in workers {
        let report = scene.report(*worker);
        println!(
            "  w{worker}: {fenced} fenced, {refused} refused otherwise, {lost} leases lost",
            fenced = report.fenced,
            refused = report.refused,
            lost = report.lost
        );
        assert_eq!((&*report.blocked, report.live), ("", 0), "w{worker}");
        fenced += report.fenced;
    }
    scene.witness.must_be_consistent().await;
    let (runs, results) = scene.witness.replay_all(&scene.store).await;
    let effects = Effects::read(&scene.acts(), &results);
    let late = scene.witness.late_writes_must_be_fenced(&scene.store).await;
    println!("{late} late writes tried and fenced, {fenced} by workers themselves");
    println!("{runs} runs replayed, {} effects, {} repeated before they were durable", effects.all, effects.repeated);
    let ends = scene.witness.ends().await;
    let mut delays: Vec<_> =
        done.iter().map(|(run, known)| Duration::from_micros(known.saturating_sub(ends[run]).unsigned_abs())).collect();
    delays.sort_unstable();
    say("outputs known after their commit", &delays);
    effects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_workers_that_are_killed_or_disconnected_leave_no_run_unfinished() {
    let Some(mut scene) = Scene::set_up("cut", 3).await else { return };
    let Size { runs, at_once } = size();
    let began = tokio::time::Instant::now();
    let (load, all) = Load::begin(scene.engine.clone(), runs, at_once);

    load.reached(runs / 3).await;
    let killed_at = micros();
    scene.kill(1);
    tokio::time::sleep(LEASE).await;

    load.reached(runs / 2).await;
    let cut_at = micros();
    scene.network.cut(2);
    tokio::time::sleep(2 * LEASE).await;
    let mended_at = micros();
    scene.network.reconnect(2);
    while scene.witness.claims_since(2, mended_at).await < 10 {
        assert!(!all.is_finished(), "the mended worker drives nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let back = scene.witness.first_claim_after(2, mended_at).await.expect("it has claimed");

    // A machine that is suspended: it continues without knowing.
    let stopped_at = micros();
    scene.signal(3, "-STOP");
    tokio::time::sleep(LEASE + LEASE / 2).await;
    scene.signal(3, "-CONT");

    load.enough();
    let done = all.await.expect("every run completes");
    let took = began.elapsed();
    println!(
        "{} runs in {took:.1?}, {:.1} runs/s, {at_once} at once",
        done.len(),
        done.len() as f64 / took.as_secs_f64()
    );
    settle(&scene).await;
    let effects = must_be_whole(&mut scene, &done, &[2, 3]).await;
    println!("the mended worker claimed again after {back:.2?}");
    for (what, worker, moment) in [("killed", 1, killed_at), ("cut off", 2, cut_at), ("stopped", 3, stopped_at)] {
        let times = scene.witness.taken_over(worker, moment).await;
        say(&format!("runs of the worker that was {what} taken over"), &times);
        assert!(!times.is_empty(), "the worker that was {what} held nothing");
        assert!(times.last().is_none_or(|most| *most < LEASE), "w{worker} was {what}: {times:?}");
    }
    let still = effects.last_sign(2, cut_at, mended_at).unwrap_or_default();
    println!("the last activity of a disconnected task came after {still:.2?}");
    assert!(still < LEASE, "tasks continue after others have taken over");
}

/// Waits until no run is live and no letter waits. A parent may end before its child knows that it was signalled.
async fn settle(scene: &Scene) {
    for _ in 0..500 {
        let due = scene.store.due(&DueQuery::at(Timestamp::from_millis(u64::MAX), 1)).await.expect("it answers");
        if due.runs.is_empty() && due.next.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_workers_that_are_shut_down_hand_over_at_once() {
    let Some(mut scene) = Scene::set_up("deploy", 2).await else { return };
    let (load, all) = Load::begin(scene.engine.clone(), 80, 30);
    load.reached(30).await;
    let down_at = micros();
    scene.shut_down(1);
    println!("shut down within {:?}", Duration::from_micros(micros().abs_diff(down_at)));
    load.enough();
    let done = all.await.expect("every run completes");
    settle(&scene).await;
    must_be_whole(&mut scene, &done, &[2]).await;
    let times = scene.witness.taken_over(1, down_at).await;
    say("runs of the worker that was shut down taken over", &times);
    assert!(!times.is_empty(), "the worker that was shut down held nothing");
    assert!(times.last().is_none_or(|most| *most < LEASE / 2), "{times:?}");
}
