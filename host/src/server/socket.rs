//! The listening socket, a file that one service has.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::process::umask;

/// What others than the service's user and group may do with the socket: nothing. Who may run VMs is in the group.
const UMASK: Mode = Mode::from_raw_mode(0o117);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// another service has it
    #[error("another service listens on {0}; stop it, or give this one another --socket")]
    Taken(PathBuf),
    /// something else is there
    #[error("{0} is no socket, and is left alone; give another --socket")]
    Other(PathBuf),
    /// the host gives none
    #[error("cannot listen on {path}")]
    Host {
        /// The socket.
        path: PathBuf,
        /// The host's answer.
        source: io::Error,
    },
}

/// A listening socket. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Locked for as long as the service lives, however it ends.
    _lock: File,
}

impl Socket {
    /// Takes the path. A socket that a killed service left there is replaced.
    ///
    /// # Errors
    ///
    /// [`SocketError`]
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let fail = |source| SocketError::Host { path: path.to_owned(), source };
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        // Whoever could open it could lock it, and keep the service out.
        let lock = File::options().create(true).append(true).mode(0o600).open(lock_path).map_err(fail)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(SocketError::Taken(path.to_owned())),
            Err(error) => return Err(fail(error.into())),
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path).map_err(fail)?,
            Ok(_) => return Err(SocketError::Other(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        // Of the process, which has one thread yet: a mode that is set later would be too late for a moment.
        let before = umask(UMASK);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
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

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock is still held, so it is ours; where it cannot be removed the next service replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_can_lock_a_service_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.sock");
        let socket = Socket::bind(&path).unwrap();
        let lock = fs::metadata(folder.path().join("host.sock.lock")).unwrap();
        assert_eq!(lock.permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(SocketError::Taken(_))));
        drop(socket);
        assert!(Socket::bind(&path).is_ok());
    }
}
