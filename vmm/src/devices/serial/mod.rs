//! The serial console: a 16550A UART on I/O ports.
//!
//! The registers are vm-superio's. What is ours is what stands around them: output that a slow reader cannot stop the
//! VM with and that is not lost either, and input that waits until the guest has room for it.
//!
//! **Output.** The UART itself never blocks. Bytes go to a bounded buffer that a thread of ours empties. When that
//! buffer is filling up, the line status register stops saying "transmitter empty", which is how a real UART on a slow
//! line tells its driver to wait, and an interrupt follows when there is room again. So output of a driver that looks
//! at the register is never lost, however slow the reader. One that does not look is dropped at a MiB, and counted.
//!
//! **Input.** The FIFO holds 64 bytes; up to [`INPUT_LIMIT_BYTES`] more wait behind it and move up as the guest reads.
//! What does not fit is refused, and an event says when to try again.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::bus::BusDevice;
use super::event_latch::signal;
use super::lock;
use crate::mistakes::Mistakes;

mod output;
mod uart;

use output::Output;
use uart::{LINE_STATUS, TRANSMITTER_EMPTY, Uart};

/// The first serial port's I/O ports on a PC.
pub const COM1_PORT_BASE: u16 = 0x3f8;
/// Number of ports the UART takes.
pub const PORT_COUNT: u16 = 8;
/// The first serial port's interrupt on a PC.
pub const COM1_IRQ: u32 = 4;
/// Input that may wait behind the FIFO: enough for whatever a person pastes.
pub const INPUT_LIMIT_BYTES: usize = 64 * 1024;

/// How long a port that is dropped waits for its last output to be written.
const LAST_OUTPUT_PATIENCE: Duration = Duration::from_secs(1);

/// The device. Dropping it flushes the output, but waits no longer than a second for a reader that has stopped.
pub struct SerialPort {
    uart: Arc<Mutex<Uart>>,
    output: Arc<Output>,
    input_room: EventFd,
    /// Whether input was refused since the last time there was room.
    input_refused: AtomicBool,
    mistakes: Mistakes,
}

impl fmt::Debug for SerialPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialPort").field("lost_output_bytes", &self.lost_output_bytes()).finish_non_exhaustive()
    }
}

impl SerialPort {
    /// A port that interrupts through `irq` (an irqfd, edge-triggered, non-blocking) and whose output goes to `out`.
    /// `out` may block; a thread made here, and not a vCPU, writes to it.
    ///
    /// # Errors
    /// If the host has no file descriptor or no thread left.
    pub fn new(irq: EventFd, out: Box<dyn io::Write + Send>) -> io::Result<Self> {
        let output = Arc::new(Output::default());
        let uart = Arc::new(Mutex::new(Uart::new(irq, Arc::clone(&output))));
        // Weak: the thread may outlive the port, stuck in a write, and must not keep the irqfd alive.
        let for_thread: Weak<Mutex<Uart>> = Arc::downgrade(&uart);
        output::spawn_writer(Arc::clone(&output), out, move || {
            if let Some(uart) = for_thread.upgrade() {
                lock(&uart).transmitter_has_room_again();
            }
        })?;
        Ok(Self {
            uart,
            output,
            input_room: EventFd::new(EFD_NONBLOCK)?,
            input_refused: AtomicBool::new(false),
            mistakes: Mistakes::of("serial"),
        })
    }

    /// Types `bytes` at the guest, and returns how many were taken. If that is fewer than all, stop reading from
    /// wherever they come from until [`input_room_event`](Self::input_room_event) fires.
    pub fn enqueue_input(&self, bytes: &[u8]) -> usize {
        let mut uart = lock(&self.uart);
        let taken = uart.enqueue(bytes);
        if taken < bytes.len() {
            self.input_refused.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// How many bytes [`enqueue_input`](Self::enqueue_input) would take now.
    pub fn input_room_bytes(&self) -> usize {
        lock(&self.uart).input_room()
    }

    /// Readable when input was refused and the guest has since read everything that waited.
    pub fn input_room_event(&self) -> &EventFd {
        &self.input_room
    }

    /// Waits until everything the guest has written so far is with the reader; `false` if `patience` ended first.
    pub fn flush_output(&self, patience: Duration) -> bool {
        self.output.wait_written(patience)
    }

    /// Bytes the reader never got: it was gone, or the guest ignored the line status for very long.
    pub fn lost_output_bytes(&self) -> u64 {
        self.output.lost_bytes()
    }
}

impl BusDevice for SerialPort {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let (Ok(register @ 0..=7), [value]) = (u8::try_from(offset), &mut *data) else {
            data.fill(0xff);
            return self.mistakes.note(format_args!("read of {} bytes at {offset:#x}", data.len()));
        };
        let mut uart = lock(&self.uart);
        *value = uart.read(register);
        if register == LINE_STATUS && !self.output.has_room() {
            *value &= !TRANSMITTER_EMPTY;
        }
        if uart.nothing_waits() && self.input_refused.swap(false, Ordering::Relaxed) {
            signal(&self.input_room);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let (Ok(register @ 0..=7), &[value]) = (u8::try_from(offset), data) else {
            return self.mistakes.note(format_args!("write of {} bytes at {offset:#x}", data.len()));
        };
        lock(&self.uart).write(register, value);
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        self.output.wait_written(LAST_OUTPUT_PATIENCE);
        self.output.close();
    }
}

#[cfg(test)]
mod tests;
