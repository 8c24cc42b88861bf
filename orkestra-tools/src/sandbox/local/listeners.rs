//! Connections to servers that commands of a sandbox have started, where those share the host's network. Nothing else that
//! listens on the host's loopback may be reached through it, so the owner of the listening socket is looked up: its inode in
//! `/proc/net/tcp`, and which process has it open.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::{SandboxError, blocking};
use super::processes::{self, Mark};
use crate::limits::FETCH_CONNECT_TIMEOUT;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    inode: u64,
}

/// How long it is remembered that sockets belong to the sandbox: a page makes many connections within seconds, and looking through
/// the open files of all its processes takes a tenth of a second.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Ports that are remembered; with more, all are looked up again.
const PORTS_MAX: usize = 64;

/// The sockets that were found to be the sandbox's, by port. Sockets do not change hands.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<u16, Found>>>);

/// When they were found, and their inodes.
type Found = (Instant, Vec<u64>);

impl Known {
    fn has(&self, port: u16, inodes: &[u64]) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&port).is_some_and(|(since, known)| known == inodes && since.elapsed() < REMEMBERED)
    }

    fn add(&self, port: u16, inodes: &[u64]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PORTS_MAX {
            known.clear();
        }
        known.insert(port, (Instant::now(), inodes.to_vec()));
    }
}

/// Connects to a port of the loopback interface if a process with this mark listens there.
pub(super) async fn connect(mark: Mark, known: &Known, port: u16) -> Result<TcpStream, SandboxError> {
    let known = known.clone();
    let before = blocking(move || owned(mark, &known, port)).await?;
    let address = SocketAddr::new(before.0, port);
    let connected = tokio::time::timeout(FETCH_CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let failed = |reason: &str| SandboxError::Process(format!("cannot connect to {address}: {reason}"));
    let stream = connected.map_err(|_| failed("it does not answer"))?.map_err(|error| failed(&error.to_string()))?;
    // IMPORTANT: the process may have ended in between, and another program may have taken the port. Sockets do not change
    // hands, so the same sockets before and after are the ones that the connection went to.
    if blocking(move || Ok(serving(port))).await? != Some(before) {
        return Err(failed("the server was just stopped or replaced; try again"));
    }
    Ok(stream)
}

/// The address to connect to and the sockets that listen there, all of them of processes with this mark.
fn owned(mark: Mark, known: &Known, port: u16) -> Result<(IpAddr, Vec<u64>), SandboxError> {
    let Some((address, inodes)) = serving(port) else {
        return Err(SandboxError::Process(format!(
            "nothing listens on port {port} of the loopback address; start a server with start_process, and read_process says \
             whether it runs"
        )));
    };
    if !known.has(port, &inodes) {
        if !processes::have_sockets(mark, &inodes) {
            return Err(SandboxError::Process(format!(
                "what listens on port {port} of this machine was not started by this run, and is not for it; start a server of \
                 your own with start_process, on another port"
            )));
        }
        known.add(port, &inodes);
    }
    Ok((address, inodes))
}

/// Which loopback address is served at this port, and by which sockets.
fn serving(port: u16) -> Option<(IpAddr, Vec<u64>)> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    let mut listeners = listeners(&read("tcp"), port);
    listeners.extend(self::listeners(&read("tcp6"), port));
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    loopback.into_iter().find_map(|address| {
        let mut inodes = would_accept(&listeners, address);
        inodes.sort_unstable();
        (!inodes.is_empty()).then_some((address, inodes))
    })
}

/// The sockets one of which would get a connection to this address: those bound to it, else those bound to all addresses.
fn would_accept(listeners: &[Listener], to: IpAddr) -> Vec<u64> {
    let bound = |is_wanted: &dyn Fn(IpAddr) -> bool| -> Vec<u64> {
        listeners.iter().filter(|listener| is_wanted(listener.address)).map(|listener| listener.inode).collect()
    };
    let exact = bound(&|address| address.to_canonical() == to);
    if !exact.is_empty() {
        return exact;
    }
    // A socket for all IPv6 addresses takes IPv4 connections too, unless it says otherwise, which is not shown.
    bound(&|address| address.is_unspecified() && (to.is_ipv4() || address.is_ipv6()))
}

/// The listening sockets of a port in the text of `/proc/net/tcp` or `/proc/net/tcp6`.
fn listeners(table: &str, port: u16) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let (address, of_port) = fields.nth(1)?.split_once(':')?;
        if fields.nth(1)? != LISTEN || u16::from_str_radix(of_port, 16).ok()? != port {
            return None;
        }
        Some(Listener { address: parse_address(address)?, inode: fields.nth(5)?.parse().ok()? })
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// Four bytes, or sixteen, as numbers of 32 bits in the order of this machine.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_are_read_from_the_tables_of_the_kernel() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0\n\
             1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 20 4 30 10 -1\n\
             2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n";
        let tcp6 = "  sl  local_address                         remote_address                        st ...\n\
             0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 1000 0 444 1\n\
             1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0:0 00:0 0 1000 0 555 1\n";
        let of = |address: &str, inode| Listener { address: address.parse().expect("an address"), inode };
        assert_eq!(listeners(tcp, 8080), [of("127.0.0.1", 111)]);
        assert_eq!(listeners(tcp, 8081), [of("0.0.0.0", 333)]);
        assert_eq!(listeners(tcp6, 8080), [of("::1", 444)]);
        assert_eq!(listeners(tcp6, 8082), [of("::ffff:127.0.0.1", 555)]);
        assert_eq!(listeners(tcp, 8082), []);
    }

    #[test]
    fn a_socket_that_is_bound_to_the_address_goes_before_one_for_all() {
        let of =
            |(address, inode): &(&str, u64)| Listener { address: address.parse().expect("an address"), inode: *inode };
        type Bound = (&'static str, u64);
        let table: [(&[Bound], &str, &[u64]); 7] = [
            (&[("127.0.0.1", 1), ("0.0.0.0", 2)], "127.0.0.1", &[1]),
            (&[("0.0.0.0", 2), ("::", 3)], "127.0.0.1", &[2, 3]),
            (&[("::", 3)], "::1", &[3]),
            (&[("0.0.0.0", 2)], "::1", &[]),
            (&[("::ffff:127.0.0.1", 4)], "127.0.0.1", &[4]),
            (&[("10.0.0.1", 5)], "127.0.0.1", &[]),
            (&[("127.0.0.1", 1), ("127.0.0.1", 6)], "127.0.0.1", &[1, 6]),
        ];
        for (listeners, to, expected) in table {
            let listeners: Vec<Listener> = listeners.iter().map(of).collect();
            assert_eq!(would_accept(&listeners, to.parse().expect("an address")), expected, "{listeners:?} {to}");
        }
    }
}
