//! The network `registries` in a real container: installing from a registry of the test's own, and from those that this machine
//! is configured to use.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::egress::{AllowedHost, CachePlace, ClientSettings, Ecosystem, EgressOptions, Registry, detect};
use orkestra_tools::{Command, CommandResult, DockerOptions, DockerSandbox, Network, Sandbox, Unobserved};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{docker_options, run_id};

async fn run(sandbox: &DockerSandbox, line: &str) -> CommandResult {
    let command = Command::new(line).with_timeout(Duration::from_secs(300));
    sandbox.execute(command, &Unobserved).await.unwrap_or_else(|error| panic!("{line}: {error}"))
}

async fn start(options: &DockerOptions, name: &str, root: &Path) -> DockerSandbox {
    DockerSandbox::start(options.clone(), &run_id(name), &root.join(name)).await.expect("started")
}

/// Options of the network `registries`, or `None` when the test must be skipped.
async fn registries(egress: EgressOptions) -> Option<DockerOptions> {
    let options = docker_options().await?;
    if options.image.contains("busybox") {
        eprintln!("\n==== SKIPPED, the image {} has no python3 ====\n", options.image);
        return None;
    }
    Some(options.with_network(Network::Registries).with_egress(egress))
}

/// A registry on loopback that serves these paths and answers 404 to others.
async fn origin(files: &[(&str, Vec<u8>)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let answers = files.iter().map(|(path, content)| {
        let kind = match path.rsplit('.').next() {
            Some("tgz" | "whl") => "application/octet-stream",
            _ if path.contains("/simple/") => "text/html",
            _ => "application/json",
        };
        let content = if kind == "application/octet-stream" {
            content.clone()
        } else {
            String::from_utf8_lossy(content).replace("ORIGIN", &address).into_bytes()
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        ((*path).to_owned(), [head.into_bytes(), content].concat())
    });
    let answers: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(answers.collect());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.map_or(true, |count| count == 0) {
                        return;
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let missing = b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
                let answer = answers.get(request.split(' ').nth(1).unwrap_or_default()).unwrap_or(&missing);
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

/// A wheel and an npm package that Python makes, so that the test needs no registry. One file each, base64.
fn packages(root: &Path) -> (Vec<u8>, Vec<u8>) {
    const MAKE: &str = r#"
import io, sys, tarfile, zipfile
root = sys.argv[1]
with zipfile.ZipFile(root + "/wheel", "w") as wheel:
    wheel.writestr("ours.py", "word = 'installed'\n")
    wheel.writestr("ours-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    wheel.writestr("ours-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("ours-1.0.dist-info/RECORD", "ours.py,,\nours-1.0.dist-info/METADATA,,\nours-1.0.dist-info/WHEEL,,\nours-1.0.dist-info/RECORD,,\n")
with tarfile.open(root + "/archive", "w:gz") as archive:
    for name, text in [("package.json", '{"name":"ours","version":"1.0.0"}'), ("index.js", "module.exports = 'installed';\n")]:
        info = tarfile.TarInfo("package/" + name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
"#;
    let made = std::process::Command::new("python3").args(["-c", MAKE]).arg(root).status().expect("python3 runs");
    assert!(made.success());
    let read = |name: &str| std::fs::read(root.join(name)).expect("made");
    (read("wheel"), read("archive"))
}

/// Every client shows the host, and the way to allow it.
async fn refusals(sandbox: &DockerSandbox) {
    for (line, host) in [
        ("python3 -c 'import urllib.request as u; u.urlopen(\"https://example.com/x\")'", "example.com:443"),
        ("python3 -c 'import urllib.request as u; u.urlopen(\"http://example.com/x\")'", "example.com"),
        ("git clone https://example.org/a/b", "example.org:443"),
        ("pip install --retries 0 https://example.net/x-1.0-py3-none-any.whl", "example.net:443"),
        ("npm --fetch-retries=0 install https://example.edu/x.tgz", "example.edu:443"),
        ("pip install --retries 0 --index-url https://1.1.1.1/simple other", "1.1.1.1:443"),
    ] {
        let result = run(sandbox, line).await;
        println!("--- {line}\n{}", result.output);
        assert_ne!(result.exit_code, 0, "{line}");
        let told = format!("[network] {host} is not on the list of allowed hosts; run `allow HOST`");
        assert!(result.output.contains(&told), "{line}: {}", result.output);
    }
}

/// No name, no address, nothing to write, no secret, nothing to publish.
async fn walls(sandbox: &DockerSandbox) {
    for line in [
        "getent hosts example.com",
        "python3 -c 'import socket; socket.create_connection((\"1.1.1.1\", 53), 3)'",
        "python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b\"x\", (\"1.1.1.1\", 53))'",
        "python3 -c 'import socket; socket.getaddrinfo(\"data.tunnel.example.com\", 80)'",
        "python3 -c 'import socket; socket.create_connection((\"169.254.169.254\", 80), 3)'",
        "touch /run/orkestra/x /.cargo/x || rm -f /run/orkestra/proxy.sock",
        "grep -r hidden-word /run/orkestra /.cargo /proc/self/environ /etc 2>/dev/null",
    ] {
        let result = run(sandbox, line).await;
        assert_ne!(result.exit_code, 0, "{line}: {}", result.output);
    }
    let interfaces = run(sandbox, "ls /sys/class/net; cat /etc/resolv.conf").await.output;
    assert!(!interfaces.contains("eth"), "{interfaces}");
    let publish =
        run(sandbox, "mkdir p && cd p && echo '{\"name\":\"mine\",\"version\":\"1.0.0\"}' > package.json && npm publish --registry http://127.0.0.1:3128/npm/ --//127.0.0.1:3128/npm/:_authToken=x")
            .await;
    assert!(publish.exit_code != 0 && publish.output.contains("read-only mirror"), "{}", publish.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_from_a_mirror_and_nothing_else_is_reached() {
    let root = TempDir::new().expect("a temporary directory");
    let (wheel, archive) = packages(root.path());
    let address = origin(&[
        ("/simple/ours/", b"<a href=\"../../files/ours-1.0-py3-none-any.whl\">ours-1.0-py3-none-any.whl</a>".to_vec()),
        ("/files/ours-1.0-py3-none-any.whl", wheel),
        (
            "/npm/ours",
            br#"{"name":"ours","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"ours","version":"1.0.0",
                "dist":{"tarball":"ORIGIN/npm/ours/-/ours-1.0.0.tgz"}}}}"#
                .to_vec(),
        ),
        ("/npm/ours/-/ours-1.0.0.tgz", archive),
    ])
    .await;
    let registry = |ecosystem, path: &str| {
        let secret = address.replace("http://", "http://robot:hidden-word@");
        Registry::new(ecosystem, &format!("{secret}{path}")).expect("valid")
    };
    let egress = EgressOptions::default()
        .with_registries(vec![registry(Ecosystem::Pip, "/simple/"), registry(Ecosystem::Npm, "/npm/")])
        .with_advice("run `allow HOST`");
    let Some(options) = registries(egress).await else { return };
    let sandbox = start(&options, "hermetic", root.path()).await;
    for line in [
        "pip install ours && python3 -c 'import ours; print(ours.word)'",
        "python3 -m venv v && v/bin/pip install ours && v/bin/python -c 'import ours; print(ours.word)'",
        "uv venv -q u && uv pip install -q --python u/bin/python ours && u/bin/python -c 'import ours; print(ours.word)'",
        "mkdir -p n && cd n && npm install ours && node -p 'require(\"ours\")' && ! grep 127.0.0.1 package-lock.json",
        "npm install -g ours >/dev/null && echo installed",
    ] {
        let result = run(&sandbox, line).await;
        assert_eq!(result.exit_code, 0, "{line}: {}", result.output);
        assert!(result.output.contains("installed"), "{line}: {}", result.output);
    }
    refusals(&sandbox).await;
    walls(&sandbox).await;
    let hosts = sandbox.hosts();
    let of = |name: &str| hosts.iter().find(|used| used.host == name).expect("counted").clone();
    assert!(of("127.0.0.1").allowed >= 8 && of("example.com").refused >= 2, "{hosts:#?}");
    println!("{:#?}\n{hosts:#?}", sandbox.confinement());

    // What ends the forwarder ends the container, and the next command finds both again.
    for _ in 0..5 {
        let _ = sandbox.execute(Command::new("kill -KILL -1"), &Unobserved).await;
        let again = run(&sandbox, "rm -rf d; pip download --no-deps -d d ours").await;
        assert_eq!(again.exit_code, 0, "{}", again.output);
    }
    let socket = sandbox.egress().expect("it has one").socket();
    sandbox.close().await.expect("closed");
    drop(sandbox);
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_installing_fails_at_once_and_says_why() {
    let Some(options) = registries(EgressOptions::default()).await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = start(&options.with_network(Network::None), "none", root.path()).await;
    for line in [
        "pip install fastapi pytest httpx",
        "npm install react",
        "uv venv -q v && uv pip install -q --python v/bin/python fastapi",
        "python3 -c 'import urllib.request as u; u.urlopen(\"https://example.com/x\")'",
        "git clone https://example.org/a/b",
    ] {
        let result = run(&sandbox, line).await;
        println!("--- {line} ({} ms)\n{}", result.duration_ms, result.output);
        assert_ne!(result.exit_code, 0, "{line}");
        assert!(result.output.contains("[network] this sandbox has no network"), "{line}: {}", result.output);
    }
    sandbox.close().await.expect("closed");
}

/// What this machine's clients are configured to use.
fn of_this_machine() -> EgressOptions {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let found = detect(&ClientSettings::usual(Path::new(&home), std::env::vars().collect()));
    println!("problems: {:?}", found.problems);
    for registry in &found.registries {
        println!("{}: {}", registry.ecosystem().name(), registry.url());
    }
    found.into_options()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registries_of_this_machine_work_and_the_second_run_is_faster() {
    let cache = TempDir::new().expect("a temporary directory");
    let egress = of_this_machine()
        .with_cache(CachePlace::new(cache.path(), "test"))
        .with_allowed(AllowedHost::new("index.crates.io").expect("valid").of_operator());
    let Some(options) = registries(egress).await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let mut seconds = Vec::new();
    for name in ["first", "second"] {
        let sandbox = start(&options, name, root.path()).await;
        let pip = run(&sandbox, "pip install fastapi pytest httpx && python3 -c 'import fastapi, httpx'").await;
        let npm = run(&sandbox, "npm install react && node -p 'require(\"react\").version'").await;
        for (what, result) in [("pip", &pip), ("npm", &npm)] {
            let tail: String = result.output.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
            println!("{name} {what}: {} ms: {tail}", result.duration_ms);
            assert_eq!(result.exit_code, 0, "{}", result.output);
        }
        seconds.push((pip.duration_ms + npm.duration_ms, pip.duration_ms, npm.duration_ms));
        println!("{name}: {:#?}", sandbox.hosts());
        if name == "second" {
            let apt = run(&sandbox, "apt-get update && cd /tmp && apt-get download hello && ls *.deb").await;
            assert_eq!(apt.exit_code, 0, "{}", apt.output);
            let tunnel = "import ssl, urllib.request as u; c = ssl._create_unverified_context(); \
                 print(u.urlopen('https://index.crates.io/config.json', context=c, timeout=60).status)";
            let tunnel = run(&sandbox, &format!("python3 -c \"{tunnel}\"")).await;
            assert_eq!(tunnel.output, "200\n", "a tunnel to an allowed host");
        }
        sandbox.close().await.expect("closed");
    }
    println!("all, pip, npm in ms: first {:?}, second {:?}", seconds[0], seconds[1]);
}

/// The image has no Rust; the cargo that builds this test is enough to download crates.
#[tokio::test(flavor = "multi_thread")]
async fn cargo_downloads_crates_through_its_mirror() {
    let Some(options) = registries(of_this_machine()).await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let sandbox = start(&options, "cargo", root.path()).await;
    let cargo = Path::new(env!("CARGO"));
    std::fs::copy(cargo, sandbox.workspace().path().join("cargo")).expect("cargo can be copied");
    let manifest = "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n";
    sandbox.workspace().write("Cargo.toml", manifest.as_bytes()).expect("written");
    sandbox.workspace().write("src/lib.rs", b"").expect("written");
    let result = run(
        &sandbox,
        "CARGO_HOME=/tmp/c ./cargo vendor --respect-source-config vendored >/dev/null && ls vendored && ! grep 127.0.0.1 Cargo.lock",
    )
    .await;
    println!("{}", result.output);
    assert_eq!(result.exit_code, 0, "{}", result.output);
    assert!(result.output.contains("\nitoa\n"), "{}", result.output);
    println!("{:#?}", sandbox.hosts());
    sandbox.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_the_daemon_does_not_have_is_an_error() {
    let Some(options) = docker_options().await else { return };
    let root = TempDir::new().expect("a temporary directory");
    let missing = options.clone().with_runtime("no-such-runtime");
    let error = DockerSandbox::start(missing, "r", &root.path().join("w")).await.expect_err("no such runtime");
    assert!(error.to_string().contains("no runtime `no-such-runtime`, only "), "{error}");
    let info = DockerSandbox::available_with(&options).await.expect("a daemon");
    println!("runtimes {:?}, seccomp {:?}", info.runtimes, info.seccomp);
    if !info.runtimes.iter().any(|name| name == "runsc") {
        eprintln!("\n==== SKIPPED, this daemon has no runtime runsc ====\n");
        return;
    }
    let options = options.with_runtime("runsc").with_network(Network::Registries);
    let sandbox = start(&options, "gvisor", root.path()).await;
    let kernel = run(&sandbox, "dmesg 2>/dev/null | head -n 3; uname -r; echo works > f && cat f").await;
    println!("{}", kernel.output);
    assert!(kernel.output.contains("works"), "{}", kernel.output);
    let refused = run(&sandbox, "python3 -c 'import urllib.request as u; u.urlopen(\"https://example.com/x\")'").await;
    assert!(refused.output.contains("[network] example.com:443 is not on the list"), "{}", refused.output);
    assert!(sandbox.confinement().enforced.iter().any(|text| text.contains("`runsc`")));
    sandbox.close().await.expect("closed");
}
