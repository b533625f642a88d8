//! Standard input as the event loop reads it: what is there now, without waiting.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::isatty;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::escape::{Escape, Flow};
use super::terminal::RawTerminal;

/// Most bytes of one read.
const CHUNK_BYTES: usize = 4096;
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard input. Its descriptor ([`AsRawFd`]) is readable when [`Stdin::read`] has something to say.
#[derive(Debug)]
pub struct Stdin {
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Raw while we live; the user can leave by key.
    Terminal { _raw: RawTerminal, escape: Escape },
    /// A pipe, a socket: watched itself.
    Stream,
    /// A file or device that epoll does not take, because it never makes anyone wait. This event is always readable
    /// instead.
    AlwaysReady(EventFd),
}

/// What standard input had.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// Bytes for the guest, perhaps none.
    pub bytes: Vec<u8>,
    /// What follows after them.
    pub next: Next,
}

/// What follows after some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input may come.
    More,
    /// The user pressed the keys that end the VM.
    Quit,
    /// The input is at its end: stop watching it. The VM goes on.
    End,
}

impl Stdin {
    /// Opens standard input, and where it is a terminal makes it raw and says on standard error how to leave.
    ///
    /// # Errors
    ///
    /// The host's, where it is short of descriptors or the terminal cannot be made raw.
    pub fn open() -> io::Result<Self> {
        let stdin = Self::over(io::stdin().as_fd().try_clone_to_owned()?)?;
        if let Kind::Terminal { .. } = stdin.kind {
            // That nobody reads standard error is no reason not to run.
            let _ = writeln!(io::stderr(), "tmem: Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends Ctrl-A");
        }
        Ok(stdin)
    }

    fn over(fd: OwnedFd) -> io::Result<Self> {
        let kind = if isatty(&fd) {
            Kind::Terminal { _raw: RawTerminal::enter(&fd)?, escape: Escape::default() }
        } else if can_be_watched(fd.as_fd())? {
            Kind::Stream
        } else {
            let event = EventFd::new(EFD_NONBLOCK)?;
            event.write(1)?;
            Kind::AlwaysReady(event)
        };
        Ok(Self { fd, kind })
    }

    /// What is there now, at most `room_bytes` for the guest, which should be 2 or more: a Ctrl-A that turns out to be
    /// the guest's comes together with the key behind it. Does not wait for input.
    ///
    /// # Errors
    ///
    /// The host's, after which nothing more is to be expected.
    pub fn read(&mut self, room_bytes: usize) -> io::Result<Input> {
        let nothing = |next| Ok(Input { bytes: Vec::new(), next });
        let ready = self.poll()?;
        // A Ctrl-A that was held back comes in addition to what is read now.
        let len = CHUNK_BYTES.min(room_bytes.saturating_sub(1));
        if ready.is_empty() || len == 0 {
            return nothing(Next::More);
        }
        let mut keys = [0; CHUNK_BYTES];
        let keys = match rustix::io::read(&self.fd, &mut keys[..len]) {
            Ok(0) if self.is_terminal() && !ready.intersects(PollFlags::HUP | PollFlags::ERR) => {
                return nothing(Next::More);
            }
            Ok(0) => return nothing(Next::End),
            Ok(count) => &keys[..count],
            Err(Errno::AGAIN | Errno::INTR) => return nothing(Next::More),
            // The terminal has gone, or belongs to another job for good.
            Err(Errno::IO) if self.is_terminal() => return nothing(Next::End),
            Err(error) => return Err(error.into()),
        };
        let Kind::Terminal { escape, .. } = &mut self.kind else {
            return Ok(Input { bytes: keys.to_vec(), next: Next::More });
        };
        let mut bytes = Vec::with_capacity(keys.len() + 1);
        let next = match escape.filter(keys, &mut bytes) {
            Flow::Continue => Next::More,
            Flow::Quit => Next::Quit,
        };
        Ok(Input { bytes, next })
    }

    fn is_terminal(&self) -> bool {
        matches!(self.kind, Kind::Terminal { .. })
    }

    /// Another process may have read what woke the loop, and a read of a pipe would wait then.
    fn poll(&self) -> io::Result<PollFlags> {
        let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut polled, Some(&NO_WAIT)) {
            Ok(_) => Ok(polled[0].revents()),
            Err(Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        match &self.kind {
            Kind::Terminal { .. } | Kind::Stream => self.fd.as_raw_fd(),
            Kind::AlwaysReady(event) => event.as_raw_fd(),
        }
    }
}

/// Whether epoll takes the descriptor. It answers `EPERM` for regular files and for devices like `/dev/null`
/// (epoll_ctl(2)).
fn can_be_watched(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let event = EpollEvent::new(EventSet::IN, 0);
    match Epoll::new()?.ctl(ControlOperation::Add, fd.as_raw_fd(), event) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, Write};

    use super::*;

    fn input(bytes: &[u8]) -> Input {
        Input { bytes: bytes.to_vec(), next: Next::More }
    }

    const END: Input = Input { bytes: Vec::new(), next: Next::End };

    #[test]
    fn a_pipe_is_passed_on_as_it_is_until_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut stdin = Stdin::over(reader.into()).unwrap();
        assert_eq!(stdin.read(64).unwrap(), input(b""), "an empty pipe is not waited for");
        writer.write_all(b"ls\n\x01x").unwrap();
        assert_eq!(stdin.read(64).unwrap(), input(b"ls\n\x01x"));
        drop(writer);
        assert_eq!(stdin.read(64).unwrap(), END);
    }

    #[test]
    fn no_more_is_read_than_the_guest_has_room_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"abcdef").unwrap();
        let mut stdin = Stdin::over(reader.into()).unwrap();
        assert_eq!(stdin.read(0).unwrap(), input(b""));
        assert_eq!(stdin.read(4).unwrap(), input(b"abc"));
        assert_eq!(stdin.read(64).unwrap(), input(b"def"));
    }

    #[test]
    fn files_and_the_null_device_are_always_ready() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"script").unwrap();
        file.rewind().unwrap();
        let mut stdin = Stdin::over(file.into()).unwrap();
        let mut polled = libc::pollfd { fd: stdin.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry, and its descriptor is open.
        assert_eq!(unsafe { libc::poll(&raw mut polled, 1, 0) }, 1);
        assert_eq!(stdin.read(64).unwrap(), input(b"script"));
        assert_eq!(stdin.read(64).unwrap(), END);

        let mut null = Stdin::over(File::open("/dev/null").unwrap().into()).unwrap();
        assert_eq!(null.read(64).unwrap(), END);
    }
}
