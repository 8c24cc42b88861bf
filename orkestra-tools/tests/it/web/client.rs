//! The guarded client: one test for each way to a host that is denied, and one for each limit.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use orkestra_tools::web::{AddressPolicy, Denial, Fetch, FetchError, FetchRequest, Guard, GuardedClient};
use serde_json::json;

use super::client_of;
use super::server::{Answers, Server, html, redirect, response};

fn client(policy: AddressPolicy) -> GuardedClient {
    GuardedClient::new(policy).expect("a client")
}

#[tokio::test]
async fn loopback_is_denied_except_for_the_port_that_was_opened() {
    let (open, closed) = (Server::start(|_| html("open")).await, Server::start(|_| html("closed")).await);
    let client = client_of(&[&open]);
    let response = client.fetch(FetchRequest::get(open.url("/a?b=1"))).await.expect("fetched");
    assert_eq!((response.status, response.text().as_str(), response.is_complete), (200, "open", true));
    for url in
        [closed.url("/"), format!("http://localhost:{}/", closed.port), format!("http://2130706433:{}/", closed.port)]
    {
        let error = client.fetch(FetchRequest::get(url)).await.expect_err("denied");
        assert!(matches!(error, FetchError::Denied(_)) && !error.is_retryable(), "{error}");
    }
    assert_eq!((open.paths().len(), closed.paths().len()), (1, 0));
}

