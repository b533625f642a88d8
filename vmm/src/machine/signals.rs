//! SIGTERM and SIGINT as an event.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, the first time: an orderly shutdown by the power button.
    PowerButton,
    /// SIGINT, or a second SIGTERM: the end at once.
    Quit,
}

/// Catches the signals while it lives.
#[derive(Debug)]
pub(super) struct Signals {
    reader: UnixStream,
    interrupted: Arc<AtomicBool>,
    button_pressed: AtomicBool,
    registered: Vec<signal_hook::SigId>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let registered = vec![
            signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?,
            pipe::register(SIGINT, writer.try_clone()?)?,
            pipe::register(SIGTERM, writer)?,
        ];
        Ok(Self { reader, interrupted, button_pressed: AtomicBool::new(false), registered })
    }

    /// What the signals since the last call ask for.
    pub(super) fn take(&self) -> Option<Asked> {
        let mut received = [0; 64];
        // An error means that nothing is there, which is what the loop below the event loop expects now and then.
        let count = (&self.reader).read(&mut received).unwrap_or(0);
        if count == 0 {
            return None;
        }
        let again = self.button_pressed.swap(true, Ordering::Relaxed) || count > 1;
        Some(if again || self.interrupted.load(Ordering::Relaxed) { Asked::Quit } else { Asked::PowerButton })
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
