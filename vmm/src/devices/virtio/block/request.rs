//! What a driver asks of a disk (virtio 1.2, section 5.2.6), from a descriptor chain to a checked [`Request`].
//!
//! ```text
//! readable: │ type u32 │ reserved u32 │ sector u64 │ data to write, or a range …            │
//! writable:                                        │ data that was read …       │ status u8 │
//! ```
//!
//! Nothing here touches the disk, so it is tested with chains no driver would make.

use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
    VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};
use vm_memory::GuestAddress;

use super::super::{Chain, GuestRam, Segments};
use super::SECTOR_BYTES;

/// The most sectors one discard or write-zeroes request may cover: 64 MiB, so that none of them takes long.
pub(super) const MAX_RANGE_SECTORS: u32 = 128 * 1024;

/// What the driver was told about the disk, and must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// Size of the disk, in sectors.
    pub(super) sectors: u64,
    /// Everything starts and ends at a multiple of this.
    pub(super) block_bytes: u32,
    pub(super) read_only: bool,
    pub(super) discard: bool,
    pub(super) write_zeroes: bool,
}

/// Bytes of the disk, inside of it and aligned to its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// A request that can be carried out as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Read { from: Extent, into: Segments },
    Write { to: Extent, from: Segments },
    Flush,
    GetId { into: Segments },
    Discard(Extent),
    WriteZeroes { range: Extent, unmap: bool },
}

/// A request, or why it is refused, and where the driver wants to know how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) status: GuestAddress,
    pub(super) request: Result<Request, Refusal>,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is shorter than its header")]
    NoHeader,
    #[error("the request has no valid range")]
    NoRange,
    #[error("{len} bytes at sector {sector} are not whole blocks")]
    Misaligned { sector: u64, len: u64 },
    #[error("{len} bytes at sector {sector} are beyond the end of the disk")]
    BeyondEnd { sector: u64, len: u64 },
    #[error("the disk is read-only")]
    ReadOnly,
    #[error("request type {0} is not supported")]
    UnknownType(u32),
    #[error("flags {0:#x} are not supported")]
    UnknownFlags(u32),
}

impl Refusal {
    /// The status byte for it.
    pub(super) fn status(self) -> u32 {
        match self {
            Self::UnknownType(_) | Self::UnknownFlags(_) => VIRTIO_BLK_S_UNSUPP,
            _ => VIRTIO_BLK_S_IOERR,
        }
    }
}

impl Job {
    /// Reads the request in `chain`; `None` if it has not even a byte for the status.
    pub(super) fn parse(mut chain: Chain, ram: &GuestRam, offer: &Offer) -> Option<Self> {
        let status = chain.writable.pop_last_byte()?;
        Some(Self { status, request: Request::parse(chain, ram, offer) })
    }
}

impl Request {
    fn parse(chain: Chain, ram: &GuestRam, offer: &Offer) -> Result<Self, Refusal> {
        let Chain { mut readable, writable } = chain;
        let header: [u8; 16] = readable.pop_first_bytes(ram).ok_or(Refusal::NoHeader)?;
        let (kind, sector) = (u32_at(&header, 0), u64_at(&header, 8));
        match kind {
            VIRTIO_BLK_T_IN => {
                Ok(Self::Read { from: offer.extent(sector, u64::from(writable.len()))?, into: writable })
            }
            VIRTIO_BLK_T_OUT => {
                let to = offer.writable_extent(sector, u64::from(readable.len()))?;
                Ok(Self::Write { to, from: readable })
            }
            VIRTIO_BLK_T_FLUSH => Ok(Self::Flush),
            VIRTIO_BLK_T_GET_ID => Ok(Self::GetId { into: writable }),
            VIRTIO_BLK_T_DISCARD if offer.discard => match parse_range(readable, ram, offer)? {
                (range, 0) => Ok(Self::Discard(range)),
                (_, flags) => Err(Refusal::UnknownFlags(flags)),
            },
            VIRTIO_BLK_T_WRITE_ZEROES if offer.write_zeroes => match parse_range(readable, ram, offer)? {
                (range, 0) => Ok(Self::WriteZeroes { range, unmap: false }),
                (range, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) => Ok(Self::WriteZeroes { range, unmap: true }),
                (_, flags) => Err(Refusal::UnknownFlags(flags)),
            },
            other => Err(Refusal::UnknownType(other)),
        }
    }
}

/// The one range of a discard or write-zeroes request, and its flags.
fn parse_range(mut readable: Segments, ram: &GuestRam, offer: &Offer) -> Result<(Extent, u32), Refusal> {
    let range: [u8; 16] = readable.pop_first_bytes(ram).ok_or(Refusal::NoRange)?;
    let (sector, sectors, flags) = (u64_at(&range, 0), u32_at(&range, 8), u32_at(&range, 12));
    if sectors == 0 || sectors > MAX_RANGE_SECTORS || !readable.is_empty() {
        return Err(Refusal::NoRange);
    }
    let extent = offer.writable_extent(sector, u64::from(sectors) * SECTOR_BYTES)?;
    Ok((extent, flags))
}

impl Offer {
    fn extent(&self, sector: u64, len: u64) -> Result<Extent, Refusal> {
        let block = u64::from(self.block_bytes);
        let offset = sector.checked_mul(SECTOR_BYTES).ok_or(Refusal::BeyondEnd { sector, len })?;
        if !len.is_multiple_of(block) || !offset.is_multiple_of(block) {
            return Err(Refusal::Misaligned { sector, len });
        }
        match sector.checked_add(len / SECTOR_BYTES) {
            Some(end) if end <= self.sectors => Ok(Extent { offset, len }),
            _ => Err(Refusal::BeyondEnd { sector, len }),
        }
    }

    fn writable_extent(&self, sector: u64, len: u64) -> Result<Extent, Refusal> {
        if self.read_only { Err(Refusal::ReadOnly) } else { self.extent(sector, len) }
    }
}

fn u32_at(bytes: &[u8; 16], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8; 16], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests;
