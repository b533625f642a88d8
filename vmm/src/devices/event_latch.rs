//! A few event bits and an `EventFd` to wait for them: how a device that only has something to announce talks to the
//! VM's event loop.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Bits raised by vCPU threads and taken by the event loop. Raising never blocks, and a bit raised twice before it is
/// taken is seen once.
#[derive(Debug)]
pub struct EventLatch {
    bits: AtomicU8,
    event: EventFd,
}

impl EventLatch {
    /// A latch with nothing raised.
    ///
    /// # Errors
    /// If the host has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { bits: AtomicU8::new(0), event: EventFd::new(EFD_NONBLOCK)? })
    }

    /// Raises `bits` and wakes the event loop.
    pub fn raise(&self, bits: u8) {
        self.bits.fetch_or(bits, Ordering::Release);
        signal(&self.event);
    }

    /// Takes what was raised since the last call. The bits are taken after the event was drained, so a bit raised in
    /// between is either in the answer or wakes the loop again.
    pub fn take(&self) -> u8 {
        drain(&self.event);
        self.bits.swap(0, Ordering::Acquire)
    }

    /// Readable when something was raised.
    pub fn event(&self) -> &EventFd {
        &self.event
    }
}

/// Signals a non-blocking `EventFd`. The only possible failure is a counter that is full, and then the other side
/// has been signalled already.
pub(super) fn signal(event: &EventFd) {
    let _ = event.write(1);
}

/// Empties a non-blocking `EventFd`. Being empty is fine: the signal was consumed by an earlier round.
pub(super) fn drain(event: &EventFd) {
    let _ = event.read();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_bits_are_taken_once() {
        let latch = EventLatch::new().unwrap();
        latch.raise(0b01);
        latch.raise(0b10);
        assert_eq!(latch.event().read().unwrap(), 2);
        assert_eq!(latch.take(), 0b11);
        assert_eq!(latch.take(), 0);
    }
}
