//! Reading runs changes nothing; only one process at a time has the store; cancelling.

use super::support::{LOCAL_DEMO, Place, json_lines, run_id};

#[test]
fn a_second_process_learns_who_has_the_store_and_an_unfinished_run_can_be_read_and_cancelled() {
    let place = Place::new();
    let mut live = place.live(
        place
            .aios(&[&["run", "Build a wiki", "--json"], &LOCAL_DEMO[..]].concat())
            // Long enough that the planner is still running while the other commands read.
            .env("ORKESTRA_DEMO_DELAY_MS", "600000"),
    );
    live.until_event("node_started", "planner");
    let id = run_id(&live.events);
    for arguments in [&["ls"][..], &["logs", &id], &["resume"], &["run", "Another", "--sandbox", "local"]] {
        let refused = place.done(arguments);
        assert_eq!(refused.code, 1, "{arguments:?}: {refused:?}");
        assert!(refused.err.contains(&format!("process {}", live.process())), "{refused:?}");
    }
    live.signal("INT");
    assert_eq!(live.finish().0, 130);

    let calls = place.calls().len();
    let listed = place.good(&["ls"]).out;
    assert!(listed.contains(&id) && listed.contains("unfinished") && listed.contains("Build a wiki"), "{listed}");
    let as_json = json_lines(&place.good(&["ls", "--json"]).out);
    assert_eq!((&as_json[0]["run_id"], &as_json[0]["status"]), (&id.as_str().into(), &"running".into()));
    let status = place.good(&["status", &id]).out;
    assert!(status.contains("Build a wiki") && status.contains("aios resume"), "{status}");
    let status = json_lines(&place.good(&["status", &id, "--json"]).out);
    assert_eq!(status[0]["nodes"].as_array().map(Vec::len), Some(4));
    let graph = place.good(&["graph", &id]).out;
    assert!(graph.contains("> planner") && graph.contains("<- backend, frontend"), "{graph}");
    let logs = place.good(&["logs", &id]);
    assert!(logs.out.contains("planner    started, attempt 1") && logs.err.contains("unfinished"), "{logs:?}");

    // Another run does not touch it.
    let other = place.good(&[&["run", "Build a shop", "--tasks", "planner"], &LOCAL_DEMO[..]].concat());
    assert!(other.err.contains(&format!("run {id} is unfinished and is not touched")), "{other:?}");
    let of_left = place.calls().iter().filter(|call| call["run"] == id.as_str()).count();
    assert_eq!(of_left, calls, "no call was made for it");

    assert!(place.good(&["cancel", &id, "--reason", "enough"]).out.contains("cancelled"));
    let cancelled = place.done(&["logs", &id, "--follow"]);
    assert_eq!(cancelled.code, 4, "{cancelled:?}");
    assert!(cancelled.out.contains("run        cancelled: enough"), "{cancelled:?}");
    let of_left = place.calls().iter().filter(|call| call["run"] == id.as_str()).count();
    assert_eq!(of_left, calls, "cancelling makes no call");
    let again = place.done(&["cancel", &id]);
    assert_eq!(again.code, 2, "{again:?}");
    let resumed = place.good(&["resume", &id]);
    assert!(resumed.out.contains("nothing to resume"), "{resumed:?}");
}

#[test]
fn reading_commands_create_no_store() {
    let place = Place::new();
    assert!(place.good(&["ls"]).err.contains("there are no runs"));
    assert!(place.good(&["resume"]).out.contains("nothing to resume"));
    for command in ["logs", "status", "graph", "cancel", "resume"] {
        let unknown = place.done(&[command, "nope"]);
        assert_eq!(unknown.code, 2, "{command}: {unknown:?}");
        assert!(unknown.err.contains("there is no run \"nope\""), "{command}: {unknown:?}");
    }
    assert!(!place.path().join(".orkestra").exists());
}
