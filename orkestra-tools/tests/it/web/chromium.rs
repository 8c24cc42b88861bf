//! A real Chromium: what it does that plain HTTP cannot, that nothing goes around its rules, and that each page ends in bounded
//! time.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::web::{AddressPolicy, Browser as _, Chromium, ChromiumOptions, Guard, GuardedClient, WebTools};
use orkestra_tools::{ToolError, ToolOutput};
use serde_json::json;

use super::Agent;
use super::own_server::{agents, close, serve};
use super::server::{Answers, Request, Server, html, redirect, response};
use crate::support::{eventually, is_running};

/// `ORKESTRA_TEST_CHROMIUM` is set by `scripts/test` and names the program that must be there.
fn options() -> Option<ChromiumOptions> {
    let named = std::env::var_os("ORKESTRA_TEST_CHROMIUM");
    let options = match &named {
        Some(program) => ChromiumOptions::default().with_executable(program),
        None => ChromiumOptions::default(),
    };
    if options.executable.exists() {
        return Some(options);
    }
    let is_expected = named.is_some() || std::env::var("CI").as_deref() == Ok("true");
    assert!(!is_expected, "Chromium is expected in {}", options.executable.display());
    eprintln!("\n==== SKIPPED, no Chromium in {} ====\n", options.executable.display());
    None
}

fn web(policy: AddressPolicy, options: ChromiumOptions) -> WebTools {
    let guard = Guard::new(policy.clone()).with_resolver(Answers::new(&[&["10.0.0.1"]]));
    let client = GuardedClient::new(policy).expect("a client");
    WebTools::new(client).with_browser(Arc::new(Chromium::new(guard, options)))
}

async fn agent(server: &Server, options: ChromiumOptions) -> Agent {
    Agent::new(&web(AddressPolicy::global().with_loopback_port(server.port), options)).await
}

/// The directory of the Chromium that this process has started, which is in its command line, and its process id.
fn own_chromium() -> Option<(PathBuf, u32)> {
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(own)).find_map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let profile = line.split(['\0', ' ']).find_map(|argument| argument.strip_prefix("--user-data-dir="))?;
        Some((Path::new(profile).parent()?.to_owned(), pid))
    })
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

