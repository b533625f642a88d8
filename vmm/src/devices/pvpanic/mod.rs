//! pvpanic: the guest's kernel says that it has panicked.
//!
//! One byte-wide I/O port, found through ACPI as `QEMU0001` (QEMU, `docs/specs/pvpanic.rst`). A read tells which
//! events the host understands, a write raises them. Linux writes from its panic notifier, so the message is on the
//! console by then.

use std::io;

use vmm_sys_util::eventfd::EventFd;

use super::bus::BusDevice;
use super::event_latch::EventLatch;
use crate::mistakes::Mistakes;

/// The port. Part of the contract: Linux takes it from the ACPI device, other guests know it by heart.
pub const PORT: u16 = 0x505;

/// The guest's kernel panicked.
const PANICKED: u8 = 1 << 0;
/// The guest's kernel panicked and a crash kernel takes over: the machine goes on running.
const CRASH_LOADED: u8 = 1 << 1;
const SUPPORTED: u8 = PANICKED | CRASH_LOADED;

/// What the guest reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicEvent {
    /// The kernel panicked; nothing more will come from it.
    Panicked,
    /// The kernel panicked and handed over to its crash kernel.
    CrashLoaded,
}

/// The port's device.
#[derive(Debug)]
pub struct PvPanic {
    reported: EventLatch,
    mistakes: Mistakes,
}

impl PvPanic {
    /// A device with nothing reported.
    ///
    /// # Errors
    /// If the host has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { reported: EventLatch::new()?, mistakes: Mistakes::of("pvpanic") })
    }

    /// Readable when [`take_event`](Self::take_event) has something to say.
    pub fn event(&self) -> &EventFd {
        self.reported.event()
    }

    /// What the guest reported since the last call; the graver of the two if it reported both.
    pub fn take_event(&self) -> Option<PanicEvent> {
        match self.reported.take() {
            0 => None,
            bits if bits & PANICKED != 0 => Some(PanicEvent::Panicked),
            _ => Some(PanicEvent::CrashLoaded),
        }
    }
}

impl BusDevice for PvPanic {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(if data.len() == 1 { SUPPORTED } else { 0xff });
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        match data {
            &[value] if value & SUPPORTED != 0 => self.reported.raise(value & SUPPORTED),
            _ => self.mistakes.note(format_args!("unknown events {data:02x?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_write(data: &[u8]) -> Option<PanicEvent> {
        let device = PvPanic::new().unwrap();
        device.write(0, data);
        device.take_event()
    }

    #[test]
    fn events_are_reported() {
        assert_eq!(after_write(&[PANICKED]), Some(PanicEvent::Panicked));
        assert_eq!(after_write(&[CRASH_LOADED]), Some(PanicEvent::CrashLoaded));
        assert_eq!(after_write(&[0xff]), Some(PanicEvent::Panicked));
    }

    #[test]
    fn unknown_events_are_ignored() {
        assert_eq!(after_write(&[0x80]), None);
        assert_eq!(after_write(&[0]), None);
        assert_eq!(after_write(&[PANICKED, 0]), None);
    }

    #[test]
    fn the_supported_events_can_be_read() {
        let mut data = [0];
        PvPanic::new().unwrap().read(0, &mut data);
        assert_eq!(data, [0b11]);
    }
}
