//! virtio-blk: a raw file or a block device of the host as a disk (virtio 1.2, section 5.2).
//!
//! ```text
//! chain ──► request (pure: what is asked, and may it be?) ──► server ──► disk ──► preadv, pwritev, fallocate …
//! ```
//!
//! One queue, one thread a disk, one request at a time. The guest may cache writes as it likes: what it has flushed is
//! on stable storage, and nothing else is promised.

use std::fs::File;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_ID_BYTES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use super::{ActivateError, Activation, RING_FEATURES, ServedQueue, VirtioDevice, Worker, WorkerError};

mod config_space;
mod counters;
mod disk;
mod request;
mod server;

pub use counters::BlockCounters;
pub use disk::DiskError;

use config_space::ConfigSpace;
use disk::Disk;
use server::Server;

/// The unit of everything on the wire, whatever the size of a block.
const SECTOR_BYTES: u64 = 512;

const QUEUE_SIZES: [u16; 1] = [256];

/// How a file is used as a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockOptions {
    /// The guest cannot write; the file need not be open for writing then.
    pub read_only: bool,
    /// The file was opened with `O_DIRECT`.
    pub direct: bool,
    /// What the guest sees as the disk's serial number (`/dev/disk/by-id/virtio-…`); cut off after 20 bytes.
    pub serial: String,
}

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The file cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its thread cannot be started.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// A serial number as it is on the wire: padded with zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DiskId([u8; VIRTIO_BLK_ID_BYTES as usize]);

impl DiskId {
    fn new(serial: &str) -> Self {
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (byte, value) in id.iter_mut().zip(serial.bytes()) {
            *byte = value;
        }
        Self(id)
    }
}

/// A disk.
#[derive(Debug)]
pub struct BlockDevice {
    name: String,
    id: DiskId,
    disk: Arc<Disk>,
    config: ConfigSpace,
    counters: Arc<BlockCounters>,
    worker: Worker,
}

impl BlockDevice {
    /// Makes a disk of `file`, a raw image or a block device, and starts its thread. `name` is what the log calls it.
    /// That nobody else writes to the file is up to the caller.
    ///
    /// # Errors
    /// If the file cannot be used as the options say, or the host has no thread left.
    pub fn new(name: &str, file: File, options: &BlockOptions) -> Result<Self, BlockError> {
        let disk = Disk::new(file, options.read_only, options.direct)?;
        Ok(Self {
            name: name.to_owned(),
            id: DiskId::new(&options.serial),
            config: ConfigSpace::new(disk.offer()),
            disk: Arc::new(disk),
            counters: Arc::new(BlockCounters::default()),
            worker: Worker::start(name.to_owned())?,
        })
    }

    /// The disk's counters, which outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<BlockCounters> {
        Arc::clone(&self.counters)
    }
}

impl VirtioDevice for BlockDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn device_type(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let offer = self.disk.offer();
        let always = [VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH];
        let sometimes = [
            (offer.read_only, VIRTIO_BLK_F_RO),
            (offer.discard, VIRTIO_BLK_F_DISCARD),
            (offer.write_zeroes, VIRTIO_BLK_F_WRITE_ZEROES),
        ];
        let offered = sometimes.iter().filter(|(offered, _)| *offered).map(|(_, bit)| *bit);
        always.into_iter().chain(offered).fold(RING_FEATURES, |features, bit| features | (1 << bit))
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        let mistakes = Arc::clone(&activation.mistakes);
        let server = Server::new(Arc::clone(&self.disk), self.id, Arc::clone(&self.counters), mistakes)
            .map_err(ActivateError::Host)?;
        ServedQueue::attach_only(activation, server, &mut self.worker)
    }

    fn reset(&mut self) {
        self.worker.detach();
    }
}

#[cfg(test)]
mod tests;
