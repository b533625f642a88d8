//! Which device answers at an address: one [`Bus`] for I/O ports, one for MMIO.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A device that answers accesses in an address range. Called from every vCPU thread at once, hence `&self`.
pub trait BusDevice: Send + Sync {
    /// Fills `data` with what the guest reads at `offset` bytes from the start of the device's range.
    fn read(&self, offset: u64, data: &mut [u8]);

    /// Takes what the guest writes at `offset` bytes from the start of the device's range.
    fn write(&self, offset: u64, data: &[u8]);
}

/// Why a range cannot be put on a bus. Always a mistake in the machine's layout, never a guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The range shares addresses with one that is there already.
    #[error("bus range {base:#x}+{size:#x} overlaps the one at {other:#x}")]
    Overlap {
        /// First address of the rejected range.
        base: u64,
        /// Its size in bytes.
        size: u64,
        /// First address of the range that is in the way.
        other: u64,
    },
    /// The range is empty or runs past the last address.
    #[error("bus range {base:#x}+{size:#x} is empty or wraps around")]
    Malformed {
        /// First address of the rejected range.
        base: u64,
        /// Its size in bytes.
        size: u64,
    },
}

struct Entry {
    first: u64,
    last: u64,
    device: Arc<dyn BusDevice>,
}

/// Address ranges and their devices, sorted by address. Built once, then shared read-only: a lookup takes no lock.
#[derive(Default)]
pub struct Bus {
    entries: Vec<Entry>,
    unclaimed: AtomicU64,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| format!("{:#x}..={:#x}", entry.first, entry.last)))
            .finish()
    }
}

impl Bus {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `device` at `base`, for `size` bytes.
    ///
    /// # Errors
    /// If the range is empty, wraps around, or overlaps another.
    pub fn insert(&mut self, base: u64, size: u64, device: Arc<dyn BusDevice>) -> Result<(), RangeError> {
        let last = size
            .checked_sub(1)
            .and_then(|distance| base.checked_add(distance))
            .ok_or(RangeError::Malformed { base, size })?;
        let at = self.entries.partition_point(|entry| entry.last < base);
        if let Some(next) = self.entries.get(at).filter(|next| next.first <= last) {
            return Err(RangeError::Overlap { base, size, other: next.first });
        }
        self.entries.insert(at, Entry { first: base, last, device });
        Ok(())
    }

    /// Reads `data.len()` bytes at `address`. Where nobody answers, `data` is filled with ones, as an empty bus
    /// floats on real hardware, and the answer is `false`.
    pub fn read(&self, address: u64, data: &mut [u8]) -> bool {
        match self.find(address, data.len()) {
            Some((device, offset)) => {
                device.read(offset, data);
                true
            }
            None => {
                data.fill(0xff);
                false
            }
        }
    }

    /// Writes `data` at `address`; `false` where nobody answers.
    pub fn write(&self, address: u64, data: &[u8]) -> bool {
        match self.find(address, data.len()) {
            Some((device, offset)) => {
                device.write(offset, data);
                true
            }
            None => false,
        }
    }

    /// How many accesses nobody answered. Guests probe for hardware, so this is a number and never a log line.
    pub fn unclaimed_accesses(&self) -> u64 {
        self.unclaimed.load(Ordering::Relaxed)
    }

    /// The device that owns all of `address .. address + len`, and the offset in it. An access that straddles the end
    /// of a range belongs to nobody: no device could answer it whole.
    fn find(&self, address: u64, len: usize) -> Option<(&dyn BusDevice, u64)> {
        let found = self.owner(address, len);
        if found.is_none() {
            self.unclaimed.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn owner(&self, address: u64, len: usize) -> Option<(&dyn BusDevice, u64)> {
        let distance = u64::try_from(len).ok()?.checked_sub(1)?;
        let access_last = address.checked_add(distance)?;
        let entry = self.entries.get(self.entries.partition_point(|entry| entry.last < address))?;
        let offset = address.checked_sub(entry.first)?;
        (access_last <= entry.last).then_some((&*entry.device, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as its number in every byte.
    struct Numbered(u8);

    impl BusDevice for Numbered {
        fn read(&self, offset: u64, data: &mut [u8]) {
            data.fill(self.0.wrapping_add(u8::try_from(offset).unwrap_or(0)));
        }

        fn write(&self, _offset: u64, _data: &[u8]) {}
    }

    fn bus() -> Bus {
        let mut bus = Bus::new();
        bus.insert(0x200, 0x10, Arc::new(Numbered(0x20))).unwrap();
        bus.insert(0x100, 0x10, Arc::new(Numbered(0x10))).unwrap();
        bus.insert(u64::MAX, 1, Arc::new(Numbered(0xf0))).unwrap();
        bus
    }

    #[test]
    fn an_access_reaches_the_device_that_owns_it() {
        let mut data = [0; 2];
        assert!(bus().read(0x20e, &mut data));
        assert_eq!(data, [0x2e; 2]);
        assert!(bus().read(0x100, &mut data));
        assert_eq!(data, [0x10; 2]);
        assert!(bus().write(u64::MAX, &[0]));
    }

    #[test]
    fn an_unclaimed_read_is_all_ones_and_counted() {
        let bus = bus();
        let mut data = [0; 4];
        assert!(!bus.read(0x110, &mut data));
        assert_eq!(data, [0xff; 4]);
        assert!(!bus.write(0xff, &[1]));
        assert_eq!(bus.unclaimed_accesses(), 2);
    }

    #[test]
    fn an_access_that_straddles_a_range_end_is_nobodys() {
        let bus = bus();
        assert!(!bus.read(0x20f, &mut [0; 2]));
        assert!(!bus.read(0xff, &mut [0; 2]));
        assert!(!bus.read(u64::MAX, &mut [0; 2]));
        assert!(!bus.read(0x200, &mut []));
    }

    #[test]
    fn ranges_may_touch_but_not_overlap() {
        let mut bus = bus();
        bus.insert(0x110, 0xf0, Arc::new(Numbered(0))).unwrap();
        let overlap = |base, size, other| Err(RangeError::Overlap { base, size, other });
        assert_eq!(bus.insert(0xff, 2, Arc::new(Numbered(0))), overlap(0xff, 2, 0x100));
        assert_eq!(bus.insert(0x20f, 1, Arc::new(Numbered(0))), overlap(0x20f, 1, 0x200));
        assert_eq!(bus.insert(0, u64::MAX, Arc::new(Numbered(0))), overlap(0, u64::MAX, 0x100));
    }

    #[test]
    fn an_empty_or_wrapping_range_is_refused() {
        let mut bus = Bus::new();
        assert_eq!(bus.insert(1, 0, Arc::new(Numbered(0))), Err(RangeError::Malformed { base: 1, size: 0 }));
        assert_eq!(
            bus.insert(2, u64::MAX, Arc::new(Numbered(0))),
            Err(RangeError::Malformed { base: 2, size: u64::MAX })
        );
    }
}
