//! Registering, logging in, and what happens to those who do not.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::Server;

/// As it stands in the documentation.
const DOCUMENTED_EMAIL: &str = "[email protected]";

#[tokio::test]
async fn an_account_gives_keys_and_an_email_is_taken_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let caller = server.register(DOCUMENTED_EMAIL).await;
    assert!(caller.key.starts_with("sk_"));

    let again = json!({"email": " [EMAIL protected]", "password": "another", "organization_name": "Other"});
    let (status, body) = caller.post("auth/register", &again).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("email_taken")));

    let login = json!({"email": DOCUMENTED_EMAIL, "password": "secret"});
    let (status, body) = server.client().post("auth/login", &login).await;
    assert_eq!(status, StatusCode::OK);
    let mut other = caller.clone();
    other.key = body["api_key"].as_str().expect("a key").to_owned();
    assert_ne!(other.key, caller.key);
    let run = caller.run(json!({})).await;
    assert_eq!(other.get(&format!("runs/{run}")).await.0, StatusCode::OK, "both keys are of one organisation");

    let mut refusals = Vec::new();
    for (email, password) in [(DOCUMENTED_EMAIL, "Secret"), ("nobody", "secret")] {
        refusals.push(server.client().post("auth/login", &json!({"email": email, "password": password})).await);
    }
    assert_eq!(refusals[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(refusals[0], refusals[1], "who is not told which of the two was wrong");
}

#[tokio::test]
async fn neither_passwords_nor_keys_are_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let mut caller = server.client();
    let account = json!({"email": "a", "password": "correct horse battery", "organization_name": "A"});
    caller.key = caller.post("auth/register", &account).await.1["api_key"].as_str().expect("a key").to_owned();
    let key = caller.key.clone();
    server.stop().await;
    let mut files = 0;
    for entry in walk(&directory.path().join("store")) {
        let bytes = std::fs::read(&entry).expect("a file");
        files += 1;
        for secret in ["correct horse battery", &key, &key[3..]] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds {secret}", entry.display());
        }
    }
    assert!(files > 0);
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn bodies_that_are_no_account() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let client = server.client();
    let long = "x".repeat(2_000);
    for body in [
        json!({}),
        json!(null),
        json!({"email": "a", "password": "secret"}),
        json!({"email": 5, "password": "secret", "organization_name": "A"}),
        json!({"email": "  ", "password": "secret", "organization_name": "A"}),
        json!({"email": "a\u{0}b", "password": "secret", "organization_name": "A"}),
        json!({"email": long, "password": "secret", "organization_name": "A"}),
        json!({"email": "a", "password": "", "organization_name": "A"}),
        json!({"email": "a", "password": long, "organization_name": "A"}),
        json!({"email": "a", "password": "secret", "organization_name": ""}),
    ] {
        let (status, answer) = client.post("auth/register", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer["code"], "invalid_request");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
}

#[tokio::test]
async fn too_many_attempts_are_answered_with_when_to_retry() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path()).await;
    let client = server.client();
    let mut refused = None;
    for attempt in 0..20 {
        let path = if attempt % 2 == 0 { "auth/login" } else { "auth/register" };
        let response = client.http.post(client.url(path)).body("{").send().await.expect("an answer");
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((attempt, response));
            break;
        }
    }
    let (attempt, response) = refused.expect("it is refused");
    assert!(attempt >= 10, "an honest person may err");
    let wait: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    assert_eq!(response.json::<serde_json::Value>().await.expect("JSON")["code"], "too_many_requests");
    assert_eq!(client.get("runs").await.0, StatusCode::UNAUTHORIZED, "the rest of the API is not limited so");
}
