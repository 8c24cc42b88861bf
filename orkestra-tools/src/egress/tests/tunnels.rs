//! Tunnels and everything that is refused.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::support::{ask, connect, get, send};
use crate::egress::hello::tests::hello;
use crate::egress::upstream::Names;
use crate::egress::{AllowedHost, EgressOptions, EgressProxy};

async fn proxy(names: Names) -> EgressProxy {
    let host = |name: &str| AllowedHost::new(name).expect("valid");
    let options = EgressOptions::default()
        .with_allowed(host("person.test"))
        .with_allowed(host("*.wild.test"))
        .with_allowed(host("other-port.test:5432"))
        .with_allowed(host("operator.test").of_operator())
        .with_advice("run `allow HOST`");
    EgressProxy::start_with(options, names).await.expect("started")
}

#[tokio::test]
async fn every_refusal_names_the_host_and_the_way() {
    let addresses = [
        ("person.test", "10.0.0.1"),
        ("a.wild.test", "169.254.169.254"),
        ("operator.test", "127.0.0.1"),
        ("denied.test", "93.184.216.34"),
    ];
    let names = addresses.map(|(name, address)| (name.to_owned(), vec![address.parse().expect("an address")]));
    let proxy = proxy(Names::Fixed(HashMap::from(names))).await;
    for (method, target, expected) in [
        ("CONNECT", "denied.test:443", "denied.test:443 is not on the list of allowed hosts; run `allow HOST`"),
        ("CONNECT", "person.test:80", "person.test:80 is not on the list"),
        ("CONNECT", "wild.test:443", "wild.test:443 is not on the list"),
        ("CONNECT", "93.184.216.34:443", "93.184.216.34:443 is not on the list"),
        ("CONNECT", "[::1]:443", "[::1]:443 is not on the list"),
        ("CONNECT", "127.0.0.1:443", "127.0.0.1:443 is not on the list"),
        (
            "CONNECT",
            "person.test:443",
            "it resolves to 10.0.0.1 (private), which only the operator's own configuration can allow",
        ),
        (
            "CONNECT",
            "PERSON.test.:443",
            "it resolves to 10.0.0.1 (private), which only the operator's own configuration can allow",
        ),
        (
            "CONNECT",
            "a.wild.test:443",
            "it resolves to 169.254.169.254 (a cloud metadata service), which is never allowed",
        ),
        ("CONNECT", "operator.test:443", "it resolves to 127.0.0.1 (loopback), which is never allowed"),
        ("CONNECT", "pypi.org:443", "use pip with its configured registry"),
        ("CONNECT", "files.pythonhosted.org:443", "use pip with its configured registry"),
        ("GET", "http://denied.test/x?data=1", "denied.test is not on the list of allowed hosts; run `allow HOST`"),
        ("GET", "http://person.test/", "person.test is allowed through https only"),
        ("POST", "http://registry.npmjs.org/x", "use npm with its configured registry"),
    ] {
        let answer = ask(&proxy, method, target).await;
        assert_eq!(answer.status, 403, "{target}");
        assert!(answer.text().contains(expected), "{target}: {}", answer.text());
        // Clients that hide the body show the status line.
        assert!(answer.head.lines().next().is_some_and(|line| line.contains(expected)), "{target}: {}", answer.head);
    }
    let texts = proxy.refusals_since(0);
    assert_eq!((texts.len(), proxy.refused()), (14, 15), "{texts:?}");
    let denied = proxy.hosts().into_iter().find(|used| used.host == "denied.test").expect("counted");
    assert_eq!((denied.allowed, denied.refused), (0, 2));
    assert_eq!(get(&proxy, "http://127.0.0.1:3128/nothing").await.status, 404, "that is the proxy itself");
}

