//! The listening socket, and who is at the other end of a connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use protocol::VmName;

/// Why a VM has no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// a VM of this name runs already
    #[error("a VM named {0} runs already; stop it, or give this one another name")]
    NameTaken(VmName),
    /// the host gave no socket
    #[error("the host gave no control socket")]
    Host(#[source] io::Error),
}

/// A VM's listening control socket. While it lives, no other VM on this host (more exactly: in this network namespace)
/// has its name.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
}

impl Socket {
    /// Takes the name. Connections wait until a [`Server`](super::Server) runs.
    ///
    /// # Errors
    ///
    /// [`BindError::NameTaken`] while another process has the name, [`BindError::Host`] where sockets are short.
    pub fn bind(name: &VmName) -> Result<Self, BindError> {
        let address = SocketAddr::from_abstract_name(name.socket_name()).map_err(BindError::Host)?;
        let listener = UnixListener::bind_addr(&address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::NameTaken(name.clone()),
            _ => BindError::Host(error),
        })?;
        listener.set_nonblocking(true).map_err(BindError::Host)?;
        Ok(Self { listener })
    }

    /// The next connection, non-blocking; `None` where none waits.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.listener.accept() {
            Ok((stream, _)) => stream.set_nonblocking(true).map(|()| Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

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
