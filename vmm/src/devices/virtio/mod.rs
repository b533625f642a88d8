//! Virtio devices, and the MMIO transport a guest reaches them through (virtio 1.2, section 4.2).
//!
//! ```text
//!  guest ── registers ──► MmioTransport ── activate / reset ──► dyn VirtioDevice
//!    │                                                              │ attach / detach
//!    └── QueueNotify = ioeventfd ─────────────────────────────► Worker thread: its queues
//!                                          irqfd ◄── Interrupt ─────┘
//! ```
//!
//! A device is what it offers (features, queues, configuration space), which the transport asks for, and a [`Worker`],
//! on whose thread its queues are served: a [`ServedQueue`](served_queue) where each descriptor chain is turned into an
//! answer by itself ([`ServeChain`]: disk, entropy), a loop of its own where frames come unasked ([`net`]).

use std::io;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::Queue;
use vmm_sys_util::eventfd::EventFd;

use crate::mistakes::Mistakes;

pub mod block;
mod chain;
mod interrupt;
mod mmio;
pub mod net;
mod ring;
pub mod rng;
mod served_queue;
mod slices;
#[cfg(test)]
mod test_driver;
mod worker;

pub use chain::{Chain, ChainError, ChainLimits, Segment, Segments};
pub use interrupt::Interrupt;
pub use mmio::{MMIO_SIZE, MmioTransport, QUEUE_NOTIFY_OFFSET};
pub use served_queue::{ServeChain, ServedQueue};
pub use worker::{Worker, WorkerError};

pub use crate::memory::GuestRam;

/// Features of the split ring that every device here offers.
pub const RING_FEATURES: u64 =
    (1 << VIRTIO_F_VERSION_1) | (1 << VIRTIO_RING_F_EVENT_IDX) | (1 << VIRTIO_RING_F_INDIRECT_DESC);

/// What a transport needs to know about a device, and how it starts and stops it.
pub trait VirtioDevice: Send {
    /// What the log calls it.
    fn name(&self) -> &str;

    /// The device's number (virtio 1.2, section 5).
    fn device_type(&self) -> u32;

    /// The features it offers.
    fn features(&self) -> u64;

    /// One entry a queue: the most descriptors it can have, a power of two.
    fn queue_max_sizes(&self) -> &[u16];

    /// Fills `data` with the configuration space at `offset`. What lies outside of it reads as zero.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// The driver is ready: serve the queues until [`reset`](Self::reset). Must not wait for I/O; it runs on a vCPU
    /// thread.
    ///
    /// # Errors
    /// If the device cannot start. The guest is told that the device needs a reset.
    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError>;

    /// Stop, and forget everything the driver said. When this returns the device touches the guest's memory no more:
    /// it waits for a request in flight. Also called when the device was not active.
    fn reset(&mut self);
}

/// Everything a device gets from its driver.
#[derive(Debug)]
pub struct Activation {
    /// The guest's memory.
    pub ram: Arc<GuestRam>,
    /// The queues, in order. One that the driver left unused is not `ready()`; all others have been checked to lie in
    /// `ram`.
    pub queues: Vec<ActiveQueue>,
    /// How to interrupt the driver.
    pub interrupt: Interrupt,
    /// Where to count what the driver does wrong.
    pub mistakes: Arc<Mistakes>,
    /// The features the driver accepted, a subset of those offered.
    pub features: u64,
}

impl Activation {
    /// Whether the driver accepted the feature with number `bit`.
    #[must_use]
    pub fn has_feature(&self, bit: u32) -> bool {
        has_feature(self.features, bit)
    }
}

/// A queue, and the event the driver notifies it with (readable, non-blocking).
#[derive(Debug)]
pub struct ActiveQueue {
    /// The rings.
    pub queue: Queue,
    /// Signalled when the driver has made buffers available.
    pub notify: EventFd,
}

/// Why a device could not start.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// The driver did not set up a queue that the device cannot do without.
    #[error("queue {0} was not set up")]
    QueueMissing(usize),
    /// The host could not give the device what it needs.
    #[error("a resource of the host is missing")]
    Host(#[source] io::Error),
    /// The device's thread does not answer.
    #[error("the device's thread cannot take the queue")]
    Worker(#[from] WorkerError),
}

fn has_feature(features: u64, bit: u32) -> bool {
    1u64.checked_shl(bit).is_some_and(|mask| features & mask != 0)
}
