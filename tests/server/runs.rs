//! Runs: the documented flow, who may see what, what is refused, and what a restart changes.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, Server, names};

#[tokio::test]
async fn the_documented_flow_from_account_to_tested_project() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("[email protected]").await;
    let all = json!({"tasks": null, "objective": "Build a FastAPI todo app with JWT auth", "project_id": "my-todo"});
    let run = caller.run(all).await;

    let events = caller.events(&run, 0).await;
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(names(&events)[0], "run_started");
    assert_eq!(events[0]["node_count"], 4);
    assert_eq!(names(&events).last(), Some(&"run_completed"));
    assert_eq!((named("validation_failed"), named("node_completed")), (1, 4));
    assert!(named("token_chunk") > 0 && named("file_written") > 0);
    let mut last = 0;
    for event in &events {
        assert_eq!((&event["type"], &event["run_id"]), (&event["event"], &json!(run)));
        let seq = event["seq"].as_u64().expect("a position");
        assert!(seq > last, "in order, each once");
        last = seq;
    }

    let (status, body) = caller.get(&format!("runs/{run}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&body["status"], &body["progress_percentage"]), (&json!("completed"), &json!(100)));
    assert_eq!(body["task_objective"], "Build a FastAPI todo app with JWT auth");
    assert_eq!(body["project_id"], "my-todo", "as its organisation wrote it");
    let nodes = body["nodes"].as_array().expect("nodes");
    let agents: Vec<&Value> = nodes.iter().map(|node| &node["agent_name"]).collect();
    assert_eq!(agents, ["planner", "backend", "frontend", "qa"]);
    assert_eq!(nodes[1]["attempt"], 2);
    assert!(nodes.iter().all(|node| node["waits_for"] == json!([])), "it has ended: {body}");
    let files = body["files"].as_array().expect("files");
    assert!(files.contains(&json!("plan.md")) && files.len() > 5, "{files:?}");

    let next = caller.run(json!({"project_id": "my-todo"})).await;
    caller.events(&next, 0).await;
    let (_, body) = caller.get(&format!("runs/{next}")).await;
    assert!(body["files"].as_array().expect("files").contains(&json!("qa_report.md")), "a project keeps its files");
}

#[tokio::test]
async fn organisations_do_not_see_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let (ours, theirs) = (server.register("ours").await, server.register("theirs").await);
    let run = ours.run(json!({"project_id": "same", "objective": "Build a library"})).await;
    let other = theirs.run(json!({"project_id": "same", "objective": "Build a garage"})).await;
    for (caller, run) in [(&ours, &run), (&theirs, &other)] {
        caller.events(run, 0).await;
        let (_, body) = caller.get("runs?project_id=same").await;
        let ids: Vec<&Value> = body["runs"].as_array().expect("runs").iter().map(|run| &run["run_id"]).collect();
        assert_eq!(ids, [&json!(run)]);
    }
    let missing = theirs.get("runs/no-such-run").await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
    for path in ["", "/download", "/events"] {
        assert_eq!(theirs.get(&format!("runs/{run}{path}")).await, missing, "{path}");
    }
    assert_eq!(theirs.post(&format!("runs/{run}/cancel"), &json!({})).await, missing);

    let plan = |caller: Caller, run: String| async move {
        let archive = caller.bytes(&format!("runs/{run}/download")).await;
        crate::download::unpacked(archive)["plan.md"].clone()
    };
    assert_ne!(plan(ours, run).await, plan(theirs, other).await, "one project id, two projects");
}

