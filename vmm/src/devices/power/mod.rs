//! Turning the machine off and on: the register block behind a hardware-reduced ACPI.
//!
//! A hardware-reduced machine (ACPI 6.5, section 4.1) has no PM1 registers and no SCI. What is left is a byte to go
//! to sleep with, a byte to reset with, and for the power button a generic event device (`ACPI0013`) whose `_EVT`
//! method reads a byte of ours. All of it is one block of I/O ports:
//!
//! | port | access | meaning |
//! |---|---|---|
//! | [`SLEEP_CONTROL_PORT`] | write | bits 2–4 the sleep type, bit 5 "do it"; type [`SLEEP_TYPE_S5`] is off |
//! | [`SLEEP_STATUS_PORT`] | read | always 0: this machine never wakes from a sleep |
//! | [`RESET_PORT`] | write | [`RESET_VALUE`] reboots |
//! | [`BUTTON_STATUS_PORT`] | read | bit 0: the power button was pressed; reading clears it |
//!
//! All registers are one byte wide. The guest's tables must name the same ports, so they are public constants.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use vmm_sys_util::eventfd::EventFd;

use super::bus::BusDevice;
use super::event_latch::{EventLatch, signal};
use crate::mistakes::Mistakes;

/// First port of the block.
pub const PORT_BASE: u16 = 0x600;
/// Number of ports in the block.
pub const PORT_COUNT: u16 = 16;
/// FADT `SLEEP_CONTROL_REG`.
pub const SLEEP_CONTROL_PORT: u16 = PORT_BASE + SLEEP_CONTROL;
/// FADT `SLEEP_STATUS_REG`.
pub const SLEEP_STATUS_PORT: u16 = PORT_BASE + SLEEP_STATUS;
/// FADT `RESET_REG`.
pub const RESET_PORT: u16 = PORT_BASE + RESET;
/// FADT `RESET_VALUE`.
pub const RESET_VALUE: u8 = 1;
/// What the generic event device's `_EVT` method reads; see [`BUTTON_PRESSED`].
pub const BUTTON_STATUS_PORT: u16 = PORT_BASE + BUTTON_STATUS;
/// In [`BUTTON_STATUS_PORT`]: the power button was pressed; `_EVT` notifies the button device (`PNP0C0C`) with 0x80.
pub const BUTTON_PRESSED: u8 = 1 << 0;
/// The sleep type of `\_S5` in the DSDT.
pub const SLEEP_TYPE_S5: u8 = 5;

const SLEEP_CONTROL: u16 = 0;
const SLEEP_STATUS: u16 = 1;
const RESET: u16 = 2;
const BUTTON_STATUS: u16 = 4;

/// Fields of the sleep control register (ACPI 6.5, table 4.18).
const SLEEP_TYPE_SHIFT: u8 = 2;
const SLEEP_TYPE_MASK: u8 = 0b111;
const SLEEP_ENABLE: u8 = 1 << 5;

const RAISED_SHUTDOWN: u8 = 1 << 0;
const RAISED_REBOOT: u8 = 1 << 1;

/// What the guest asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerEvent {
    /// Turn the machine off.
    Shutdown,
    /// Start it again.
    Reboot,
}

/// The register block.
#[derive(Debug)]
pub struct PowerDevice {
    button_irq: EventFd,
    button_status: AtomicU8,
    asked: EventLatch,
    mistakes: Mistakes,
}

impl PowerDevice {
    /// A block whose power button interrupts the guest through `button_irq` (an irqfd, edge-triggered, non-blocking).
    ///
    /// # Errors
    /// If the host has no file descriptor left.
    pub fn new(button_irq: EventFd) -> io::Result<Self> {
        Ok(Self {
            button_irq,
            button_status: AtomicU8::new(0),
            asked: EventLatch::new()?,
            mistakes: Mistakes::of("power"),
        })
    }

    /// Presses the power button. What follows is up to the guest: most shut down.
    pub fn press_button(&self) {
        self.button_status.fetch_or(BUTTON_PRESSED, Ordering::Release);
        signal(&self.button_irq);
    }

    /// Readable when [`take_event`](Self::take_event) has something to say.
    pub fn event(&self) -> &EventFd {
        self.asked.event()
    }

