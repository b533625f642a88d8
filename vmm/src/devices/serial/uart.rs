//! vm-superio's UART with an irqfd, our output buffer, and the input that waits behind its FIFO.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

use super::super::event_latch::signal;
use super::INPUT_LIMIT_BYTES;
use super::output::Output;

/// Offset of the interrupt enable register.
const INTERRUPT_ENABLE: u8 = 1;
/// Offset of the line control register.
const LINE_CONTROL: u8 = 3;
/// Offset of the line status register.
pub(super) const LINE_STATUS: u8 = 5;
/// In the line status: the holding register and the shift register are empty, so the driver may send.
pub(super) const TRANSMITTER_EMPTY: u8 = 0b0110_0000;
/// In the line control: offsets 0 and 1 are the baud rate divisor for now.
const DIVISOR_LATCH: u8 = 0b1000_0000;

/// Raises the UART's interrupt.
struct Irq(EventFd);

impl Trigger for Irq {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        signal(&self.0);
        Ok(())
    }
}

/// Where the UART puts what the guest sends. Never fails and never blocks.
struct Transmitter(Arc<Output>);

impl io::Write for Transmitter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The registers and what waits to go through them.
///
/// Lock order: whoever holds the lock around this may take the output buffer's, never the other way around.
pub(super) struct Uart {
    serial: Serial<Irq, NoEvents, Transmitter>,
    waiting_input: VecDeque<u8>,
    /// The driver was told to wait and is owed a "transmitter empty" interrupt.
    owes_transmitter_interrupt: bool,
}

impl Uart {
    pub(super) fn new(irq: EventFd, output: Arc<Output>) -> Self {
        Self {
            serial: Serial::new(Irq(irq), Transmitter(output)),
            waiting_input: VecDeque::new(),
            owes_transmitter_interrupt: false,
        }
    }

    pub(super) fn read(&mut self, register: u8) -> u8 {
        let value = self.serial.read(register);
        self.settle();
        value
    }

    pub(super) fn write(&mut self, register: u8, value: u8) {
        // Neither our interrupt nor our transmitter can fail.
        let _ = self.serial.write(register, value);
        self.settle();
    }

    /// Takes as much input as there is room for.
    pub(super) fn enqueue(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.input_room());
        self.waiting_input.extend(bytes.iter().take(taken));
        self.settle();
        taken
    }

    pub(super) fn input_room(&self) -> usize {
        INPUT_LIMIT_BYTES.saturating_sub(self.waiting_input.len())
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.waiting_input.is_empty()
    }

    pub(super) fn transmitter_has_room_again(&mut self) {
        self.owes_transmitter_interrupt = true;
        self.settle();
    }

    /// Does what the registers allow now: both of these can be held up by a mode the driver is in, and every access
    /// may end that mode.
    fn settle(&mut self) {
        if !self.waiting_input.is_empty() {
            let room = self.serial.fifo_capacity();
            let next: Vec<u8> = self.waiting_input.iter().copied().take(room).collect();
            // Nothing is taken when the FIFO is full or the UART is looped back on itself.
            let taken = self.serial.enqueue_raw_bytes(&next).unwrap_or(0);
            self.waiting_input.drain(..taken);
        }
        if self.owes_transmitter_interrupt && self.serial.read(LINE_CONTROL) & DIVISOR_LATCH == 0 {
            // Writing the interrupt enable register raises whatever is pending and enabled.
            let enabled = self.serial.read(INTERRUPT_ENABLE);
            let _ = self.serial.write(INTERRUPT_ENABLE, enabled);
            self.owes_transmitter_interrupt = false;
        }
    }
}