#[tokio::test]
async fn what_is_refused_is_refused_clearly() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let (caller, mut stranger) = (server.register("a").await, server.client());
    assert_eq!(stranger.get("runs").await.0, StatusCode::UNAUTHORIZED);
    stranger.key = "sk_0000".to_owned();
    let (status, body) = stranger.post("runs", &json!({})).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")), "before the body is read");

    for body in [
        json!({}),
        json!([]),
        json!({"objective": ""}),
        json!({"objective": " \n"}),
        json!({"objective": 5}),
        json!({"objective": "x".repeat(40_000)}),
        json!({"objective": "x", "tasks": ["devops"]}),
        json!({"objective": "x", "tasks": "backend"}),
        json!({"objective": "x", "project_id": "../../etc"}),
        json!({"objective": "x", "project_id": ""}),
        json!({"objective": "x", "project_id": "Upper"}),
        json!({"objective": "x", "budget_usd": 1}),
    ] {
        let (status, answer) = caller.post("runs", &body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_request")), "{body}");
    }
    let post = || caller.http.post(caller.url("runs"));
    assert_eq!(caller.send(post().body("{\"objective\"")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(caller.send(post()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(caller.send(post().body(vec![b' '; 1 << 20])).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=5.", "status=pending", "project_id=..%2F"] {
        assert_eq!(caller.get(&format!("runs?{query}")).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    assert_eq!(caller.get("runs/a%2Fb%FF").await.0, StatusCode::NOT_FOUND);
    assert_eq!(caller.get("nothing").await.1["code"], "not_found");
    assert_eq!(caller.send(caller.http.delete(caller.url("runs"))).await.1["code"], "method_not_allowed");
    assert_eq!(caller.get("runs").await.1["runs"], json!([]), "nothing was started");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_run_of_one_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let (ours, theirs) = (server.register("ours").await, server.register("theirs").await);
    let ask = async |caller: &Caller, key: &str, objective: &str| {
        let body = json!({"objective": objective, "tasks": ["planner"]});
        caller.send(caller.http.post(caller.url("runs")).header("Idempotency-Key", key).json(&body)).await
    };
    let (one, two) = tokio::join!(ask(&ours, "k", "Build a shop"), ask(&ours, "k", "Build a shop"));
    assert_eq!(one.0, StatusCode::CREATED);
    assert_eq!(one, two, "asked at once");
    assert_eq!(ask(&ours, "k", "Build a shop").await, one);
    assert_eq!(ask(&ours, "k", "Build a pub").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(&ours, &"k".repeat(300), "Build a shop").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_ne!(ask(&ours, "l", "Build a shop").await.1, one.1);
    assert_ne!(ask(&theirs, "k", "Build a shop").await.1, one.1, "keys belong to their organisation");
    assert_eq!(ours.get("runs").await.1["runs"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let run = caller.run(json!({})).await;
        caller.events(&run, 0).await;
        made.push(json!(run));
    }
    let (mut read, mut query) = (Vec::new(), "runs?limit=2&status=completed".to_owned());
    loop {
        let (_, page) = caller.get(&query).await;
        read.extend(page["runs"].as_array().expect("runs").iter().map(|run| run["run_id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("runs?limit=2&status=completed&cursor={cursor}");
    }
    read.sort_by_key(|run| made.iter().rposition(|one| one == run));
    assert_eq!(read, made, "each once");
    assert_eq!(caller.get("runs?status=failed").await.1["runs"], json!([]));
}

#[tokio::test]
async fn a_run_can_be_cancelled_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register("a").await;
    let run = caller.run(json!({"tasks": null})).await;
    let (status, body) = caller.post(&format!("runs/{run}/cancel"), &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(names(&caller.events(&run, 0).await).last(), Some(&"run_cancelled"));
    assert_eq!(caller.get(&format!("runs/{run}")).await.1["status"], "cancelled");
    let (status, body) = caller.post(&format!("runs/{run}/cancel"), &json!({})).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("conflict")));
}

#[tokio::test]
async fn a_restart_keeps_accounts_and_finishes_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let mut caller = server.register("a").await;
    let run = caller.run(json!({"tasks": ["backend"]})).await;
    server.stop().await;

    let server = Server::start(directory.path()).await;
    caller.address = server.address;
    let events = caller.events(&run, 0).await;
    assert_eq!(names(&events).last(), Some(&"run_completed"), "with the key and the run of before");
}
