//! `CONNECT`: to a host on the list, at addresses that were checked, and on port 443 only with TLS for that very host.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::hello::{Hello, server_name};
use super::hosts::{HTTPS, is_name, normal};
use super::proxy::Shared;
use super::reply::{Refusal, printable};
use crate::limits::{EGRESS_CONNECT_TIMEOUT, EGRESS_HELLO_BYTES_MAX, EGRESS_SILENCE_MAX};
use hyper::StatusCode;

/// A tunnel that may be opened once the client has got its answer.
pub(super) struct Tunnel {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) stream: TcpStream,
    pub(super) client: OnUpgrade,
}

/// Checks the destination and connects to it. Nothing is looked up before the name was found on the list.
pub(super) async fn connect(shared: &Shared, host: &str, port: u16) -> Result<TcpStream, Refusal> {
    let host = normal(host);
    let shown = printable(&format!("{host}:{port}"));
    let policy = |text: String| Refusal::policy(counted(&host), text);
    // A host may serve packages and other things too, and then a person may allow those.
    let Some(allowed) = shared.options.allowed.iter().find(|allowed| allowed.matches(&host, port)) else {
        let not_listed = || format!("{shown} is not on the list of allowed hosts; {}", shared.options.advice);
        return Err(policy(shared.mirrored(&host).unwrap_or_else(not_listed)));
    };
    let found = timeout(EGRESS_CONNECT_TIMEOUT, shared.names.resolve(&host, port, allowed.trust())).await;
    let addresses = match found {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(reason)) => return Err(policy(format!("cannot connect to {shown}: {}", printable(&reason)))),
        Err(_) => {
            let text = format!("cannot connect to {shown}: its name was not resolved in time");
            return Err(Refusal::failure(StatusCode::GATEWAY_TIMEOUT, &host, text));
        }
    };
    let mut last = "no address".to_owned();
    for address in addresses {
        match timeout(EGRESS_CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => "it did not answer in time".clone_into(&mut last),
        }
    }
    Err(Refusal::failure(StatusCode::BAD_GATEWAY, &host, format!("cannot connect to {shown}: {last}")))
}

/// A name for the record: whatever is not one is counted together.
pub(super) fn counted(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if is_name(host) || bare.parse::<std::net::IpAddr>().is_ok() {
        host.to_owned()
    } else {
        "(invalid name)".to_owned()
    }
}

/// Copies both ways until both sides have ended, or nothing has moved for [`EGRESS_SILENCE_MAX`].
pub(super) async fn run(shared: &Arc<Shared>, tunnel: Tunnel) {
    let Ok(upgraded) = tunnel.client.await else { return };
    let mut client = TokioIo::new(upgraded);
    let mut stream = tunnel.stream;
    let first = if tunnel.port == HTTPS { checked_hello(&mut client, &tunnel.host).await } else { Ok(Vec::new()) };
    let first = match first {
        Ok(first) => first,
        Err(reason) => {
            let text = format!("the tunnel to {} was closed: {reason}", tunnel.host);
            shared.record.refuse(&tunnel.host, &printable(&text));
            return;
        }
    };
    if stream.write_all(&first).await.is_ok() {
        copy(shared, &tunnel.host, first.len() as u64, &mut client, &mut stream).await;
    }
}

/// Reads the client's first message and compares the name in it. Returns the bytes, which are still to be sent.
async fn checked_hello(client: &mut (impl AsyncRead + Unpin), host: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            match server_name(&bytes) {
                Hello::Name(name) if normal(&name) == host => return Ok(()),
                Hello::Name(name) => return Err(format!("TLS in it is for another host, {}", printable(&name))),
                Hello::Invalid => return Err("port 443 is for TLS that names the host".to_owned()),
                Hello::Incomplete if bytes.len() >= EGRESS_HELLO_BYTES_MAX => {
                    return Err("its first message is too long".to_owned());
                }
                Hello::Incomplete => {}
            }
            match client.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return Err("it ended before TLS had begun".to_owned()),
                Ok(_) => {}
            }
        }
    };
    match timeout(EGRESS_CONNECT_TIMEOUT, read).await {
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err("TLS did not begin in time".to_owned()),
    }
}

async fn copy(
    shared: &Shared,
    host: &str,
    sent_already: u64,
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    stream: &mut TcpStream,
) {
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut reads, mut writes) = stream.split();
    shared.record.change(host, |used| used.bytes_sent += sent_already);
    let moved = std::sync::Mutex::new(Instant::now());
    let mark = || {
        if let Ok(mut last) = moved.lock() {
            *last = Instant::now();
        }
    };
    let up = pump(&mut client_reads, &mut writes, |bytes| {
        mark();
        shared.record.change(host, |used| used.bytes_sent += bytes);
    });
    let down = pump(&mut reads, &mut client_writes, |bytes| {
        mark();
        shared.record.change(host, |used| used.bytes_received += bytes);
    });
    let silence = async {
        loop {
            let last = moved.lock().map_or_else(|_| Instant::now(), |last| *last);
            if last.elapsed() >= EGRESS_SILENCE_MAX {
                return;
            }
            sleep_until(last + EGRESS_SILENCE_MAX + Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        () = silence => {}
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: impl Fn(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        moved(count as u64);
    }
}
