//! The guest's RAM, and the store's view of it.

use crate::arch::x86_64::layout::{MMIO_HOLE, MMIO_HOLE_END};
use hypercall_abi::{PAGE_SHIFT, PAGE_SIZE};
use tmem::{BadFrame, GuestPages, Page};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// RAM of the guest: private anonymous memory, one region below the device hole and one above 4 GiB.
///
/// There is no dirty bitmap yet; nothing reads one before snapshots exist. Putting a bitmap type here marks every write
/// that goes through `vm-memory`; what `preadv` writes (`devices/virtio/slices.rs`) will have to be marked there.
pub type GuestRam = GuestMemoryMmap<()>;

/// Why RAM cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// `{0}` bytes of guest memory are not a whole number of pages
    #[error("memory: {0} bytes are not a whole number of 4 KiB pages")]
    Unaligned(u64),
    /// The host cannot map that much
    #[error("memory: {bytes} bytes of guest memory cannot be mapped on this host")]
    Map {
        /// Bytes asked for.
        bytes: u64,
        /// What the host says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Maps `bytes` of RAM, laid around the device hole.
///
/// # Errors
/// Where `bytes` is no multiple of the page size, or the host cannot map it.
pub fn allocate(bytes: u64) -> Result<GuestRam, MemoryError> {
    if bytes == 0 || !bytes.is_multiple_of(PAGE_SIZE as u64) {
        return Err(MemoryError::Unaligned(bytes));
    }
    let too_big = |source: std::num::TryFromIntError| MemoryError::Map { bytes, source: Box::new(source) };
    let low = bytes.min(MMIO_HOLE);
    let mut ranges = vec![(GuestAddress(0), usize::try_from(low).map_err(too_big)?)];
    if bytes > low {
        ranges.push((GuestAddress(MMIO_HOLE_END), usize::try_from(bytes - low).map_err(too_big)?));
    }
    GuestRam::from_ranges(&ranges).map_err(|source| MemoryError::Map { bytes, source: Box::new(source) })
}

/// Guest RAM as the store sees it: whole pages by frame number.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a>(pub &'a GuestRam);

/// The address of a frame; frames are guest-supplied, so the shift is checked.
fn frame_address(frame: u64) -> Result<GuestAddress, BadFrame> {
    if frame >> (u64::BITS - PAGE_SHIFT) != 0 {
        return Err(BadFrame);
    }
    Ok(GuestAddress(frame << PAGE_SHIFT))
}

impl GuestPages for Pages<'_> {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        let page = self.0.get_slice(frame_address(frame)?, PAGE_SIZE).map_err(|_| BadFrame)?;
        // SAFETY: the slice is a page of the guest's memory, which is mapped as long as it is borrowed.
        unsafe { tmem::copy_page(page.ptr_guard().as_ptr(), into) };
        Ok(())
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        self.0.write_slice(from, frame_address(frame)?).map_err(|_| BadFrame)
    }

    fn expect_write(&self, frame: u64) {
        if let Ok(page) = frame_address(frame).and_then(|at| self.0.get_host_address(at).map_err(|_| BadFrame)) {
            tmem::prefetch(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::GuestMemoryRegion;

    #[test]
    fn ram_beyond_three_gibibytes_continues_behind_the_device_hole() {
        let ram = allocate(MMIO_HOLE + (64 << 20)).unwrap();
        let regions: Vec<_> = ram.iter().map(|region| (region.start_addr().0, region.len())).collect();
        assert_eq!(regions, [(0, MMIO_HOLE), (MMIO_HOLE_END, 64 << 20)]);
    }

    #[test]
    fn a_frame_outside_ram_is_refused() {
        let ram = allocate(1 << 20).unwrap();
        let pages = Pages(&ram);
        let mut page = [0; PAGE_SIZE];
        assert!(pages.read_page(255, &mut page).is_ok());
        for frame in [256, MMIO_HOLE >> PAGE_SHIFT, 1 << 52, u64::MAX] {
            assert!(pages.read_page(frame, &mut page).is_err(), "frame {frame:#x}");
            assert!(pages.write_page(frame, &page).is_err(), "frame {frame:#x}");
            pages.expect_write(frame);
        }
    }
}