#[tokio::test]
async fn a_name_cannot_forge_a_status_line() {
    let proxy = proxy(Names::Fixed(HashMap::new())).await;
    for target in ["x\u{1b}[31m.test:443", "a%0d%0ab:443", "x y:443", "ünïcode.test:443", ":443", "x:99999", "x"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = send(&proxy, request.as_bytes()).await;
        assert!(matches!(answer.status, 0 | 400 | 403), "{target}: {answer:?}");
        assert!(answer.head.is_ascii() && !answer.head.contains('\u{1b}'), "{answer:?}");
    }
}

/// Opens a tunnel, sends these bytes, and returns what comes back until it is closed.
async fn through(proxy: &EgressProxy, target: &str, bytes: &[u8]) -> String {
    let mut stream = connect(proxy).await;
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(bytes).await.expect("sent");
    let _ = stream.shutdown().await;
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back).await;
    String::from_utf8_lossy(&back).into_owned()
}

#[tokio::test]
async fn a_tunnel_carries_tls_for_its_host_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes).await;
                let _ = stream.write_all(format!("got {} bytes", bytes.len()).as_bytes()).await;
            });
        }
    });
    let proxy = proxy(Names::Unchecked(address)).await;
    let right = hello("person.test", 4096);
    let long = [right.clone(), vec![7; 300_000]].concat();
    let plain = b"GET / HTTP/1.1\r\nHost: person.test\r\n\r\n".to_vec();
    for (target, bytes, expected) in [
        ("person.test:443", &right, format!("got {} bytes", right.len())),
        ("person.test:443", &hello("PERSON.TEST", 7), format!("got {} bytes", hello("PERSON.TEST", 7).len())),
        ("person.test:443", &long, format!("got {} bytes", long.len())),
        (
            "a.b.wild.test:443",
            &hello("a.b.wild.test", 4096),
            format!("got {} bytes", hello("a.b.wild.test", 4096).len()),
        ),
        ("person.test:443", &hello("evil.test", 4096), String::new()),
        ("a.wild.test:443", &hello("b.wild.test", 4096), String::new()),
        ("person.test:443", &plain, String::new()),
        ("person.test:443", &Vec::new(), String::new()),
        ("person.test:443", &right[..20].to_vec(), String::new()),
        ("other-port.test:5432", &plain, format!("got {} bytes", plain.len())),
    ] {
        assert_eq!(through(&proxy, target, bytes).await, expected, "{target}");
    }
    let texts = proxy.refusals_since(0);
    assert!(texts.iter().any(|text| text.contains("TLS in it is for another host, evil.test")), "{texts:?}");
    let person = proxy.hosts().into_iter().find(|used| used.host == "person.test").expect("counted");
    assert_eq!((person.allowed, person.refused), (7, 4));
    assert!(person.bytes_sent >= long.len() as u64 && person.bytes_received > 0, "{person:?}");
}

#[tokio::test]
async fn dropping_the_proxy_ends_its_tunnels_and_removes_its_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let proxy = proxy(Names::Unchecked(listener.local_addr().expect("bound"))).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(b"CONNECT other-port.test:5432 HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let (mut far, _) = listener.accept().await.expect("the tunnel");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    let socket = proxy.socket();
    drop(proxy);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let _ = far.read_to_end(&mut rest).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_directory_of_a_process_that_is_gone_is_removed_and_others_stay() {
    let first = proxy(Names::Fixed(HashMap::new())).await;
    let parent = std::env::temp_dir();
    let left = |name: &str, owner: Option<&str>| {
        let path = parent.join(format!("orkestra-egress-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("made");
        if let Some(owner) = owner {
            std::fs::write(path.join("owner"), owner).expect("written");
        }
        path
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("readable");
    let gone = left("gone", Some(&format!("{}|{}|1", host.trim(), std::process::id())));
    let elsewhere = left("elsewhere", Some("another-host|1|1"));
    let new = left("new", None);
    let second = proxy(Names::Fixed(HashMap::new())).await;
    let exist = [gone.exists(), elsewhere.exists(), new.exists(), first.socket().exists(), second.socket().exists()];
    for path in [gone, elsewhere, new] {
        let _ = std::fs::remove_dir_all(path);
    }
    assert_eq!(exist, [false, true, true, true, true]);
}
