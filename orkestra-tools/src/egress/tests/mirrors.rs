//! Mirrors: what is fetched, what is kept, and what is not.

use std::collections::HashMap;

use sha2::Digest as _;

use super::support::{Origin, ask, get, send};
use crate::egress::digest::hex;
use crate::egress::upstream::Names;
use crate::egress::{AllowedHost, CachePlace, Ecosystem, EgressOptions, EgressProxy, Registry};

fn sha256(text: &str) -> String {
    hex(&sha2::Sha256::digest(text))
}

/// A page with one file, of these bytes by its digest, and the path of the file on the proxy.
async fn page_with_file(origin: &Origin, proxy: &EgressProxy, content: &str) -> String {
    let page = format!("<a href=\"/files/x-1.whl#sha256={}\">x</a>", sha256(content));
    origin.answer("/base/x/", "Content-Type: text/html\r\n", &page);
    let page = get(proxy, "/pip/simple/x/").await.text();
    let link = page.split(['"', '#']).nth(1).expect("a link");
    link.strip_prefix("http://127.0.0.1:3128").expect("on the proxy").to_owned()
}

#[tokio::test]
async fn a_registry_sees_our_credentials_and_nothing_of_the_client() {
    let origin = Origin::start().await;
    let proxy = origin.proxy(Ecosystem::Pip, None).await;
    let path = page_with_file(&origin, &proxy, "wheel").await;
    origin.answer("/files/x-1.whl", "", "wheel");
    assert_eq!(get(&proxy, &path).await.text(), "wheel");
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        let lower = request.to_ascii_lowercase();
        assert!(lower.contains("authorization: basic dtpzzwnyzxq="), "{request}");
        for leak in ["of-the-client", "cookie", "x-data", "leaks"] {
            assert!(!lower.contains(leak), "{request}");
        }
    }
    assert!(!get(&proxy, "/pip/simple/x/").await.text().contains("secret"));
    let head = ask(&proxy, "HEAD", "/pip/simple/x/").await;
    assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_and_reach_nothing() {
    let origin = Origin::start().await;
    let proxy = origin.proxy(Ecosystem::Npm, None).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"] {
        let answer = ask(&proxy, method, "/npm/react").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.text().contains("read-only mirror") && answer.head.contains("read-only mirror"), "{answer:?}");
    }
    for path in [
        "/npm/../admin",
        "/npm/-/user/token",
        "/npm/a%2f..%2f..%2fadmin",
        "/npm/_f/00/-/http/127.0.0.1:1/admin",
        "/other/x",
        "/",
        "/npm",
        "/npm/",
        "/npm/%00",
        "/npm/x%0d%0aHost:y",
    ] {
        let answer = get(&proxy, path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert_eq!(origin.requests(), [""; 0]);
    // Smuggled, broken and endless requests end at the proxy.
    let long = format!("GET /npm/{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    for request in
        ["GET /npm/x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "\0\0\0\r\n\r\n", &long]
    {
        let status = send(&proxy, request.as_bytes()).await.status;
        assert!(matches!(status, 0 | 400 | 404 | 414 | 431), "{status}");
    }
    let used = proxy.hosts();
    let refused: u64 = used.iter().map(|host| host.refused).sum();
    assert_eq!(refused, 6, "{used:?}");
}

#[tokio::test]
async fn answers_are_kept_between_runs_of_one_namespace() {
    let origin = Origin::start().await;
    let root = tempfile::tempdir().expect("a directory");
    let place = |namespace: &str| Some(CachePlace::new(root.path(), namespace));
    let first = origin.proxy(Ecosystem::Pip, place("a")).await;
    let path = page_with_file(&origin, &first, "wheel").await;
    origin.answer("/files/x-1.whl", "Content-Type: application/zip\r\n", "wheel");
    assert_eq!(get(&first, &path).await.text(), "wheel");
    drop(first);
    origin.requests();

    let second = origin.proxy(Ecosystem::Pip, place("a")).await;
    assert!(get(&second, "/pip/simple/x/").await.text().contains(&path), "the same link in the next run");
    let kept = get(&second, &path).await;
    assert_eq!(kept.text(), "wheel");
    assert!(kept.head.contains("application/zip"), "{kept:?}");
    assert_eq!(origin.requests(), [""; 0], "a fresh page and a file need no request");
    let used = second.hosts();
    assert_eq!((used[0].allowed, used[0].from_cache), (2, 2));

    let other = origin.proxy(Ecosystem::Pip, place("b")).await;
    assert_eq!(get(&other, &path).await.status, 404, "another namespace has another key");
    get(&other, "/pip/simple/x/").await;
    assert_eq!(origin.requests().len(), 1, "and its own answers");
}

#[tokio::test]
async fn a_page_that_is_not_fresh_is_confirmed_and_an_old_one_is_better_than_none() {
    let origin = Origin::start().await;
    let root = tempfile::tempdir().expect("a directory");
    let proxy = origin.proxy(Ecosystem::Npm, Some(CachePlace::new(root.path(), "a"))).await;
    let headers = "Content-Type: application/json\r\nETag: \"v1\"\r\nCache-Control: max-age=0\r\n";
    origin.answer("/base/x", headers, "{\"name\":\"x\"}");
    assert_eq!(get(&proxy, "/npm/x").await.text(), "{\"name\":\"x\"}");
    origin.raw("/base/x", "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    assert_eq!(get(&proxy, "/npm/x").await.text(), "{\"name\":\"x\"}");
    let requests = origin.requests();
    assert!(requests[1].to_ascii_lowercase().contains("if-none-match: \"v1\""), "{requests:?}");
    for broken in [
        "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 900\r\n\r\n{\"name\":",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\nContent-Type: text/html\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{",
        "nonsense",
    ] {
        origin.raw("/base/x", broken);
        assert_eq!(get(&proxy, "/npm/x").await.text(), "{\"name\":\"x\"}", "{broken}");
    }
    origin.raw("/base/x", "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(get(&proxy, "/npm/x").await.status, 404, "what was removed is gone");
    origin.answer("/base/x", headers, "{\"name\":\"x\",\"v\":2}");
    assert_eq!(get(&proxy, "/npm/x").await.text(), "{\"name\":\"x\",\"v\":2}");
}

#[tokio::test]
async fn a_file_that_is_not_what_it_should_be_is_never_kept() {
    let origin = Origin::start().await;
    let root = tempfile::tempdir().expect("a directory");
    let proxy = origin.proxy(Ecosystem::Pip, Some(CachePlace::new(root.path(), "a"))).await;
    let path = page_with_file(&origin, &proxy, "the real wheel").await;
    for poisoned in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\nthe fake wheel",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\nthe real",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe real",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nthe real\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nthe real\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\nthe real wheel",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\nthe real wheel",
        "HTTP/1.1 206 Partial\r\nConnection: close\r\nContent-Length: 14\r\n\r\nthe real wheel",
        "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 14\r\n\r\nthe real wheel",
    ] {
        origin.raw("/files/x-1.whl", poisoned);
        let answer = get(&proxy, &path).await;
        let is_broken_off =
            answer.head.to_ascii_lowercase().contains("chunked") && !answer.body.ends_with(b"0\r\n\r\n");
        let is_short = answer.head.contains("14") && answer.body.len() < 14;
        let is_detected = answer.status != 200 || is_broken_off || is_short;
        assert!(is_detected, "{poisoned}: {answer:?}");
    }
    origin.answer("/files/x-1.whl", "", "the real wheel");
    assert_eq!(get(&proxy, &path).await.text(), "the real wheel");
    origin.raw("/files/x-1.whl", "");
    assert_eq!(get(&proxy, &path).await.text(), "the real wheel", "now it is kept");
}

#[tokio::test]
async fn redirects_are_checked_like_addresses() {
    let (origin, elsewhere) = (Origin::start().await, Origin::start().await);
    let proxy = origin.proxy(Ecosystem::Apt, None).await;
    elsewhere.answer("/x", "", "elsewhere");
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n");
    for (to, expected) in [
        (format!("http://{}/x", elsewhere.address), "without https"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "metadata"),
        ("https://[::ffff:10.0.0.1]/".to_owned(), "private"),
        ("https://127.0.0.1:1/".to_owned(), "loopback"),
        ("https://unknown.test/".to_owned(), "no address"),
        ("file:///etc/passwd".to_owned(), "without https"),
        ("gopher://x".to_owned(), "without https"),
        ("/base/pool/a.deb".to_owned(), "more than"),
    ] {
        origin.raw("/base/pool/a.deb", redirect(&to));
        let answer = get(&proxy, "/apt/pool/a.deb").await;
        assert_eq!(answer.status, 502, "{to}");
        assert!(answer.text().contains(expected), "{to}: {}", answer.text());
    }
    assert_eq!(elsewhere.requests(), [""; 0]);
    origin.raw("/base/pool/a.deb", redirect("../../moved/a.deb?key=1"));
    origin.answer("/moved/a.deb?key=1", "", "moved");
    assert_eq!(get(&proxy, "/apt/pool/a.deb").await.text(), "moved");
}

#[tokio::test]
async fn crates_come_from_where_the_index_says_and_are_compared_with_their_checksums() {
    let origin = Origin::start().await;
    let proxy = origin.proxy(Ecosystem::Cargo, None).await;
    let dl =
        format!("{{\"dl\":\"http://{}/crates\",\"api\":\"https://x.test\",\"auth-required\":true}}", origin.address);
    origin.answer("/base/config.json", "", &dl);
    let config = get(&proxy, "/cargo/index/config.json").await.text();
    assert_eq!(config, "{\"dl\":\"http://127.0.0.1:3128/cargo/_dl/{crate}/{version}/{sha256-checksum}\"}");
    origin.answer("/base/se/rd/serde", "", "{\"name\":\"serde\"}\n");
    assert_eq!(get(&proxy, "/cargo/index/se/rd/serde").await.text(), "{\"name\":\"serde\"}\n");
    origin.answer("/crates/serde/1.0.0/download", "", "crate");
    let path = format!("/cargo/_dl/serde/1.0.0/{}", sha256("crate"));
    assert_eq!(get(&proxy, &path).await.text(), "crate");
    let wrong = get(&proxy, &format!("/cargo/_dl/serde/1.0.0/{}", sha256("other"))).await;
    assert!(wrong.body.len() < "crate".len(), "{wrong:?}");
    assert_eq!(get(&proxy, "/cargo/_dl/..%2f..%2fme/1.0.0/00").await.status, 404);
}

/// The test's registry plays the operator's proxy, which alone knows the name of the real one.
#[tokio::test]
async fn the_operators_own_proxy_gets_every_request_for_a_registry_and_looks_up_its_name() {
    let operator = Origin::start().await;
    let registry = Registry::new(Ecosystem::Npm, "http://u:secret@registry.internal.test/base/").expect("valid");
    let options = EgressOptions::default()
        .with_registries(vec![registry])
        .with_proxy(format!("http://operator:word@{}", operator.address))
        .with_allowed(AllowedHost::new("person.test").expect("valid"));
    let names = Names::Fixed(HashMap::from([("person.test".to_owned(), vec![operator.address.ip()])]));
    let proxy = EgressProxy::start_with(options, names).await.expect("started");
    operator.answer("http://registry.internal.test/base/x", "Content-Type: application/json\r\n", "{\"name\":\"x\"}");
    assert_eq!(get(&proxy, "/npm/x").await.text(), "{\"name\":\"x\"}");
    let requests = operator.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = requests[0].to_ascii_lowercase();
    // operator:word and u:secret
    assert!(request.contains("proxy-authorization: basic b3blcmf0b3i6d29yza=="), "{request}");
    assert!(request.contains("\r\nauthorization: basic dtpzzwnyzxq="), "{request}");

    // Where a registry redirects is asked for through the proxy only when it is a registry's; other names are checked here.
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n");
    for (to, expected) in [
        ("https://169.254.169.254/latest/meta-data", "metadata"),
        ("https://unknown.test/", "no address"),
        ("http://other.internal.test/", "without https"),
    ] {
        operator.raw("http://registry.internal.test/base/y", redirect(to));
        let answer = get(&proxy, "/npm/y").await;
        assert!(answer.status == 502 && answer.text().contains(expected), "{to}: {answer:?}");
    }
    operator.requests();
    // Tunnels do not use it.
    let refused = ask(&proxy, "CONNECT", "person.test:443").await;
    assert!(refused.text().contains("loopback"), "{refused:?}");
    assert_eq!(operator.requests(), [""; 0]);

    // An https registry is reached by CONNECT, and the proxy's own refusal is told.
    let registry = Registry::new(Ecosystem::Npm, "https://registry.internal.test/base/").expect("valid");
    let options =
        EgressOptions::default().with_registries(vec![registry]).with_proxy(format!("http://{}", operator.address));
    let proxy = EgressProxy::start_with(options, Names::Fixed(HashMap::new())).await.expect("started");
    let answer = get(&proxy, "/npm/x").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(operator.requests()[0].starts_with("CONNECT registry.internal.test:443 "));
}
