//! The MMIO transport: registers on one side, a [`VirtioDevice`] on the other.
//!
//! A driver that breaks the protocol is ignored and counted. Where that leaves the device unable to work, the status
//! field says `DEVICE_NEEDS_RESET`.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use virtio_bindings::bindings::virtio_config::VIRTIO_CONFIG_S_NEEDS_RESET;
use virtio_bindings::bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::super::bus::BusDevice;
use super::super::event_latch::{drain, signal};
use super::super::lock;
use super::{ActivateError, Activation, ActiveQueue, GuestRam, Interrupt, VirtioDevice};
use crate::mistakes::Mistakes;

mod queue_setup;
mod registers;
mod stage;

use queue_setup::{QueueError, QueueSetup};
use registers::{CONFIG_OFFSET, QueueRegister, Readable, Writable};
use stage::{Action, Stage};

/// Bytes of address space a device takes.
pub const MMIO_SIZE: u64 = 0x1000;

/// Where a driver writes the number of a queue that has new buffers, as a `u32`. To be an ioeventfd a queue, matched
/// by that number; a write that reaches the transport works too.
pub const QUEUE_NOTIFY_OFFSET: u64 = VIRTIO_MMIO_QUEUE_NOTIFY as u64;

/// One device on an MMIO page.
pub struct MmioTransport {
    ram: Arc<GuestRam>,
    interrupt: Interrupt,
    queue_events: Vec<EventFd>,
    mistakes: Arc<Mistakes>,
    front: Mutex<Front>,
}

/// What the registers say.
struct Front {
    device: Box<dyn VirtioDevice>,
    stage: Stage,
    queues: Vec<QueueSetup>,
    queue_select: u32,
    device_features_select: u32,
    driver_features_select: u32,
}

/// Why a write was ignored or a device did not start.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Protocol(#[from] stage::Violation),
    #[error("queue {index}: {error}")]
    Queue { index: usize, error: QueueError },
    #[error("the device cannot start: {0}")]
    Activate(#[from] ActivateError),
    #[error("{what} at a wrong time, in {stage:?}")]
    WrongTime { what: &'static str, stage: Stage },
    #[error("there is no queue {0}")]
    NoQueue(u32),
    #[error("queue {0} is ready and cannot be changed")]
    QueueIsReady(u32),
    #[error("there are no features {0} × 32")]
    NoFeatures(u32),
}

impl fmt::Debug for MmioTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = lock(&self.front);
        f.debug_struct("MmioTransport").field("device", &front.device.name()).field("stage", &front.stage).finish()
    }
}

impl MmioTransport {
    /// Puts `device` behind registers. `irq` is an irqfd, edge-triggered and non-blocking.
    ///
    /// # Errors
    /// If the host has no file descriptor left.
    pub fn new(device: Box<dyn VirtioDevice>, ram: Arc<GuestRam>, irq: EventFd) -> io::Result<Self> {
        let queues: Vec<_> = device.queue_max_sizes().iter().copied().map(QueueSetup::new).collect();
        let queue_events = queues.iter().map(|_| EventFd::new(EFD_NONBLOCK)).collect::<io::Result<_>>()?;
        Ok(Self {
            ram,
            interrupt: Interrupt::new(irq),
            queue_events,
            mistakes: Arc::new(Mistakes::of(device.name())),
            front: Mutex::new(Front {
                device,
                stage: Stage::Reset,
                queues,
                queue_select: 0,
                device_features_select: 0,
                driver_features_select: 0,
            }),
        })
    }

    /// An event a queue, in order, for [`QUEUE_NOTIFY_OFFSET`].
    pub fn queue_events(&self) -> &[EventFd] {
        &self.queue_events
    }

    /// How often the driver broke the protocol.
    pub fn driver_mistakes(&self) -> u64 {
        self.mistakes.count()
    }

    fn read_register(&self, register: Readable) -> u32 {
        // The two an interrupt handler touches need no lock.
        match register {
            Readable::InterruptStatus => self.interrupt.status(),
            Readable::Status if self.interrupt.is_reset_needed() => {
                lock(&self.front).stage.bits() | VIRTIO_CONFIG_S_NEEDS_RESET
            }
            Readable::ConfigGeneration => self.interrupt.config_generation(),
            other => lock(&self.front).read(other),
        }
    }

    fn write_register(&self, register: Writable, value: u32) -> Result<(), Refusal> {
        match register {
            Writable::InterruptAck => self.interrupt.acknowledge(value),
            Writable::QueueNotify => return self.notify(value),
            Writable::Status => return self.write_status(value),
            other => return lock(&self.front).write(other, value),
        }
        Ok(())
    }

    fn notify(&self, queue: u32) -> Result<(), Refusal> {
        let stage = lock(&self.front).stage;
        if stage != Stage::Running {
            return Err(Refusal::WrongTime { what: "a notification", stage });
        }
        let event = usize::try_from(queue).ok().and_then(|index| self.queue_events.get(index));
        signal(event.ok_or(Refusal::NoQueue(queue))?);
        Ok(())
    }

