//! virtio-rng: random bytes from the host's kernel (virtio 1.2, section 5.4).

use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use virtio_queue::DescriptorChain;
use vm_memory::Bytes;

use super::{
    ActivateError, Activation, Chain, ChainLimits, GuestRam, RING_FEATURES, ServeChain, ServedQueue, VirtioDevice,
    Worker, WorkerError,
};
use crate::mistakes::Mistakes;

const QUEUE_SIZES: [u16; 1] = [64];

/// The most bytes a request gets, however many it asks for: a driver asks again. Linux asks for 64 at a time.
const MAX_REQUEST_BYTES: usize = 4096;

/// A longer chain than this is a mistake; the number of bytes is not limited here, since fewer may be given.
const CHAIN_LIMITS: ChainLimits = ChainLimits { segments: 64, bytes: u32::MAX };

/// A source of random bytes.
#[derive(Debug)]
pub struct RngDevice {
    worker: Worker,
}

impl RngDevice {
    /// A source with a thread of its own.
    ///
    /// # Errors
    /// If the host has no thread left.
    pub fn new() -> Result<Self, WorkerError> {
        Ok(Self { worker: Worker::start("rng".into())? })
    }
}

impl VirtioDevice for RngDevice {
    fn name(&self) -> &'static str {
        "rng"
    }

    fn device_type(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        RING_FEATURES
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    /// There is none.
    fn read_config(&self, _offset: u64, _data: &mut [u8]) {}

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        let mistakes = Arc::clone(&activation.mistakes);
        ServedQueue::attach_only(activation, Server { mistakes }, &mut self.worker)
    }

    fn reset(&mut self) {
        self.worker.detach();
    }
}

struct Server {
    mistakes: Arc<Mistakes>,
}

impl Server {
    /// Fills the start of the chain, and returns how much of it.
    fn fill(&self, chain: &Chain, ram: &GuestRam) -> usize {
        let mut random = [0; MAX_REQUEST_BYTES];
        // Cannot fail once the host has booted, and is never short for so few bytes; if it were, so is our answer.
        let len = getrandom(&mut random, GetRandomFlags::empty()).unwrap_or(0);
        let mut left = random.get(..len).unwrap_or_default();
        for segment in chain.writable.iter() {
            let count = usize::try_from(segment.len).unwrap_or(usize::MAX).min(left.len());
            let (now, later) = left.split_at(count);
            if ram.write_slice(now, segment.address).is_err() {
                break;
            }
            left = later;
        }
        len - left.len()
    }
}

impl ServeChain for Server {
    fn serve(&mut self, chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> u32 {
        match Chain::read(chain, ram, CHAIN_LIMITS) {
            Ok(chain) => u32::try_from(self.fill(&chain, ram)).unwrap_or(0),
            Err(error) => {
                self.mistakes.note(error);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests;
