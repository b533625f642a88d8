//! virtio-net: a tap device of the host as a network card (virtio 1.2, section 5.1).
//!
//! ```text
//! driver ──chain──► transmit ──writev──► tap ──read──► receive ──frame──► room (buffers the driver gave) ──► driver
//!                       └── a full tap: the chain waits      └── no buffers: the frame waits, the others in the tap
//! ```
//!
//! A pair of queues, one thread a card, one frame at a time; nothing waits but for events, and each turn has a budget.
//! Checksums and segmentation of TCP are left to whoever is at the end: the tap's frames have the header with which
//! virtio-net says so, and nothing in between looks into a frame. A card hears everything on its tap; what may be sent
//! from it is for the host's firewall.

use std::fs::File;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_net::VIRTIO_NET_F_MRG_RXBUF;
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_queue::QueueT;

use super::ring::Ring;
use super::{ActivateError, Activation, RING_FEATURES, VirtioDevice, Worker, WorkerError};

mod cable;
mod config_space;
mod counters;
mod header;
mod link;
mod receive;
mod room;
mod server;
mod tap;
mod transmit;

pub use counters::NetCounters;
pub use header::HEADER_BYTES;

use cable::Cable;
use config_space::ConfigSpace;
use header::Offloads;
use link::Link;
use receive::Receiver;
use server::{Server, State};
use tap::Tap;
use transmit::Transmitter;

const QUEUE_SIZE: u16 = 256;
/// Receive and transmit.
const QUEUE_SIZES: [u16; 2] = [QUEUE_SIZE; 2];

/// Frames or chains in one direction before the card looks at the other one, and at what else there is: a reset for
/// instance. At most a few milliseconds of work.
const STEPS_A_TURN: usize = 128;

/// Why a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is nothing to do until an event says so.
    Done,
    /// There may be more, in another turn.
    Over,
    /// A frame waits for room in the tap.
    TapFull,
}

/// A network card.
#[derive(Debug)]
pub struct NetDevice {
    name: String,
    config: ConfigSpace,
    tap: Arc<Tap>,
    link: Arc<Link>,
    counters: Arc<NetCounters>,
    worker: Worker,
}

impl NetDevice {
    /// Makes a card of `tap`, a tap device that is attached, does not block, and has [`HEADER_BYTES`] in front of each
    /// frame; and starts its thread. `name` is what the log calls it.
    ///
    /// # Errors
    /// If the host has no thread left.
    pub fn new(name: &str, tap: File, mac: [u8; 6]) -> Result<Self, WorkerError> {
        Ok(Self {
            name: name.to_owned(),
            config: ConfigSpace::new(mac),
            tap: Arc::new(Tap::new(tap)),
            link: Arc::new(Link::default()),
            counters: Arc::new(NetCounters::default()),
            worker: Worker::start(name.to_owned())?,
        })
    }

    /// The card's counters, which outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<NetCounters> {
        Arc::clone(&self.counters)
    }
}

impl VirtioDevice for NetDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn device_type(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn features(&self) -> u64 {
        RING_FEATURES | header::FEATURES
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.config.read(self.link.is_up(), offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        let event_idx = activation.has_feature(VIRTIO_RING_F_EVENT_IDX);
        let merges = activation.has_feature(VIRTIO_NET_F_MRG_RXBUF);
        let Activation { ram, queues, interrupt, mistakes, features } = activation;
        let mut queues = queues.into_iter();
        let mut ready = |number| {
            let queue = queues.next().filter(|queue| queue.queue.ready());
            queue.ok_or(ActivateError::QueueMissing(number))
        };
        let (receive, transmit) = (ready(0)?, ready(1)?);

        let offloads = Offloads::of(features);
        if let Err(error) = self.tap.set_offloads(offloads) {
            tracing::warn!(%error, card = self.name, "a tap does not leave work to the driver");
        }
        let (mistakes, counters) = (|| Arc::clone(&mistakes), || Arc::clone(&self.counters));
        let ring = Ring::new(receive.queue, event_idx);
        let receiver = Box::new(Receiver::new(ring, merges, offloads, mistakes(), counters()));
        let ring = Ring::new(transmit.queue, event_idx);
        let transmitter = Transmitter::new(ring, mistakes(), counters());
        let cable = Cable { tap: Arc::clone(&self.tap), link: Arc::clone(&self.link), interrupt, counters: counters() };
        let server = Server {
            ram,
            cable,
            mistakes: mistakes(),
            receive: receive.notify,
            transmit: transmit.notify,
            state: State::Serving { receiver, transmitter },
        };
        let events = server.events();
        self.worker.attach(Box::new(server), &events)?;
        Ok(())
    }

    fn reset(&mut self) {
        self.worker.detach();
    }
}

#[cfg(test)]
mod tests;
