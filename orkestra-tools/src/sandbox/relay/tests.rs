//! The relay with its real program, as a child of the test.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, join};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::{PROGRAM, Relay, WINDOW};

fn relay() -> (Relay, Child) {
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("python3 starts");
    let (input, output) = (child.stdin.take().expect("an input"), child.stdout.take().expect("an output"));
    (Relay::over(join(output, input)), child)
}

/// A server that sends back what it receives, until its end.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn many_connections_share_one_relay_and_none_holds_up_the_others() {
    let ((relay, _child), port) = (relay(), echo().await);
    // Nobody reads what comes back on this one, and it is more than the window.
    let stuck = relay.open(port).await.expect("opened");
    let (_stuck_reads, mut stuck_writes) = tokio::io::split(stuck);
    let filling = tokio::spawn(async move { stuck_writes.write_all(&vec![1; WINDOW * 8]).await });
    let content: Vec<u8> = (0..WINDOW * 4).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let one = async {
        let stream = relay.open(port).await.expect("opened");
        let (mut reads, mut writes) = tokio::io::split(stream);
        let send = async {
            writes.write_all(&content).await.expect("sent");
            writes.shutdown().await.expect("ended");
        };
        let mut back = Vec::new();
        let (_, read) = tokio::join!(send, reads.read_to_end(&mut back));
        read.expect("read");
        assert!(back == content, "{} of {} bytes came back", back.len(), content.len());
    };
    tokio::join!(one, async {
        for _ in 0..50 {
            let mut stream = relay.open(port).await.expect("opened");
            stream.write_all(b"x").await.expect("sent");
            assert_eq!(stream.read_u8().await.expect("read"), b'x');
        }
    });
    filling.abort();
    assert!(relay.shared.streams().as_ref().is_some_and(|streams| streams.len() <= 2), "streams are forgotten");
}

#[tokio::test]
async fn a_closed_port_and_the_end_of_the_process_are_errors() {
    let (relay, mut child) = relay();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = listener.local_addr().expect("an address").port();
    drop(listener);
    let error = relay.open(closed).await.expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
    let mut stream = relay.open(echo().await).await.expect("opened");
    child.kill().await.expect("killed");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("ended"), 0);
    assert!(relay.open(closed).await.is_err());
    assert!(!relay.is_running());
}
