//! However the process ends, the run can be resumed, and nothing that finished is repeated.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::{Live, Place, assert_in_order, assert_no_call_twice, done, json_lines, run_id};

fn resumed(place: &Place) -> Live {
    place.live(&mut place.aios(&["resume", "--json"]))
}

#[test]
fn a_run_that_is_killed_five_times_finishes_and_repeats_nothing() {
    let place = Place::new();
    let moments = [
        ("file_written", "planner"),
        ("tool_call", "frontend"),
        ("command_output", "backend"),
        ("validation_failed", "backend"),
        ("tool_call", "qa"),
    ];
    let mut live = place.live_run(&[]);
    let mut printed: Vec<Value> = Vec::new();
    for (event, agent) in moments {
        live.until_event(event, agent);
        printed.extend(live.kill());
        live = resumed(&place);
    }
    let (code, events, said) = live.finish();
    assert_eq!(code, 0, "{said}");
    printed.extend(events);

    let id = run_id(&printed);
    let log = json_lines(&place.good(&["logs", &id, "--json"]).out);
    assert_in_order(&log);
    assert_eq!(log.last().expect("events")["event"], "run_completed");
    assert!(log.iter().any(|event| event["event"] == "validation_failed"), "the mistake was found");
    let position = |event: &Value| event["seq"].as_u64().expect("events have a position");
    let seen: BTreeSet<u64> = printed.iter().map(position).collect();
    assert_eq!(seen.len(), printed.len(), "no event is shown twice");
    assert!(seen.is_subset(&log.iter().map(position).collect()), "what was shown was durable");
    assert_no_call_twice(&place.calls());

    assert!(place.good(&["resume"]).out.contains("nothing to resume"));
}

#[test]
fn a_run_that_is_killed_at_its_first_event_can_be_followed_to_its_end() {
    let place = Place::new();
    let mut live = place.live_run(&["--tasks", "planner"]);
    live.until("first event", |_| true);
    let id = run_id(&live.kill());
    let status = place.good(&["status", &id]).out;
    let expected = format!("unfinished, and no process works on it; continue with `aios resume {id}`\n");
    assert!(status.ends_with(&expected), "the lease of the killed process means nothing: {status}");
    let followed = place.good(&["logs", &id, "--follow", "--json"]);
    let events = json_lines(&followed.out);
    assert_eq!(events[0]["event"], "run_started", "logs begin at the beginning");
    assert_eq!(events.last().expect("events")["event"], "run_completed", "and continue to the end");
    assert_no_call_twice(&place.calls());
}

#[test]
fn ctrl_c_detaches_and_says_how_to_resume() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let mut live = place.live_run(&["--tasks", "backend"]);
        live.until_event("node_started", "backend");
        live.signal(signal);
        let (code, events, said) = live.finish();
        assert_eq!(code, 130, "{said}");
        let id = run_id(&events);
        assert!(said.contains(&format!("aios resume {id}")), "{said}");
        let done = place.good(&["resume", &id]);
        assert!(done.out.contains(&format!("Run {id} completed")), "{done:?}");
        assert_no_call_twice(&place.calls());
    }
}

#[test]
fn a_closed_pipe_detaches() {
    let place = Place::new();
    let mut live = place.live_run(&["--tasks", "planner"]);
    live.until("first event", |_| true);
    let (code, said) = live.close_stdout();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("aios resume"), "{said}");
    place.good(&["resume"]);
    assert_no_call_twice(&place.calls());
}

/// A run whose commands end `aios` itself would otherwise do so at each start.
#[test]
fn a_run_that_keeps_losing_its_process_is_paused_and_continued_by_a_person() {
    let place = Place::new();
    // The model never answers, so nothing is finished before the process is lost.
    let slow = |arguments: &[&str]| {
        let mut command = place.aios(arguments);
        command.env("ORKESTRA_DEMO_DELAY_MS", "3600000");
        command
    };
    let mut id = String::new();
    for life in 1..=3_usize {
        let run = ["run", "Build a REST API for a blog", "--json", "--sandbox", "local", "--model", "demo"];
        let mut live = place.live(&mut slow(if life == 1 { &run } else { &["resume", "--json"] }));
        if life == 1 {
            live.until_event("node_started", "planner");
        }
        while place.calls().len() < life {
            std::thread::yield_now();
        }
        let events = live.kill();
        if life == 1 {
            id = run_id(&events);
        }
    }
    let paused = done(&mut slow(&["resume"]));
    assert_eq!(paused.code, 1, "{paused:?}");
    let told = format!(
        "run {id} is paused: the process was lost 3 times in a row while node `planner` ran; node `planner` may have ended it. Read \
         what it did last with `aios logs {id}`; `aios resume {id}` continues it\n"
    );
    assert!(paused.err.ends_with(&told), "{paused:?}");
    assert_eq!(place.calls().len(), 3, "nothing was tried");
    assert!(place.good(&["status", &id]).out.contains("the process was lost 3 times in a row"));
    let followed = place.done(&["logs", &id, "--follow"]);
    assert_eq!(followed.code, 1, "{followed:?}");
    assert!(place.good(&["resume", &id]).out.contains(&format!("Run {id} completed")));
}
