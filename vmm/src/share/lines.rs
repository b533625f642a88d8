//! A connection to the service as lines, in and out; never waits.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use protocol::MESSAGE_MAX_BYTES;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with};

const CHUNK_BYTES: usize = 4096;

/// Bytes that a message may wait in for the service to read.
const OUTBOX_MAX_BYTES: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Lines {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Lines {
    /// Connects without waiting: a service that is too busy to take us is tried again later.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self { stream: UnixStream::from(socket), inbox: Vec::new(), outbox: Vec::new() })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether something waits to be sent.
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Puts a line behind those that wait. One that has no room is left out: the next says the same better.
    pub(super) fn put(&mut self, line: &[u8]) {
        if self.outbox.len() + line.len() <= OUTBOX_MAX_BYTES {
            self.outbox.extend_from_slice(line);
        }
    }

    /// Sends what there is room for.
    pub(super) fn send(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match send(&self.stream, &self.outbox, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once. An end is an error: the service does not end a connection before we do.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next whole line.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') else {
            let too_long = self.inbox.len() > MESSAGE_MAX_BYTES;
            return if too_long { Err(io::Error::other("the service's message is too long")) } else { Ok(None) };
        };
        let rest = self.inbox.split_off(end + 1);
        Ok(Some(std::mem::replace(&mut self.inbox, rest)))
    }
}

impl AsRawFd for Lines {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
