//! The listening socket.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
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
