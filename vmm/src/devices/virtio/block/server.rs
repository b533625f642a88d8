//! Carries out requests, one after the other, on the disk's own thread.

use std::io;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
};
use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress};

use super::super::slices::{Direction, Slices};
use super::super::{Chain, ChainLimits, GuestRam, Segments, ServeChain};
use super::config_space::{MAX_DATA_SEGMENTS, MAX_SEGMENT_BYTES};
use super::counters::{BlockCounters, add};
use super::disk::{Bounce, Disk};
use super::request::{Extent, Job, Request};
use super::{DiskId, SECTOR_BYTES};
use crate::mistakes::Mistakes;

/// What a request of a driver that keeps to the configuration space can have, with its header and status.
const CHAIN_LIMITS: ChainLimits =
    ChainLimits { segments: MAX_DATA_SEGMENTS as usize + 2, bytes: MAX_DATA_SEGMENTS * MAX_SEGMENT_BYTES + 16 + 1 };

/// The worker's side of a disk.
pub(super) struct Server {
    disk: Arc<Disk>,
    id: DiskId,
    bounce: Option<Bounce>,
    counters: Arc<BlockCounters>,
    mistakes: Arc<Mistakes>,
}

/// Why a request failed.
enum Failure {
    /// On the host.
    Host(io::Error),
    /// The driver asked for what it may not.
    Guest(super::request::Refusal),
}

impl Server {
    pub(super) fn new(
        disk: Arc<Disk>,
        id: DiskId,
        counters: Arc<BlockCounters>,
        mistakes: Arc<Mistakes>,
    ) -> io::Result<Self> {
        let bounce = disk.is_direct().then(Bounce::new).transpose()?;
        Ok(Self { disk, id, bounce, counters, mistakes })
    }

    /// Carries `request` out, and returns how many bytes of data the driver gets.
    fn carry_out(&self, request: Request, ram: &GuestRam) -> io::Result<u32> {
        match request {
            Request::Read { from, into } => {
                self.transfer(Direction::FromFile, from, &into, ram)?;
                add(&self.counters.reads, 1);
                add(&self.counters.sectors_read, from.len / SECTOR_BYTES);
                Ok(into.len())
            }
            Request::Write { to, from } => {
                self.transfer(Direction::ToFile, to, &from, ram)?;
                add(&self.counters.writes, 1);
                add(&self.counters.sectors_written, to.len / SECTOR_BYTES);
                Ok(0)
            }
            Request::Flush => {
                self.disk.flush()?;
                add(&self.counters.flushes, 1);
                Ok(0)
            }
            Request::GetId { into } => self.write_id(&into, ram),
            Request::Discard(range) => {
                self.disk.discard(range)?;
                add(&self.counters.discards, 1);
                Ok(0)
            }
            Request::WriteZeroes { range, unmap } => {
                self.disk.write_zeroes(range, unmap)?;
                add(&self.counters.zeroed_ranges, 1);
                Ok(0)
            }
        }
    }

    fn transfer(&self, direction: Direction, at: Extent, data: &Segments, ram: &GuestRam) -> io::Result<()> {
        let memory = Slices::of(ram, data).map_err(io::Error::other)?;
        self.disk.transfer(direction, at, memory, self.bounce.as_ref())
    }

    fn write_id(&self, into: &Segments, ram: &GuestRam) -> io::Result<u32> {
        let mut id = self.id.0;
        let memory = Slices::of(ram, into).map_err(io::Error::other)?;
        Slices::one(id.as_mut_slice().into()).copy_to(memory);
        Ok(into.len().min(VIRTIO_BLK_ID_BYTES))
    }

    /// Counts a failure, and returns the status byte for it.
    fn account(&self, failure: Failure) -> u32 {
        match failure {
            Failure::Guest(refusal) => {
                add(&self.counters.rejected, 1);
                self.mistakes.note(refusal);
                refusal.status()
            }
            Failure::Host(error) => {
                // A full or failing disk fails over and over; say so ever more rarely.
                let count = add(&self.counters.io_errors, 1);
                if count.is_power_of_two() {
                    tracing::error!(%error, count, "a disk request failed");
                }
                if error.raw_os_error() == Some(libc::EOPNOTSUPP) { VIRTIO_BLK_S_UNSUPP } else { VIRTIO_BLK_S_IOERR }
            }
        }
    }

    fn answer(&self, status: u32, at: GuestAddress, ram: &GuestRam) -> u32 {
        let status = u8::try_from(status).unwrap_or(u8::MAX);
        // The address is in RAM, which was checked with the chain and does not go away.
        u32::from(ram.write_obj(status, at).is_ok())
    }
}

impl ServeChain for Server {
    fn serve(&mut self, chain: DescriptorChain<&GuestRam>, ram: &GuestRam) -> u32 {
        let chain = match Chain::read(chain, ram, CHAIN_LIMITS) {
            Ok(chain) => chain,
            Err(error) => {
                add(&self.counters.rejected, 1);
                self.mistakes.note(error);
                return 0;
            }
        };
        let Some(Job { status, request }) = Job::parse(chain, ram, self.disk.offer()) else {
            add(&self.counters.rejected, 1);
            self.mistakes.note("a request without a place for its status");
            return 0;
        };
        let outcome =
            request.map_err(Failure::Guest).and_then(|request| self.carry_out(request, ram).map_err(Failure::Host));
        match outcome {
            Ok(data_bytes) => data_bytes.saturating_add(self.answer(VIRTIO_BLK_S_OK, status, ram)),
            Err(failure) => self.answer(self.account(failure), status, ram),
        }
    }
}
