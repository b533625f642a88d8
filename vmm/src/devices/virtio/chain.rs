//! A descriptor chain as plain data, checked against everything that does not depend on the kind of device.

use virtio_queue::desc::split::Descriptor;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend};

use super::GuestRam;

/// A piece of guest memory that a descriptor names; all of it is RAM, and it is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts.
    pub address: GuestAddress,
    /// How many bytes it has.
    pub len: u32,
}

/// A chain's device-readable and device-writable parts, in order. How a driver cuts them into descriptors means
/// nothing (virtio 1.2, section 2.7.4.2), so a device looks at them as two runs of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// What the driver says.
    pub readable: Segments,
    /// Where the answer goes.
    pub writable: Segments,
}

/// A run of bytes in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    segments: Vec<Segment>,
    total: u32,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// It goes on after its last descriptor: a loop, an index outside of the table, or too many bytes for a chain.
    #[error("the descriptor chain does not end")]
    Endless,
    /// It has more descriptors than the device allows.
    #[error("the descriptor chain has more than {0} segments")]
    TooManySegments(usize),
    /// It has more bytes than the device allows.
    #[error("the descriptor chain has more than {0} bytes")]
    TooManyBytes(u32),
    /// A buffer is not, or not wholly, in RAM.
    #[error("a buffer at {0:#x} is not in RAM")]
    NotRam(u64),
    /// A readable descriptor follows a writable one.
    #[error("a readable descriptor follows a writable one")]
    Order,
}

/// How much a chain may have.
#[derive(Debug, Clone, Copy)]
pub struct ChainLimits {
    /// Descriptors, whether in the table or in an indirect one.
    pub segments: usize,
    /// Bytes, both parts together.
    pub bytes: u32,
}

impl Chain {
    /// Reads `descriptors` (a `DescriptorChain`, which follows the links and bounds their number).
    ///
    /// # Errors
    /// If the chain is not one that a driver may make.
    pub fn read(
        descriptors: impl Iterator<Item = Descriptor>,
        ram: &GuestRam,
        limits: ChainLimits,
    ) -> Result<Self, ChainError> {
        let mut chain = Self::default();
        let mut goes_on = true;
        for (count, descriptor) in descriptors.enumerate() {
            if count >= limits.segments {
                return Err(ChainError::TooManySegments(limits.segments));
            }
            goes_on = descriptor.has_next();
            chain.push(descriptor, ram, limits)?;
        }
        // The iterator ends without a word at a link that leads nowhere.
        if goes_on { Err(ChainError::Endless) } else { Ok(chain) }
    }

    fn push(&mut self, descriptor: Descriptor, ram: &GuestRam, limits: ChainLimits) -> Result<(), ChainError> {
        let segment = Segment { address: descriptor.addr(), len: descriptor.len() };
        if !descriptor.is_write_only() && !self.writable.is_empty() {
            return Err(ChainError::Order);
        }
        if segment.len == 0 {
            return Ok(());
        }
        let total = u64::from(self.readable.total) + u64::from(self.writable.total) + u64::from(segment.len);
        if total > u64::from(limits.bytes) {
            return Err(ChainError::TooManyBytes(limits.bytes));
        }
        let in_ram = usize::try_from(segment.len).is_ok_and(|len| ram.check_range(segment.address, len));
        if !in_ram {
            return Err(ChainError::NotRam(segment.address.raw_value()));
        }
        let part = if descriptor.is_write_only() { &mut self.writable } else { &mut self.readable };
        part.segments.push(segment);
        part.total += segment.len;
        Ok(())
    }
}

impl Segments {
    /// The pieces.
    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Bytes in all of them.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.total
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Cuts the last byte off and returns its address.
    pub fn pop_last_byte(&mut self) -> Option<GuestAddress> {
        let last = self.segments.last_mut()?;
        last.len = last.len.checked_sub(1)?;
        let address = last.address.checked_add(u64::from(last.len))?;
        if last.len == 0 {
            self.segments.pop();
        }
        self.total = self.total.checked_sub(1)?;
        Some(address)
    }

    /// Cuts the first `N` bytes off and copies them out of the guest's memory; `None` if there are not as many.
    pub fn pop_first_bytes<const N: usize>(&mut self, ram: &GuestRam) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let mut missing = bytes.as_mut_slice();
        while !missing.is_empty() {
            let first = self.segments.first_mut()?;
            let wanted = u32::try_from(missing.len()).unwrap_or(u32::MAX).min(first.len);
            let (now, later) = missing.split_at_mut_checked(usize::try_from(wanted).ok()?)?;
            ram.read_slice(now, first.address).ok()?;
            missing = later;
            first.len -= wanted;
            first.address = first.address.checked_add(u64::from(wanted))?;
            if first.len == 0 {
                self.segments.remove(0);
            }
            self.total = self.total.checked_sub(wanted)?;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChainError::{Endless, NotRam, Order, TooManyBytes, TooManySegments};

    const NEXT: u16 = 1;
    const WRITE: u16 = 2;
    const LIMITS: ChainLimits = ChainLimits { segments: 3, bytes: 100 };

    /// Reads a chain of these addresses, lengths and flags from 4 KiB of RAM.
    fn read(descriptors: &[(u64, u32, u16)]) -> Result<Chain, ChainError> {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let descriptors = descriptors.iter().map(|(address, len, flags)| Descriptor::new(*address, *len, *flags, 0));
        Chain::read(descriptors, &ram, LIMITS)
    }

    #[test]
    fn both_parts_of_a_chain_are_found() {
        let chain = read(&[(0, 16, NEXT), (0x100, 20, NEXT | WRITE), (0x200, 1, WRITE)]).unwrap();
        assert_eq!((chain.readable.len(), chain.writable.len()), (16, 21));
    }

    #[test]
    fn a_chain_that_is_cut_short_is_refused() {
        assert_eq!(read(&[]), Err(Endless));
        assert_eq!(read(&[(0, 16, NEXT), (0x100, 1, NEXT | WRITE)]), Err(Endless));
    }

    #[test]
    fn limits_hold_for_both_parts_together() {
        assert_eq!(read(&[(0, 1, NEXT), (0, 1, NEXT), (0, 1, NEXT | WRITE), (0, 1, WRITE)]), Err(TooManySegments(3)));
        assert_eq!(read(&[(0, 50, NEXT), (0, 51, WRITE)]), Err(TooManyBytes(100)));
        assert!(read(&[(0, 50, NEXT), (0, 50, WRITE)]).is_ok());
    }

    #[test]
    fn buffers_must_be_in_ram() {
        assert!(read(&[(0xfff, 1, WRITE)]).is_ok());
        assert_eq!(read(&[(0xfff, 2, WRITE)]), Err(NotRam(0xfff)));
        assert_eq!(read(&[(u64::MAX, 2, 0)]), Err(NotRam(u64::MAX)));
    }

    #[test]
    fn what_is_readable_comes_first() {
        assert_eq!(read(&[(0, 1, NEXT | WRITE), (0, 1, 0)]), Err(Order));
    }

    #[test]
    fn empty_descriptors_are_passed_over() {
        let chain = read(&[(u64::MAX, 0, NEXT), (0, 1, WRITE)]).unwrap();
        assert_eq!((chain.readable.is_empty(), chain.writable.len()), (true, 1));
    }
}
