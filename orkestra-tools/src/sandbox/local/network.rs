//! A network of a sandbox's own, with loopback alone, where this user may make one: its commands and processes reach each other
//! through 127.0.0.1, and nothing else. A namespace is a property of a thread, like the rest of the confinement.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace. It exists as long as this or a process in it.
#[derive(Debug)]
pub(crate) struct PrivateNetwork {
    namespace: File,
}

impl PrivateNetwork {
    /// Makes one, on a thread that then ends.
    pub(crate) fn new() -> io::Result<Self> {
        let made = std::thread::scope(|scope| scope.spawn(Self::make).join());
        made.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    }

    #[expect(deprecated, reason = "unsafe only for the table of descriptors, which this does not unshare")]
    fn make() -> io::Result<Self> {
        rustix::thread::unshare(UnshareFlags::NEWNET)?;
        raise_loopback()?;
        Ok(Self { namespace: File::open("/proc/thread-self/ns/net")? })
    }

    /// Moves the calling thread into it, permanently.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// Asks the kernel over netlink to bring interface 1 up, which in a new namespace is loopback, and reads its answer.
fn raise_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    const NLMSG_ERROR: u16 = 2;
    const LOOPBACK: i32 = 1;
    const UP: u32 = 1;
    let mut request = Vec::with_capacity(32);
    request.extend(32_u32.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    request.extend([0; 8]); // sequence and port
    request.extend([0; 4]); // family and type
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes()); // which flags change
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 256];
    let (count, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, error) {
        (Some(NLMSG_ERROR), Some(0)) if count >= 20 => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) if count >= 20 => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("the kernel's answer about the loopback interface is not understood")),
    }
}
