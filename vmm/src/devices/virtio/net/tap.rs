//! The tap device behind a card: one call, one frame.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::{Errno, retry_on_intr};

use super::super::slices::Slices;
use super::header::Offloads;

/// A tap that is attached, does not block, and has a header in front of each frame.
#[derive(Debug)]
pub(super) struct Tap {
    file: File,
}

/// Why a frame was not read or written.
#[derive(Debug)]
pub(super) enum TapError {
    /// Not now: there is no frame, or no room for one.
    NotNow,
    /// The tap is no more.
    Gone,
    /// This frame.
    Frame(io::Error),
}

impl From<io::Error> for TapError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Self::NotNow,
            // What the kernel says of a file whose device was deleted (drivers/net/tun.c).
            Some(Errno::BADFD) => Self::Gone,
            _ => Self::Frame(error),
        }
    }
}

impl Tap {
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    /// Reads a frame with its header, and returns how many bytes it has; what does not fit is cut off.
    pub(super) fn read(&self, into: &mut [u8]) -> Result<usize, TapError> {
        match retry_on_intr(|| rustix::io::read(&self.file, &mut *into)) {
            Ok(0) => Err(TapError::Gone),
            Ok(len) => Ok(len),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Writes a frame with its header.
    pub(super) fn write(&self, frame: &Slices<'_>) -> Result<(), TapError> {
        match frame.write_once(&self.file)? {
            written if written == frame.len() => Ok(()),
            written => Err(TapError::Frame(io::Error::new(
                io::ErrorKind::WriteZero,
                format!("the tap took {written} of {} bytes", frame.len()),
            ))),
        }
    }

    /// Tells the tap what the driver takes. Where that fails the tap goes on as before, and what the driver does not
    /// take is dropped one frame at a time.
    pub(super) fn set_offloads(&self, offloads: Offloads) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory of ours.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, offloads.tun_flags()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