    fn write_status(&self, status: u32) -> Result<(), Refusal> {
        let mut front = lock(&self.front);
        let offered = front.device.features();
        match front.stage.write(status, offered)? {
            Action::Nothing => {}
            Action::Reset => self.reset(&mut front),
            Action::Activate { features } => {
                if let Err(refusal) = self.activate(&mut front, features) {
                    front.stage = Stage::Broken { bits: front.stage.bits() };
                    self.interrupt.needs_reset();
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    fn activate(&self, front: &mut Front, features: u64) -> Result<(), Refusal> {
        let mut queues = Vec::with_capacity(front.queues.len());
        for (index, (setup, event)) in front.queues.iter().zip(&self.queue_events).enumerate() {
            let queue = setup.build(&self.ram).map_err(|error| Refusal::Queue { index, error })?;
            let notify = event.try_clone().map_err(ActivateError::Host)?;
            queues.push(ActiveQueue { queue, notify });
        }
        front.device.activate(Activation {
            ram: Arc::clone(&self.ram),
            queues,
            interrupt: self.interrupt.clone(),
            mistakes: Arc::clone(&self.mistakes),
            features,
        })?;
        Ok(())
    }

    /// The device first: it may still be raising interrupts.
    fn reset(&self, front: &mut Front) {
        front.device.reset();
        self.interrupt.clear();
        self.queue_events.iter().for_each(drain);
        for queue in &mut front.queues {
            *queue = QueueSetup::new(queue.max_size());
        }
        front.queue_select = 0;
        front.device_features_select = 0;
        front.driver_features_select = 0;
    }
}

impl Front {
    fn selected_queue(&mut self) -> Option<&mut QueueSetup> {
        self.queues.get_mut(usize::try_from(self.queue_select).ok()?)
    }

    fn read(&mut self, register: Readable) -> u32 {
        match register {
            Readable::Magic => registers::MAGIC,
            Readable::Version => registers::VERSION,
            Readable::DeviceId => self.device.device_type(),
            Readable::Vendor => registers::VENDOR,
            Readable::DeviceFeatures => features_word(self.device.features(), self.device_features_select),
            // A queue that does not exist has size 0: that is how drivers find out.
            Readable::QueueSizeMax => self.selected_queue().map_or(0, |queue| u32::from(queue.max_size())),
            Readable::QueueReady => self.selected_queue().map_or(0, |queue| u32::from(queue.is_ready())),
            Readable::Status => self.stage.bits(),
            Readable::SharedMemory => registers::NO_SHARED_MEMORY,
            // Answered without the lock.
            Readable::InterruptStatus | Readable::ConfigGeneration => 0,
        }
    }

    fn write(&mut self, register: Writable, value: u32) -> Result<(), Refusal> {
        match register {
            Writable::DeviceFeaturesSelect => self.device_features_select = value,
            Writable::DriverFeaturesSelect => self.driver_features_select = value,
            Writable::QueueSelect => self.queue_select = value,
            Writable::DriverFeatures => return self.accept_features(value),
            Writable::Queue(register) => return self.write_queue(register, value),
            // There is no shared memory to select; the others are answered before.
            Writable::SharedMemorySelect | Writable::InterruptAck | Writable::QueueNotify | Writable::Status => {}
        }
        Ok(())
    }

    fn accept_features(&mut self, word: u32) -> Result<(), Refusal> {
        let Stage::Negotiating { accepted } = &mut self.stage else {
            return Err(Refusal::WrongTime { what: "features", stage: self.stage });
        };
        let shift = features_shift(self.driver_features_select);
        match shift {
            Some(shift) => *accepted = (*accepted & !(u64::from(u32::MAX) << shift)) | (u64::from(word) << shift),
            // Drivers may write that they accept none of what cannot be there.
            None if word == 0 => {}
            None => return Err(Refusal::NoFeatures(self.driver_features_select)),
        }
        Ok(())
    }

    fn write_queue(&mut self, register: QueueRegister, value: u32) -> Result<(), Refusal> {
        if !matches!(self.stage, Stage::Configuring { .. }) {
            return Err(Refusal::WrongTime { what: "a queue's setup", stage: self.stage });
        }
        let selected = self.queue_select;
        let queue = self.selected_queue().ok_or(Refusal::NoQueue(selected))?;
        if queue.write(register, value) { Ok(()) } else { Err(Refusal::QueueIsReady(selected)) }
    }
}

/// By how many bits the 32 features with this number are shifted.
fn features_shift(select: u32) -> Option<u32> {
    select.checked_mul(u32::BITS).filter(|shift| *shift < u64::BITS)
}

fn features_word(features: u64, select: u32) -> u32 {
    let shifted = features_shift(select).map_or(0, |shift| features >> shift);
    u32::try_from(shifted & u64::from(u32::MAX)).unwrap_or(0)
}

impl BusDevice for MmioTransport {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(offset) = offset.checked_sub(CONFIG_OFFSET) {
            return lock(&self.front).device.read_config(offset, data);
        }
        match (Readable::at(offset), <&mut [u8; 4]>::try_from(&mut *data)) {
            (Some(register), Ok(word)) => *word = self.read_register(register).to_le_bytes(),
            _ => self.mistakes.note(format_args!("a read of {} bytes at {offset:#x}", data.len())),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        match (Writable::at(offset), <[u8; 4]>::try_from(data)) {
            (Some(register), Ok(word)) => {
                if let Err(refusal) = self.write_register(register, u32::from_le_bytes(word)) {
                    self.mistakes.note(refusal);
                }
            }
            // None of our devices has a configuration space to write to.
            _ => self.mistakes.note(format_args!("a write of {} bytes at {offset:#x}", data.len())),
        }
    }
}

#[cfg(test)]
mod tests;
