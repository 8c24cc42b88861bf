//! A real Chromium: what it does that plain HTTP cannot, and that nothing goes around its guard.

use std::sync::Arc;

use orkestra_tools::web::{AddressPolicy, Chromium, ChromiumOptions, Guard, WebTools};
use serde_json::json;

use super::server::{Answers, Request, Server, html, redirect};
use super::{Agent, client_of};
use crate::support::{eventually, is_running};

/// Chromium's own sandbox needs user namespaces, which the container of a test may not have.
fn options() -> Option<ChromiumOptions> {
    let options = ChromiumOptions::default().without_sandbox();
    if options.executable.exists() {
        return Some(options);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Chromium: {}", options.executable.display());
    eprintln!("\n==== SKIPPED, no Chromium in {} ====\n", options.executable.display());
    None
}

async fn agent(server: &Server, options: ChromiumOptions) -> Agent {
    let guard = Guard::new(AddressPolicy::global().with_loopback_port(server.port));
    let guard = guard.with_resolver(Answers::new(&[&["10.0.0.1"]]));
    Agent::new(&WebTools::new(client_of(&[server])).with_browser(Arc::new(Chromium::new(guard, options)))).await
}

#[tokio::test]
async fn a_page_that_needs_scripts_is_opened_clicked_read_and_photographed() {
    let Some(options) = options() else { return };
    let server = Server::start(|request: &Request| match request.path.as_str() {
        "/" => html(
            "<title>App</title><div id=app>empty</div><noscript>switch it on</noscript><script>\
             document.getElementById('app').innerHTML = '<p>by a script</p><button id=b>Press</button><a href=/next>Next page</a>';\
             document.getElementById('b').onclick = () => { document.getElementById('app').innerHTML = '<p>pressed</p>'; };</script>",
        ),
        _ => html("<title>Next</title><p>the next page"),
    });
    let server = server.await;
    let agent = agent(&server, options).await;
    let opened = agent.call("browser_navigate", json!({"url": server.url("/")})).await.expect("opened");
    assert!(opened.text.contains("by a script") && !opened.text.contains("switch it on"), "{}", opened.text);
    assert_eq!((opened.data["javascript"].as_bool(), opened.data["title"].as_str()), (Some(true), Some("App")));
    let shot = agent.call("browser_screenshot", json!({})).await.expect("made");
    let png = std::fs::read(shot.data["screenshot"].as_str().expect("a path")).expect("kept");
    assert_eq!((&png[..8], png.len() > 1_000), (b"\x89PNG\r\n\x1a\n".as_slice(), true));
    let next = agent.text("browser_click", json!({"selector": "text=Next page"})).await;
    assert!(next.contains("the next page"), "{next}");
    agent.text("browser_navigate", json!({"url": server.url("/")})).await;
    assert!(agent.text("browser_click", json!({"selector": "#b"})).await.contains("pressed"));
    assert!(
        agent
            .refusal("browser_click", json!({"selector": "#missing"}))
            .await
            .contains("no element of the page matches")
    );
    assert!(is_running("orkestra-chromium-"));
    drop(agent);
    eventually("Chromium has ended", || !is_running("orkestra-chromium-")).await;
}

#[tokio::test]
async fn nothing_goes_around_the_guard() {
    let Some(options) = options() else { return };
    let secret = Server::start(|_| html("secret")).await;
    let (port, to) = (secret.port, secret.url("/redirected"));
    let server = Server::start(move |request: &Request| match request.path.as_str() {
        "/redirect" => redirect(&to),
        "/leave" => html("<script>location = 'file:///etc/passwd'</script>still here"),
        _ => html(&format!(
            "<p id=log>start</p><img src=http://127.0.0.1:{port}/img><iframe src=http://localhost:{port}/frame></iframe>\
             <script>const log = text => {{ document.getElementById('log').textContent += ' ' + text; }};\
             for (const url of ['http://127.0.0.1:{port}/f', 'http://localhost:{port}/g', 'http://[::1]:{port}/h', 'http://name.example/'])\
               fetch(url, {{mode: 'no-cors'}}).then(answer => log('answer'), () => log('failed'));\
             new WebSocket('ws://127.0.0.1:{port}/ws').onerror = () => log('closed');</script>"
        )),
    });
    let server = server.await;
    let agent = agent(&server, options).await;
    for url in [
        secret.url("/direct"),
        server.url("/redirect"),
        "http://name.example/".to_owned(),
        "http://169.254.169.254/".to_owned(),
    ] {
        let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
        assert!(refusal.contains("is denied"), "{url}: {refusal}");
    }
    for url in ["file:///etc/passwd", "chrome://version", "view-source:http://name.example/"] {
        assert!(agent.refusal("browser_navigate", json!({"url": url})).await.contains("only http and https"), "{url}");
    }
    agent.text("browser_navigate", json!({"url": server.url("/")})).await;
    let log = async {
        loop {
            let text = agent.text("browser_get_content", json!({})).await;
            if text.contains("closed") {
                return text;
            }
        }
    };
    let log = tokio::time::timeout(std::time::Duration::from_secs(20), log).await.expect("the page tried everything");
    assert!(!log.contains("secret"), "{log}");
    let left = agent.text("browser_navigate", json!({"url": server.url("/leave")})).await;
    assert!(left.contains("still here") && !left.contains("root:"), "{left}");
    assert_eq!(secret.paths(), [] as [&str; 0]);
}