#[tokio::test]
async fn a_redirect_to_a_denied_address_is_denied() {
    let inner = Server::start(|_| html("secret")).await;
    let denied = [
        inner.url("/"),
        format!("//127.0.0.1:{}/", inner.port),
        format!("http://localhost:{}/", inner.port),
        format!("http://[::ffff:127.0.0.1]:{}/", inner.port),
        "http://169.254.169.254/latest/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://0/".to_owned(),
        "http://metadata.test/".to_owned(),
    ];
    let invalid =
        ["file:///etc/passwd", "ftp://a.example/", "http://u:secret@a.example/", "http://[", "data:text/html,x"];
    let targets = denied.iter().map(String::as_str).chain(invalid);
    for (index, target) in targets.enumerate() {
        let to = target.to_owned();
        let outer = Server::start(move |_| redirect(&to)).await;
        let guard = Guard::new(AddressPolicy::global().with_loopback_port(outer.port));
        let guard = guard.with_resolver(Answers::new(&[&["169.254.169.254"]]));
        let client = GuardedClient::with_guard(guard).expect("a client");
        let error = client.fetch(FetchRequest::get(outer.url("/"))).await.expect_err(target);
        match error {
            FetchError::Denied(_) => assert!(index < denied.len(), "{target}: {error}"),
            FetchError::Invalid { .. } => assert!(index >= denied.len(), "{target}: {error}"),
            _ => panic!("{target}: {error}"),
        }
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(inner.seen().len(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_denied_address_is_denied() {
    let lists: [&[&str]; 9] = [
        &["10.0.0.1"],
        &["127.0.0.1"],
        &["169.254.169.254"],
        &["0.0.0.0"],
        &["::1"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::a00:1"],
        &["fd00:ec2::254"],
        &["93.184.216.34", "10.0.0.1"], // one good address does not excuse the other
    ];
    for list in lists {
        let answers = Answers::new(&[list]);
        let guard = Guard::new(AddressPolicy::global().with_loopback_port(80)).with_resolver(answers.clone());
        let client = GuardedClient::with_guard(guard.clone()).expect("a client");
        let error = client.fetch(FetchRequest::get("http://innocent.example/")).await.expect_err("denied");
        let FetchError::Denied(denied) = &error else { panic!("{list:?}: {error}") };
        assert_eq!(denied.host, "innocent.example");
        assert!(matches!(denied.reason, Denial::Kind(_)) && error.to_string().contains("ask the operator"), "{error}");
        let for_a_proxy = guard.resolve("innocent.example", 80).await.expect_err("denied");
        assert!(matches!(for_a_proxy, FetchError::Denied(_)), "{list:?}: {for_a_proxy}");
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_for_a_connection_which_goes_to_the_checked_address() {
    let server = Server::start(|_| html("checked")).await;
    // Checked and then asked again, the second answer would be connected to.
    let answers = Answers::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let guard = Guard::new(AddressPolicy::global().with_loopback_port(server.port)).with_resolver(answers.clone());
    let client = GuardedClient::with_guard(guard).expect("a client");
    let url = format!("http://rebind.localhost:{}/", server.port);
    let response = client.fetch(FetchRequest::get(&url)).await.expect("fetched");
    assert_eq!((response.text().as_str(), answers.asked()), ("checked", vec!["rebind.localhost".to_owned()]));
    // The next connection is checked anew.
    let error = client.fetch(FetchRequest::get(&url)).await.expect_err("denied");
    assert!(matches!(error, FetchError::Denied(_)), "{error}");
    assert_eq!((server.seen().len(), answers.asked().len()), (1, 2));
}

#[tokio::test]
async fn a_client_for_a_library_checks_names_too_and_follows_nothing() {
    let server = Server::start(|_| redirect("http://10.0.0.1/")).await;
    let answers = Answers::new(&[&["10.0.0.1"]]);
    let guard = Guard::new(AddressPolicy::global().with_loopback_port(server.port)).with_resolver(answers);
    let client = GuardedClient::with_guard(guard).expect("a client");
    assert!(matches!(client.client_for("http://10.0.0.1/v1"), Err(FetchError::Denied(_))));
    let url = server.url("/");
    let library = client.client_for(&url).expect("allowed");
    assert_eq!(library.get(&url).send().await.expect("a response").status(), 302);
    let library = client.client_for("http://model.example/v1").expect("not yet resolved");
    let error = library.get("http://model.example/v1").send().await.expect_err("denied");
    assert!(format!("{error:?}").contains("10.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn redirects_are_followed_and_limited_and_headers_stay_at_their_origin() {
    let end = Server::start(|_| html("end")).await;
    let to = end.url("/end#fragment");
    let start = Server::start(move |request| match request.path.as_str() {
        "/loop" => redirect("/loop"),
        "/first" => redirect("second?x=1"),
        _ => redirect(&to),
    });
    let start = start.await;
    let client = client_of(&[&start, &end]);
    let request = FetchRequest::get(start.url("/first")).with_header("authorization", "Bearer secret");
    let response = client.fetch(request).await.expect("fetched");
    assert_eq!((response.url.as_str(), response.text().as_str()), (end.url("/end").as_str(), "end"));
    assert_eq!(start.paths(), ["/first", "/second?x=1"]);
    assert!(start.seen().iter().all(|request| request.head.contains("bearer secret")));
    let head = &end.seen()[0].head;
    for absent in ["secret", "referer", "cookie", "proxy"] {
        assert!(!head.contains(absent), "{absent} in {head}");
    }
    let error = client.fetch(FetchRequest::get(start.url("/loop"))).await.expect_err("endless");
    assert!(matches!(error, FetchError::Redirects { limit: 8, .. }), "{error}");
    // A POST is not sent anywhere else.
    let posted =
        client.fetch(FetchRequest::post_json(start.url("/first"), &json!({"a": 1}))).await.expect("a response");
    assert_eq!(posted.status, 302);
    let last = start.seen().pop().expect("a request");
    assert_eq!((last.method.as_str(), last.body.as_str()), ("POST", "{\"a\":1}"));
}

#[tokio::test]
async fn cookies_are_neither_kept_nor_sent() {
    let server = Server::start(|_| response(200, &[("set-cookie", "a=b")], "")).await;
    let client = client_of(&[&server]);
    for _ in 0..2 {
        client.fetch(FetchRequest::get(server.url("/"))).await.expect("fetched");
    }
    assert!(server.seen().iter().all(|request| !request.head.contains("cookie")));
}

#[tokio::test]
async fn a_body_is_cut_at_its_limit_also_when_it_is_compressed_or_endless() {
    let zeros = vec![b'0'; 64 * 1024 * 1024];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let server = Server::start(move |request| match request.path.as_str() {
        "/bomb" => response(200, &[("content-encoding", "gzip")], &bomb),
        "/plain" => response(200, &[], &zeros[..300]),
        // Promises much more than it sends.
        _ => [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".as_slice(), &zeros[..1_000_000]].concat(),
    });
    let server = server.await;
    let client = client_of(&[&server]);
    for path in ["/bomb", "/plain", "/endless"] {
        let response = client.fetch(FetchRequest::get(server.url(path)).with_bytes_max(256)).await.expect(path);
        assert_eq!((response.body, response.is_complete), (vec![b'0'; 256], false), "{path}");
    }
    let exact = client.fetch(FetchRequest::get(server.url("/plain")).with_bytes_max(300)).await.expect("fetched");
    assert!(exact.is_complete);
    let broken = client.fetch(FetchRequest::get(server.url("/endless"))).await.expect_err("the connection broke");
    assert!(matches!(broken, FetchError::Unreachable { .. }) && broken.is_retryable(), "{broken}");
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let client = client(AddressPolicy::global().with_loopback_port(port));
    let url = format!("http://127.0.0.1:{port}/?key=secret");
    let request = FetchRequest::get(url).with_timeout(Duration::from_millis(50));
    let error = client.fetch(request).await.expect_err("nothing answers");
    assert!(matches!(error, FetchError::TimedOut { .. }) && !error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn what_would_be_a_second_request_in_a_header_is_refused() {
    let server = Server::start(|_| html("")).await;
    let client = client_of(&[&server]);
    for (name, value) in [("x", "a\r\nhost: b"), ("x\r\ny", "a"), ("", "a"), ("x", "a\0")] {
        let request = FetchRequest::get(server.url("/")).with_header(name, value);
        let error = client.fetch(request).await.expect_err("invalid");
        assert!(matches!(error, FetchError::Invalid { .. }), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_and_a_closed_port_are_told_apart() {
    let guard = Guard::new(AddressPolicy::global()).with_resolver(Answers::new(&[]));
    let client = GuardedClient::with_guard(guard).expect("a client");
    let error = client.fetch(FetchRequest::get("http://nowhere.example/?key=secret")).await.expect_err("no address");
    assert_eq!(error.to_string(), "cannot resolve `nowhere.example`: no such name; check the name");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let client = self::client(AddressPolicy::global().with_loopback_port(port));
    let error =
        client.fetch(FetchRequest::get(format!("http://127.0.0.1:{port}/?key=secret"))).await.expect_err("closed");
    assert!(error.to_string().starts_with("cannot fetch from `127.0.0.1`: cannot connect: "), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let child = Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("gzip is part of every system that has a shell");
    let mut input = child.stdin.take().expect("piped");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("gzip ends");
    writer.join().expect("no panic").expect("written");
    output.stdout
}

/// The environment is that of a process: the test above is run in another one, where every proxy variable names a closed port.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "web::client::cookies_are_neither_kept_nor_sent"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command.env("NO_PROXY", "").env("no_proxy", "").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
