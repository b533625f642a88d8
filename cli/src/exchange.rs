//! Lines over a Unix socket: one is sent, one comes back, neither takes longer than it may.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use protocol::MESSAGE_MAX_BYTES;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// A connection on which each line waits for its answer.
#[derive(Debug)]
pub struct Exchange {
    stream: UnixStream,
    patience: Duration,
}

impl Exchange {
    /// Connects. Neither this nor a later exchange waits longer than `patience`. Not by the standard library: it has no
    /// time-out for this, and a process that has stopped accepting would hold us.
    pub fn connect(address: &SocketAddrUnix, patience: Duration) -> Result<Self, Errno> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
        connect(&socket, address)?;
        Ok(Self { stream: UnixStream::from(socket), patience })
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a line and returns the one that comes back.
    pub fn exchange(&mut self, line: &[u8]) -> io::Result<Vec<u8>> {
        match self.stream.write_all(line) {
            // Whoever turns us away does so before anything is read: the refusal is there although we can send no more.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            result => result?,
        }
        self.read_line()
    }

    /// One line, or one byte more than any message has.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.patience;
        let mut line = Vec::new();
        let mut chunk = [0; 4096];
        while !line.ends_with(b"\n") && line.len() <= MESSAGE_MAX_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => line.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(line)
    }
}

/// Whether an error says that it took too long.
pub fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