async fn is_gone(directory: &Path) {
    let name = directory.file_name().and_then(|name| name.to_str()).expect("a name");
    eventually("Chromium has ended and its directory is removed", || !is_running(name) && !directory.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_agents_own_server_that_needs_scripts_is_opened_clicked_read_and_photographed() {
    let Some(options) = options() else { return };
    let web = web(AddressPolicy::global(), options);
    let secret = Server::start(|_| html("secret")).await;
    let mut directories = Vec::new();
    for (kind, agent) in agents(&web, "own-server-chromium").await {
        let (url, opened) = serve(&agent).await;
        assert!(
            opened.text.contains("by a script") && !opened.text.contains("switch it on"),
            "{kind}: {}",
            opened.text
        );
        let facts = (opened.data["javascript"].as_bool(), opened.data["title"].as_str());
        assert_eq!(facts, (Some(true), Some("App")), "{kind}");
        let shot = agent.call("browser_screenshot", json!({})).await.expect("made");
        let png = std::fs::read(&shot.images[0].path).expect("kept");
        assert_eq!((&png[..8], png.len() > 1_000), (b"\x89PNG\r\n\x1a\n".as_slice(), true), "{kind}");
        assert_eq!((shot.data["width"].as_u64(), shot.data["height"].as_u64()), (Some(1280), Some(900)), "{kind}");
        let next = agent.text("browser_click", json!({"selector": "text=Next page"})).await;
        assert!(next.contains("the next page"), "{kind}: {next}");
        let localhost = url.replace("127.0.0.1", "localhost");
        agent.text("browser_navigate", json!({"url": localhost})).await;
        assert!(agent.text("browser_click", json!({"selector": "#b"})).await.contains("pressed"), "{kind}");
        let missing = agent.refusal("browser_click", json!({"selector": "#missing"})).await;
        assert!(missing.contains("no element of the page matches"), "{kind}: {missing}");
        let refusal = agent.refusal("browser_navigate", json!({"url": secret.url("/")})).await;
        assert!(refusal.contains("start_process"), "{kind}: {refusal}");
        let (directory, pid) = own_chromium().expect("it runs");
        confined(pid);
        close(&agent).await;
        drop(agent);
        directories.push(directory);
    }
    assert_eq!(secret.paths(), [] as [&str; 0]);
    drop(web);
    for directory in directories {
        is_gone(&directory).await;
    }
}

/// Of a Chromium that root has started: another user, a network of its own, no debugging port, no `--no-sandbox`.
fn confined(pid: u32) {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(line.contains("--remote-debugging-pipe") && !line.contains("--remote-debugging-port"), "{line}");
    assert!(!line.contains("--no-sandbox") || !has_user_namespaces(), "{line}");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let uid = status.lines().find(|line| line.starts_with("Uid:")).expect("a line");
    assert!(uid.split_whitespace().skip(1).all(|id| id == "61001"), "{uid}");
    let network = |who: String| std::fs::read_link(format!("/proc/{who}/ns/net")).expect("a namespace");
    assert_ne!(network(pid.to_string()), network("self".to_owned()));
}

fn has_user_namespaces() -> bool {
    let made = std::process::Command::new("unshare").args(["-Ur", "true"]).status();
    made.is_ok_and(|status| status.success())
}

/// Everything that a page can try to reach the secret server (`PORT`), the machine and the files. Runs, waits, and writes
/// `finished`.
const HOSTILE: &str = r#"<title>Hostile</title><pre id=log></pre>
<link rel=dns-prefetch href=//rebind.example><link rel=preconnect href=http://127.0.0.1:PORT>
<img src=http://127.0.0.1:PORT/img><iframe src=http://localhost:PORT/frame></iframe><iframe src=file:///etc/passwd></iframe>
<iframe src=view-source:http://127.0.0.1:PORT/></iframe><iframe src=chrome://version></iframe>
<iframe name=post></iframe><form id=form action=http://127.0.0.1:PORT/post method=post target=post><input name=a value=b></form>
<script>
const log = text => { document.getElementById('log').textContent += text + '\n'; };
const hosts = ['127.0.0.1', 'localhost', 'a.localhost', '[::1]', '0.0.0.0', '0', '2130706433', '0x7f.1', '0177.0.0.1', '127.1',
  '127.0.0.2', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', 'rebind.example', '10.0.0.1', '169.254.169.254', '[fe80::1]', 'metadata.google.internal'];
const tries = hosts.map(host => () => fetch(`http://${host}:PORT/fetch`, {mode: 'no-cors', signal: AbortSignal.timeout(4000)}));
const socket = url => () => new Promise((done, fail) => { const s = new WebSocket(url); s.onopen = done; s.onerror = fail; });
tries.push(socket('ws://127.0.0.1:PORT/ws'), socket('ws://[::1]:PORT/ws'), socket('ws://rebind.example:PORT/ws'));
tries.push(() => new Promise((done, fail) => { const s = new EventSource('http://127.0.0.1:PORT/events'); s.onopen = done; s.onerror = fail; }));
tries.push(() => import('http://127.0.0.1:PORT/module.js'));
tries.push(() => { navigator.sendBeacon('http://127.0.0.1:PORT/beacon', 'x'); document.getElementById('form').submit(); });
tries.push(() => { window.open('http://127.0.0.1:PORT/popup'); window.open('file:///etc/passwd'); });
tries.push(() => fetch('file:///etc/passwd').then(answer => answer.text()).then(log));
tries.push(() => fetch('/redirect').then(answer => answer.text()).then(log));
tries.push(async () => {
  const worker = new Worker(URL.createObjectURL(new Blob(["fetch('http://127.0.0.1:PORT/worker', {mode: 'no-cors'})"])));
  await new Promise(done => setTimeout(done, 300)); worker.terminate();
});
tries.push(async () => {
  await navigator.serviceWorker.register('/sw.js'); await navigator.serviceWorker.ready;
  await new Promise(done => setTimeout(done, 300));
});
tries.push(async () => {
  const ices = ['stun:127.0.0.1:UDP', 'stun:ADDRESS:UDP', 'stun:rebind.example:UDP'].map(urls => ({urls}));
  ices.push({urls: 'turn:127.0.0.1:PORT?transport=tcp', username: 'a', credential: 'b'});
  const peer = new RTCPeerConnection({iceServers: ices}); peer.createDataChannel('x');
  peer.onicecandidate = event => event.candidate && event.candidate.candidate && log('candidate ' + event.candidate.candidate);
  await peer.setLocalDescription(await peer.createOffer()); await new Promise(done => setTimeout(done, 2500));
});
tries.push(async () => {
  const quic = new WebTransport('https://127.0.0.1:UDP/'); quic.ready.catch(() => {}); quic.closed.catch(() => {});
  await new Promise(done => setTimeout(done, 500)); quic.close();
});
const most = () => new Promise((_, fail) => setTimeout(fail, 6000));
Promise.allSettled(tries.map(async attempt => Promise.race([attempt(), most()]))).then(all => log('finished ' + all.length));
</script>"#;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_around_the_rules() {
    let Some(mut options) = options() else { return };
    options.load_time = Duration::from_secs(10);
    let mut kinds = vec![options.clone()];
    if options.own_network {
        // Its settings alone must be enough too: only root can give it a network of its own.
        options.own_network = false;
        kinds.push(options);
    }
    for options in kinds {
        let own_network = options.own_network;
        let secret = Server::start(|_| html("secret")).await;
        let udp = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        udp.set_nonblocking(true).expect("set");
        let (port, to) = (secret.port, secret.url("/redirected"));
        let page = HOSTILE.replace("PORT", &port.to_string()).replace("ADDRESS", &own_address());
        let page = page.replace("UDP", &udp.local_addr().expect("an address").port().to_string());
        let server = Server::start(move |request: &Request| match request.path.as_str() {
            "/redirect" => redirect(&to),
            "/leave" => html("<script>location = 'file:///etc/passwd'</script>still here"),
            "/to-file" => redirect("file:///etc/passwd"),
            "/sw.js" => {
                let script = format!("fetch('http://127.0.0.1:{port}/sw', {{mode: 'no-cors'}})");
                response(200, &[("content-type", "text/javascript")], script)
            }
            _ => html(&page),
        });
        let server = server.await;
        let agent = agent(&server, options).await;
        let denied = ["http://name.example/", "http://169.254.169.254/", "http://0.0.0.0/", "http://10.0.0.1/"];
        for url in denied {
            let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
            assert!(refusal.contains("is denied"), "{url}: {refusal}");
        }
        let own = [secret.url("/direct"), server.url("/redirect"), secret.url("/").replace("127.0.0.1", "2130706433")];
        for url in own {
            let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
            assert!(refusal.contains("was not started by this run"), "{url}: {refusal}");
        }
        for url in
            ["file:///etc/passwd", "chrome://version", "devtools://devtools/", "view-source:http://name.example/"]
        {
            let refusal = agent.refusal("browser_navigate", json!({"url": url})).await;
            assert!(refusal.contains("only http and https"), "{url}: {refusal}");
        }
        agent.refusal("browser_navigate", json!({"url": server.url("/to-file")})).await;
        let opened = agent.call("browser_navigate", json!({"url": server.url("/hostile")})).await;
        opened.expect("opened");
        let mut log = String::new();
        let trying = async {
            while !log.contains("finished") {
                log = agent.text("browser_get_content", json!({})).await;
            }
        };
        let tried = tokio::time::timeout(Duration::from_secs(40), trying).await;
        assert!(tried.is_ok(), "the page tried everything: {log}");
        assert!(!log.contains("secret") && !log.contains("root:"), "{log}");
        assert!(!log.contains(&own_address()), "a candidate has an address of this machine: {log}");
        let left = agent.call("browser_navigate", json!({"url": server.url("/leave")})).await;
        let left = left.map_or_else(|error| error.to_string(), |left| left.text);
        assert!(!left.contains("root:"), "{left}");
        let arrived = udp.recv(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(arrived, Err(std::io::ErrorKind::WouldBlock), "own network: {own_network}");
        assert_eq!(secret.paths(), [] as [&str; 0], "own network: {own_network}");
    }
}

/// The address by which other machines know this one; loopback where there is no network.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    address.map_or("127.0.0.1".to_owned(), |address| address.ip().to_string())
}

async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    // Much more than any of them may take, on a machine that is busy.
    tokio::time::timeout(Duration::from_secs(60), work).await.unwrap_or_else(|_| panic!("it never ended: {what}"))
}

fn told(done: Result<ToolOutput, ToolError>) -> String {
    done.map_or_else(|error| error.to_string(), |output| output.text)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_ends_in_bounded_time_and_the_next_one_opens() {
    let Some(options) = options() else { return };
    // It accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let never = silent.local_addr().expect("an address").port();
    let server = Server::start(move |request: &Request| match request.path.as_str() {
        "/loop" => html("<p>before</p><script>while (true) {}</script>"),
        "/alert" => html("<script>alert('look here'); confirm('sure?'); prompt('name?')</script><p>after the dialogs"),
        "/stay" => {
            html("<p>stays</p><script>onbeforeunload = event => { event.preventDefault(); return 'no'; }</script>")
        }
        "/popup" => html("<p>opener</p><script>window.open('/next')</script>"),
        "/around" => redirect("/around"),
        "/download" => response(200, &[("content-disposition", "attachment; filename=x.bin")], [0; 64]),
        "/empty" => response(204, &[], ""),
        "/huge" => html("<p id=p hidden>start</p><script>p.textContent = 'x'.repeat(100e6)</script>"),
        "/many" => html("<div id=d hidden></div><script>d.innerHTML = '<b>y</b>'.repeat(1.5e5)</script>"),
        "/slow" => html(&format!("<p>slow</p><img src=http://127.0.0.1:{never}/>")),
        "/reload" => html("<p>again</p><script>location.reload()</script>"),
        "/lies" => html(
            "<p>what is shown</p><script>Element.prototype.cloneNode = () => ({querySelectorAll: () => [], outerHTML: 'a lie'});\
             Object.defineProperty(document, 'readyState', {get: () => { while (true) {} }});</script>",
        ),
        _ => html("<title>Next</title><p>the next page"),
    });
    let server = server.await;
    let options = options.with_times(Duration::from_secs(4), Duration::from_secs(6));
    let policy = AddressPolicy::global().with_loopback_port(server.port).with_loopback_port(never);
    let agent = Agent::new(&web(policy, options)).await;
    let table = [
        ("/alert", "after the dialogs"),
        ("/alert", "look here"),
        ("/stay", "stays"),
        ("/popup", "the page opened another window, which was closed"),
        ("/around", "ERR_TOO_MANY_REDIRECTS"),
        ("/download", "it is a download, which this browser does not keep"),
        ("/empty", "the answer is empty"),
        ("/huge", "was cut|does not answer"),
        ("/many", "was cut|does not answer"),
        ("/lies", "what is shown"),
        ("/reload", ""),
        ("/slow", "still loading"),
        ("/loop", "the page does not answer"),
    ];
    for (path, expected) in table {
        let opening = agent.call("browser_navigate", json!({"url": server.url(path)}));
        let told = told(bounded(path, opening).await);
        assert!(expected.split('|').any(|text| told.contains(text)), "{path}: {told}");
        if path == "/popup" {
            let shown = agent.call("browser_screenshot", json!({})).await;
            assert!(shown.is_ok(), "the page itself stays open: {shown:?}");
        }
        let next = bounded(path, agent.call("browser_navigate", json!({"url": server.url("/next")}))).await;
        assert!(told_next(&next), "after {path}: {next:?}");
    }
    let (directory, pid) = own_chromium().expect("it runs");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a number")).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let refusal = bounded("a killed Chromium", agent.refusal("browser_get_content", json!({}))).await;
    assert!(refusal.contains("the browser was closed") && refusal.contains("browser_navigate"), "{refusal}");
    is_gone(&directory).await;
    let next = bounded("another Chromium", agent.call("browser_navigate", json!({"url": server.url("/next")}))).await;
    assert!(told_next(&next), "{next:?}");
}

fn told_next(next: &Result<ToolOutput, ToolError>) -> bool {
    next.as_ref().is_ok_and(|next| next.text.contains("the next page"))
}

/// The child side of the next test: has a page open until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_a_crash() {
    if std::env::var_os("ORKESTRA_TEST_BROWSER_VICTIM").is_none() {
        return;
    }
    let options = options().expect("the other side looked");
    let server = Server::start(|_| html("<p>open")).await;
    let agent = agent(&server, options).await;
    agent.text("browser_navigate", json!({"url": server.url("/")})).await;
    println!("{}", own_chromium().expect("it runs").0.display());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_process_that_is_killed_leaves_no_chromium() {
    use std::io::BufRead as _;
    if options().is_none() {
        return;
    }
    let mut host = std::process::Command::new(std::env::current_exe().expect("a path"));
    host.args(["--exact", "--nocapture", "web::chromium::victim_of_a_crash"]).stdout(std::process::Stdio::piped());
    let mut host = host.env("ORKESTRA_TEST_BROWSER_VICTIM", "1").spawn().expect("spawned");
    let lines = std::io::BufReader::new(host.stdout.take().expect("piped")).lines();
    let directory = lines.map_while(Result::ok).find(|line| line.contains("orkestra-chromium-")).expect("it said so");
    let directory = PathBuf::from(directory.trim());
    assert!(directory.exists() && is_running(directory.file_name().and_then(|name| name.to_str()).expect("a name")));
    host.kill().expect("killed");
    host.wait().expect("reaped");
    is_gone(&directory).await;
}

#[tokio::test]
async fn a_chromium_that_does_not_start_is_an_error_that_says_so() {
    let server = Server::start(|_| html("")).await;
    for (program, expected) in
        [("/nonexistent/chromium", "/nonexistent/chromium"), ("/bin/false", "cannot start /bin/false")]
    {
        let agent = agent(&server, ChromiumOptions::default().with_executable(program)).await;
        let refusal = bounded(program, agent.refusal("browser_navigate", json!({"url": server.url("/")}))).await;
        assert!(refusal.contains(expected), "{refusal}");
    }
    assert_eq!(server.paths(), [] as [&str; 0]);
    let mut shared = ChromiumOptions::default().without_sandbox();
    shared.own_network = false;
    let gaps = Chromium::new(Guard::new(AddressPolicy::global()), shared).gaps();
    assert_eq!(gaps.iter().collect::<BTreeSet<_>>().len(), 2, "{gaps:?}");
}