    /// What the guest asked for since the last call; a shutdown if it managed to ask for both.
    pub fn take_event(&self) -> Option<PowerEvent> {
        match self.asked.take() {
            0 => None,
            bits if bits & RAISED_SHUTDOWN != 0 => Some(PowerEvent::Shutdown),
            _ => Some(PowerEvent::Reboot),
        }
    }
}

impl BusDevice for PowerDevice {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let value = match (u16::try_from(offset), data.len()) {
            (Ok(SLEEP_CONTROL | SLEEP_STATUS | RESET), 1) => 0,
            (Ok(BUTTON_STATUS), 1) => self.button_status.swap(0, Ordering::Acquire),
            _ => 0xff,
        };
        data.fill(value);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        match (u16::try_from(offset), data) {
            (Ok(SLEEP_CONTROL), &[value]) if value & SLEEP_ENABLE != 0 => {
                match (value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE_MASK {
                    SLEEP_TYPE_S5 => self.asked.raise(RAISED_SHUTDOWN),
                    other => self.mistakes.note(format_args!("sleep type {other} is not one of ours")),
                }
            }
            (Ok(RESET), &[RESET_VALUE]) => self.asked.raise(RAISED_REBOOT),
            // ACPICA clears the wake status before it goes to sleep; a sleep type alone does nothing yet.
            (Ok(SLEEP_CONTROL | SLEEP_STATUS), &[_]) => {}
            _ => self.mistakes.note(format_args!("write of {} bytes at {offset:#x}", data.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    const S5_NOW: u8 = SLEEP_ENABLE | (SLEEP_TYPE_S5 << SLEEP_TYPE_SHIFT);

    fn device() -> PowerDevice {
        PowerDevice::new(EventFd::new(EFD_NONBLOCK).unwrap()).unwrap()
    }

    fn after_write(offset: u16, data: &[u8]) -> Option<PowerEvent> {
        let device = device();
        device.write(u64::from(offset), data);
        device.take_event()
    }

    fn read(device: &PowerDevice, offset: u16) -> u8 {
        let mut data = [0xaa];
        device.read(u64::from(offset), &mut data);
        data[0]
    }

    #[test]
    fn the_guest_can_shut_down_and_reboot() {
        assert_eq!(after_write(SLEEP_CONTROL, &[S5_NOW]), Some(PowerEvent::Shutdown));
        assert_eq!(after_write(RESET, &[RESET_VALUE]), Some(PowerEvent::Reboot));
    }

    #[test]
    fn a_shutdown_wins_over_a_reboot() {
        let device = device();
        device.write(u64::from(RESET), &[RESET_VALUE]);
        device.write(u64::from(SLEEP_CONTROL), &[S5_NOW]);
        assert_eq!(device.event().read().unwrap(), 2);
        assert_eq!(device.take_event(), Some(PowerEvent::Shutdown));
        assert_eq!(device.take_event(), None);
    }

    #[test]
    fn other_writes_do_nothing() {
        assert_eq!(after_write(SLEEP_CONTROL, &[SLEEP_TYPE_S5 << SLEEP_TYPE_SHIFT]), None);
        assert_eq!(after_write(SLEEP_CONTROL, &[SLEEP_ENABLE | (3 << SLEEP_TYPE_SHIFT)]), None);
        assert_eq!(after_write(SLEEP_CONTROL, &[S5_NOW, 0]), None);
        assert_eq!(after_write(RESET, &[0]), None);
        assert_eq!(after_write(15, &[RESET_VALUE]), None);
    }

    #[test]
    fn a_button_press_interrupts_and_reads_once() {
        let device = device();
        assert_eq!(read(&device, BUTTON_STATUS), 0);
        device.press_button();
        assert_eq!(device.button_irq.read().unwrap(), 1);
        assert_eq!(read(&device, BUTTON_STATUS), BUTTON_PRESSED);
        assert_eq!(read(&device, BUTTON_STATUS), 0);
    }

    #[test]
    fn a_wide_read_does_not_swallow_a_button_press() {
        let device = device();
        device.press_button();
        device.read(u64::from(BUTTON_STATUS), &mut [0; 4]);
        assert_eq!(read(&device, BUTTON_STATUS), BUTTON_PRESSED);
    }

    #[test]
    fn the_wake_status_is_always_clear() {
        assert_eq!(read(&device(), SLEEP_STATUS), 0);
    }
}
