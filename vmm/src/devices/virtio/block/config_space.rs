//! A disk's configuration space (virtio 1.2, section 5.2.4).

use super::SECTOR_BYTES;
use super::request::{MAX_RANGE_SECTORS, Offer};

/// The most segments of data in a request. With the header and the status they fill a queue of 256.
pub(super) const MAX_DATA_SEGMENTS: u32 = 254;
/// The most bytes in a segment.
pub(super) const MAX_SEGMENT_BYTES: u32 = 64 * 1024;

const LEN: usize = 60;

/// `struct virtio_blk_config`, little-endian.
///
/// ```text
///  0 capacity u64          8 size_max u32         12 seg_max u32
/// 20 blk_size u32         36 max_discard_sectors  40 max_discard_seg   44 discard_sector_alignment
///                         48 max_write_zeroes_sectors   52 max_write_zeroes_seg   56 write_zeroes_may_unmap u8
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConfigSpace([u8; LEN]);

impl ConfigSpace {
    pub(super) fn new(offer: &Offer) -> Self {
        let mut space = Self([0; LEN]);
        space.put(0, &offer.sectors.to_le_bytes());
        space.put(8, &MAX_SEGMENT_BYTES.to_le_bytes());
        space.put(12, &MAX_DATA_SEGMENTS.to_le_bytes());
        space.put(20, &offer.block_bytes.to_le_bytes());
        if offer.discard {
            space.put(36, &MAX_RANGE_SECTORS.to_le_bytes());
            space.put(40, &1u32.to_le_bytes());
            let block_sectors = u64::from(offer.block_bytes) / SECTOR_BYTES;
            space.put(44, &u32::try_from(block_sectors).unwrap_or(1).to_le_bytes());
        }
        if offer.write_zeroes {
            space.put(48, &MAX_RANGE_SECTORS.to_le_bytes());
            space.put(52, &1u32.to_le_bytes());
            space.put(56, &[1]);
        }
        space
    }

    /// Fills `data` from `offset`; what is outside stays as it is.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) {
        let Some(rest) = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)) else { return };
        for (byte, value) in data.iter_mut().zip(rest) {
            *byte = *value;
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (byte, value) in self.0.iter_mut().skip(at).zip(bytes) {
            *byte = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer =
        Offer { sectors: 0x1_0000_0002, block_bytes: 4096, read_only: false, discard: true, write_zeroes: true };

    fn read<const N: usize>(offer: &Offer, offset: u64) -> [u8; N] {
        let mut data = [0xaa; N];
        ConfigSpace::new(offer).read(offset, &mut data);
        data
    }

    #[test]
    fn fields_are_where_the_driver_looks() {
        assert_eq!(u64::from_le_bytes(read(&OFFER, 0)), 0x1_0000_0002);
        assert_eq!(u32::from_le_bytes(read(&OFFER, 12)), 254);
        assert_eq!(u32::from_le_bytes(read(&OFFER, 20)), 4096);
        assert_eq!(u32::from_le_bytes(read(&OFFER, 44)), 8);
        assert_eq!(read(&OFFER, 56), [1]);
    }

    #[test]
    fn what_is_not_offered_has_no_limits() {
        let offer = Offer { discard: false, write_zeroes: false, ..OFFER };
        assert_eq!(read(&offer, 36), [0; 24]);
    }

    #[test]
    fn reads_at_and_beyond_the_end_are_cut_short() {
        assert_eq!(read(&OFFER, 59), [0, 0xaa]);
        assert_eq!(read(&OFFER, 60), [0xaa; 4]);
        assert_eq!(read(&OFFER, u64::MAX), [0xaa; 4]);
    }
}
