//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process; 0 where that is outside of our PID namespace.
    pub pid: i32,
}

/// Who was at the other end of a Unix socket when it connected or listened, as the kernel vouches for it
/// (`SO_PEERCRED`, unix(7)).
///
/// # Errors
///
/// The kernel's, for what is no Unix socket.
pub fn peer(socket: &impl AsFd) -> io::Result<Peer> {
    // Not rustix's `socket_peercred`: its type says that the pid is never 0, but that is what the kernel answers for a
    // peer outside of the caller's PID namespace.
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: both pointers are to live variables of the sizes the call expects: `len` has the size of `credentials`,
    // and the kernel writes at most that many bytes of plain integers. The descriptor is borrowed, hence open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(Peer { uid: credentials.uid, pid: credentials.pid }) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_is_the_process_that_made_the_socket() {
        let (one, _other) = UnixStream::pair().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(peer(&one).unwrap(), Peer { uid, pid });
    }

    #[test]
    fn what_is_no_socket_has_no_peer() {
        assert!(peer(&File::open("/dev/null").unwrap()).is_err());
    }
}
